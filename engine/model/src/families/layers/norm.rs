//! Batch normalization (Ioffe and Szegedy 2015, algorithms 1 and 2), with PyTorch's conventions: epsilon 1e-5,
//! running statistics moved by a tenth, and the unbiased variance kept in them.

use candle_core::Tensor;

use crate::error::Result;
use crate::network::{Forward, Mode};
use crate::tap::WeightSource;

const EPSILON: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// Normalizes each channel of [rows, channels, height, width].
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    name: String,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    /// From `{name}.weight`, `.bias`, `.running_mean` and `.running_var`.
    pub(crate) fn new(name: &str, source: &dyn WeightSource) -> Result<Self> {
        let tensor = |part: &str| source.tensor(&format!("{name}.{part}"));
        Ok(Self {
            name: name.to_owned(),
            weight: tensor("weight")?,
            bias: tensor("bias")?,
            running_mean: tensor("running_mean")?,
            running_var: tensor("running_var")?,
        })
    }

    /// Normalizes by the batch while training, else by the running statistics. Statistics of a single number a channel
    /// say nothing about its spread, so such a batch is normalized by the running statistics and leaves them alone.
    pub(crate) fn forward(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        let (rows, _, height, width) = x.dims4()?;
        let count = rows * height * width;
        if cx.mode != Mode::Training || count < 2 {
            return self.scale(x, &self.running_mean.detach(), &self.running_var.detach());
        }
        let mean = channel_mean(x)?;
        let variance = channel_mean(&x.broadcast_sub(&channels(&mean)?)?.sqr()?)?;
        if let Some(source) = cx.statistics {
            let unbiased = (variance.detach() * (count as f64 / (count - 1) as f64))?;
            self.update(source, "running_mean", &mean.detach())?;
            self.update(source, "running_var", &unbiased)?;
        }
        self.scale(x, &mean, &variance)
    }

    /// weight * (x - mean) / sqrt(variance + epsilon) + bias, as one multiplication and one addition a number.
    fn scale(&self, x: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Tensor> {
        let factor = (&self.weight / (variance + EPSILON)?.sqrt()?)?;
        let offset = (&self.bias - (mean * &factor)?)?;
        Ok(x.broadcast_mul(&channels(&factor)?)?.broadcast_add(&channels(&offset)?)?)
    }

    fn update(&self, source: &dyn WeightSource, part: &str, batch: &Tensor) -> Result<()> {
        let name = format!("{}.{part}", self.name);
        let old = source.tensor(&name)?.detach();
        source.update(&name, &((old * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)?)
    }
}

/// [rows, channels, height, width] -> [channels].
fn channel_mean(x: &Tensor) -> Result<Tensor> {
    Ok(x.flatten_from(2)?.mean(2)?.mean(0)?)
}

/// [channels] -> [channels, 1, 1], which broadcasts over images.
fn channels(x: &Tensor) -> Result<Tensor> {
    Ok(x.reshape(((), 1, 1))?)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use candle_core::{Device, Tensor};

    use super::BatchNorm;
    use crate::error::{ModelError, Result};
    use crate::network::{Forward, Mode};
    use crate::tap::{TapWeight, WeightSource};

    struct Norm(RefCell<BTreeMap<String, f64>>);

    impl WeightSource for Norm {
        fn site(&self, name: &str) -> Result<TapWeight> {
            Err(ModelError::MissingTensor { name: name.to_owned() })
        }

        fn tensor(&self, name: &str) -> Result<Tensor> {
            Ok(Tensor::new(&[self.0.borrow()[name]], &Device::Cpu)?)
        }

        fn update(&self, name: &str, value: &Tensor) -> Result<()> {
            self.0.borrow_mut().insert(name.to_owned(), value.squeeze(0)?.to_scalar()?);
            Ok(())
        }
    }

    fn norm() -> Norm {
        let parts = [("n.weight", 2.0), ("n.bias", 1.0), ("n.running_mean", 0.0), ("n.running_var", 1.0)];
        Norm(RefCell::new(parts.iter().map(|&(name, value)| (name.to_owned(), value)).collect()))
    }

    fn run(norm: &Norm, numbers: &[f64], mode: Mode) -> Vec<f64> {
        let x = Tensor::from_slice(numbers, (numbers.len(), 1, 1, 1), &Device::Cpu).unwrap();
        let mut cx = Forward { statistics: Some(norm), mode, ..Forward::inference() };
        let y = BatchNorm::new("n", norm).unwrap().forward(&x, &mut cx).unwrap();
        y.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn training_uses_the_batch_and_moves_the_running_statistics() {
        let norm = norm();
        // The batch has mean 2.5, variance 1.25 (5/3 without bias).
        let expected = |x: f64| 2.0 * (x - 2.5) / (1.25_f64 + 1e-5).sqrt() + 1.0;
        for (found, x) in run(&norm, &[1.0, 2.0, 3.0, 4.0], Mode::Training).iter().zip([1.0, 2.0, 3.0, 4.0]) {
            assert!((found - expected(x)).abs() < 1e-12);
        }
        let moved = norm.0.borrow();
        assert!((moved["n.running_mean"] - 0.25).abs() < 1e-12);
        assert!((moved["n.running_var"] - (0.9 + 0.1 * 5.0 / 3.0)).abs() < 1e-12);
    }

    #[test]
    fn a_batch_of_one_number_uses_the_running_statistics() {
        let norm = norm();
        let expected = 2.0 * 3.0 / (1.0_f64 + 1e-5).sqrt() + 1.0;
        for mode in [Mode::Training, Mode::Inference] {
            assert!((run(&norm, &[3.0], mode)[0] - expected).abs() < 1e-12);
        }
        assert_eq!(norm.0.borrow()["n.running_var"], 1.0);
    }
}

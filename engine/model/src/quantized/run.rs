//! How a quantized layer computes: it multiplies integers. Where its input is not quantized, each row of it becomes
//! integers of 16 bits, which changes outputs by no more than rounding in half precision would.

use candle_core::{Device, Tensor};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSlice;

use super::window::Window;
use super::{ActivationScheme, QuantizedWeight};
use crate::convolution::convolve;
use crate::error::{ModelError, Result};
use crate::int8::{Panels, Rows};
use crate::network::Mode;

/// A weight whose layer computes in integers, packed for it.
#[derive(Debug, Clone)]
pub struct IntegerWeight {
    shape: Vec<usize>,
    /// How its input is quantized, if it is.
    given: Option<ActivationScheme>,
    /// How its input is rounded.
    activation: ActivationScheme,
    panels: Panels,
}

impl IntegerWeight {
    /// Packs a weight.
    pub fn new(weight: &QuantizedWeight) -> Self {
        let activation = weight.activation.unwrap_or(ActivationScheme::FINEST);
        let panels = Panels::new(weight, activation.inputs());
        Self { shape: weight.shape.clone(), given: weight.activation, activation, panels }
    }

    /// x [rows, in] -> [rows, out], with `bias` [out].
    ///
    /// # Errors
    /// When shapes do not fit, an input is not a number, or a gradient is asked of integer arithmetic.
    pub(crate) fn linear(
        &self,
        name: &str,
        x: &Tensor,
        bias: Option<&Tensor>,
        shared: &mut SharedInput,
        mode: Mode,
    ) -> Result<Tensor> {
        let (rows, inputs) = x.dims2()?;
        if self.check(name, inputs, mode)? == Arithmetic::Floats {
            let y = x.matmul(&self.like(x)?.flatten_from(1)?.t()?)?;
            return Ok(match bias {
                Some(bias) => y.broadcast_add(bias)?,
                None => y,
            });
        }
        let bias = bias.map(Tensor::to_vec1::<f32>).transpose()?;
        let outputs = self.panels.multiply(shared.rows(self, name, x)?, bias.as_deref());
        Ok(Tensor::from_vec(outputs, (rows, self.panels.outputs()), &Device::Cpu)?
            .to_device(x.device())?
            .to_dtype(x.dtype())?)
    }

    /// x [rows, in, height, width] -> [rows, out, height', width'].
    ///
    /// # Errors
    /// As [`IntegerWeight::linear`].
    pub(crate) fn conv(&self, name: &str, x: &Tensor, stride: usize, padding: usize, mode: Mode) -> Result<Tensor> {
        let window = Window::new(name, x.dims(), &self.shape, stride, padding)?;
        if self.check(name, window.inputs(), mode)? == Arithmetic::Floats {
            return convolve(x, &self.like(x)?, stride, padding, mode);
        }
        let images = self.activation.quantize(name, x)?;
        let [height, width] = window.positions();
        let image = |(image, &scale): (&[i16], &f32)| {
            let rows = Rows::new(&self.panels, window.unfold(image), vec![scale; height * width]);
            transposed(&self.panels.multiply(&rows, None), self.panels.outputs())
        };
        let size = window.image().max(1);
        let outputs: Vec<Vec<f32>> = images.numbers.par_chunks(size).zip(&images.scales).map(image).collect();
        let shape = (x.dim(0)?, self.panels.outputs(), height, width);
        Ok(Tensor::from_vec(outputs.concat(), shape, &Device::Cpu)?.to_device(x.device())?.to_dtype(x.dtype())?)
    }

    /// The numbers that it stands for, in the type and on the device of `like`.
    fn like(&self, like: &Tensor) -> Result<Tensor> {
        let numbers = Tensor::from_vec(self.panels.numbers(), self.shape.as_slice(), &Device::Cpu)?;
        Ok(numbers.to_device(like.device())?.to_dtype(like.dtype())?)
    }

    fn check(&self, name: &str, inputs: usize, mode: Mode) -> Result<Arithmetic> {
        if inputs != self.panels.inputs() {
            return Err(unfit(name, &self.shape, self.panels.outputs(), inputs));
        }
        match (mode, self.given) {
            (Mode::Inference, _) => Ok(Arithmetic::Integers),
            (_, None) => Ok(Arithmetic::Floats),
            (_, Some(_)) => {
                let message = format!("`{name}` computes in integers, through which no gradient passes");
                Err(ModelError::Unsupported(message))
            }
        }
    }
}

/// What a layer computes in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Arithmetic {
    Integers,
    /// As integers stand for them: where gradients are wanted.
    Floats,
}

/// The input that several layers read, rounded once where they round it alike.
#[derive(Debug, Default)]
pub(crate) struct SharedInput(Option<(ActivationScheme, Rows)>);

impl SharedInput {
    fn rows(&mut self, weight: &IntegerWeight, name: &str, x: &Tensor) -> Result<&Rows> {
        let known = self.0.take().filter(|(scheme, rows)| *scheme == weight.activation && rows.suit(&weight.panels));
        let known = match known {
            Some(known) => known,
            None => {
                let integers = weight.activation.quantize(name, x)?;
                (weight.activation, Rows::new(&weight.panels, integers.numbers, integers.scales))
            }
        };
        Ok(&self.0.insert(known).1)
    }
}

fn unfit(name: &str, shape: &[usize], outputs: usize, inputs: usize) -> ModelError {
    ModelError::Shape { name: format!("{name}.weight"), found: shape.to_vec(), expected: vec![outputs, inputs] }
}

/// [positions, outputs] -> [outputs, positions].
fn transposed(numbers: &[f32], outputs: usize) -> Vec<f32> {
    super::packing::transposed(numbers, outputs)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use crate::network::Mode;
    use crate::quantized::run::{IntegerWeight, SharedInput};
    use crate::quantized::{ActivationScheme, FixedInput, Granularity, QuantizedWeight, WeightScheme};

    /// Numbers in -1..1 that look random.
    fn numbers(shape: &[usize], seed: u32) -> Tensor {
        let count: usize = shape.iter().product();
        let number = |index: u32| ((index + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
        Tensor::from_vec((0..count as u32).map(number).collect(), shape, &Device::Cpu).unwrap()
    }

    fn weight(shape: &[usize], scheme: WeightScheme) -> QuantizedWeight {
        let scales = scheme.granularity.scales(shape[0], shape[1..].iter().product());
        let scale = |index: usize| (1.0 + index as f32 / 10.0) / f32::from(scheme.highest());
        let zero_points =
            if scheme.symmetric { vec![] } else { (0..scales).map(|index| (index % 3) as i8 - 2).collect() };
        let scales: Vec<f32> = (0..scales).map(scale).collect();
        QuantizedWeight::round(&numbers(shape, 99), scheme, &scales, &zero_points).unwrap()
    }

    fn schemes() -> impl Iterator<Item = WeightScheme> {
        let granularities = [Granularity::Tensor, Granularity::Channel, Granularity::Group(9)];
        let kinds = granularities.into_iter().flat_map(|granularity| [(granularity, true), (granularity, false)]);
        kinds.map(|(granularity, symmetric)| WeightScheme { bits: 8, symmetric, granularity })
    }

    /// What the integers of the input stand for.
    fn fake(x: &Tensor, activation: FixedInput) -> Tensor {
        let zero_point = f64::from(activation.zero_point);
        let scale = f64::from(activation.scale);
        let integers = ((x.to_dtype(DType::F64).unwrap() / scale).unwrap().round().unwrap() + zero_point).unwrap();
        ((integers.clamp(0.0, 255.0).unwrap() - zero_point).unwrap() * scale).unwrap()
    }

    fn close(found: &Tensor, expected: &Tensor, tolerance: f64) {
        assert_eq!(found.dims(), expected.dims());
        let difference = (found.to_dtype(DType::F64).unwrap() - expected.to_dtype(DType::F64).unwrap()).unwrap();
        let worst: f64 = difference.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap();
        assert!(worst < tolerance, "{worst}");
    }

    const INPUT: FixedInput = FixedInput { bits: 8, scale: 0.007, zero_point: 131 };
    const ACTIVATION: Option<ActivationScheme> = Some(ActivationScheme::Fixed(INPUT));

    /// Worked by hand: x = (1, -1), scale 0.5, zero point 10 -> integers 12 and 8, so 2 and -2; weights 3 and 5 of scale
    /// 2 with zero point 1 -> 2 and 4. Sum 2*2 - 2*4 = -4, times 0.5 * 2 = -4.
    #[test]
    fn a_small_layer_by_hand() {
        let scheme = WeightScheme { bits: 8, symmetric: false, granularity: Granularity::Tensor };
        let layer = QuantizedWeight {
            shape: vec![1, 2],
            scheme,
            values: vec![3, 5],
            scales: vec![2.0],
            zero_points: vec![1],
            activation: Some(ActivationScheme::Fixed(FixedInput { bits: 8, scale: 0.5, zero_point: 10 })),
        };
        let x = Tensor::new(&[[1.0_f32, -1.0]], &Device::Cpu).unwrap();
        let bias = Tensor::new(&[0.5_f32], &Device::Cpu).unwrap();
        let layer = IntegerWeight::new(&layer);
        let run = |bias| {
            layer
                .linear("head", &x, bias, &mut SharedInput::default(), Mode::Inference)
                .unwrap()
                .to_vec2::<f32>()
                .unwrap()
        };
        assert_eq!((run(None), run(Some(&bias))), (vec![vec![-4.0]], vec![vec![-3.5]]));
    }

    #[test]
    fn integers_agree_with_the_floats_they_stand_for() {
        for scheme in schemes() {
            let x = numbers(&[19, 36], 5);
            let layer = QuantizedWeight { activation: ACTIVATION, ..weight(&[10, 36], scheme) };
            let floats = layer.dequantize().unwrap().to_dtype(DType::F64).unwrap();
            let expected = fake(&x, INPUT).matmul(&floats.t().unwrap()).unwrap();
            let layer = IntegerWeight::new(&layer);
            close(
                &layer.linear("head", &x, None, &mut SharedInput::default(), Mode::Inference).unwrap(),
                &expected,
                1e-4,
            );

            let x = numbers(&[3, 4, 5, 6], 6);
            let layer = QuantizedWeight { activation: ACTIVATION, ..weight(&[7, 4, 3, 3], scheme) };
            let floats = layer.dequantize().unwrap().to_dtype(DType::F64).unwrap();
            let layer = IntegerWeight::new(&layer);
            for (stride, padding) in [(1, 1), (2, 1), (2, 0)] {
                let expected = fake(&x, INPUT).conv2d(&floats, padding, stride, 1, 1).unwrap();
                close(&layer.conv("conv", &x, stride, padding, Mode::Inference).unwrap(), &expected, 1e-4);
            }
        }
    }

    /// Rows become integers of 16 bits in inference: a weight of 36 inputs is off by some 1e-5 of the largest output.
    #[test]
    fn weights_alone_agree_with_the_floats_they_stand_for() {
        for scheme in schemes() {
            let floats = weight(&[10, 36], scheme).dequantize().unwrap();
            let layer = IntegerWeight::new(&weight(&[10, 36], scheme));
            let x = numbers(&[19, 36], 5);
            let expected = x.matmul(&floats.t().unwrap()).unwrap();
            let bias = numbers(&[10], 7);
            let with_bias = expected.broadcast_add(&bias).unwrap();
            for (mode, tolerance) in [(Mode::Inference, 2e-4), (Mode::Differentiable, 1e-6)] {
                let run = |bias| layer.linear("head", &x, bias, &mut SharedInput::default(), mode).unwrap();
                close(&run(None), &expected, tolerance);
                close(&run(Some(&bias)), &with_bias, tolerance);
            }

            let floats = weight(&[7, 4, 3, 3], scheme).dequantize().unwrap();
            let layer = IntegerWeight::new(&weight(&[7, 4, 3, 3], scheme));
            let x = numbers(&[3, 4, 5, 6], 6);
            let expected = x.conv2d(&floats, 1, 2, 1, 1).unwrap();
            for (mode, tolerance) in [(Mode::Inference, 2e-4), (Mode::Differentiable, 1e-5)] {
                close(&layer.conv("conv", &x, 2, 1, mode).unwrap(), &expected, tolerance);
            }
        }
    }

    /// More inputs than one exact sum holds.
    #[test]
    fn long_rows_are_summed_in_spans() {
        let scheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Tensor };
        let inputs = 70_000;
        let layer = QuantizedWeight {
            shape: vec![20, inputs],
            scheme,
            values: vec![-128; 20 * inputs],
            scales: vec![1.0],
            zero_points: vec![],
            activation: Some(ActivationScheme::Fixed(FixedInput { bits: 8, scale: 1.0, zero_point: 0 })),
        };
        let x = Tensor::full(255.0_f32, (1, inputs), &Device::Cpu).unwrap();
        let expected = Tensor::full(-255.0 * 128.0 * inputs as f32, (1, 20), &Device::Cpu).unwrap();
        // The largest of 16 bits is half a step below the largest input.
        let weights_alone = QuantizedWeight { activation: None, ..layer.clone() };
        for (layer, tolerance) in [(layer, 257.0), (weights_alone, 255.0 * 128.0 * inputs as f64 / 60_000.0)] {
            let layer = IntegerWeight::new(&layer);
            let y = layer.linear("head", &x, None, &mut SharedInput::default(), Mode::Inference).unwrap();
            close(&y, &expected, tolerance);
        }
    }

    /// Layers that round their input alike share it, and those that do not get their own.
    #[test]
    fn a_shared_input_changes_nothing() {
        let x = numbers(&[5, 36], 5);
        let other = Some(ActivationScheme::ByRow { bits: 12 });
        let layers: Vec<IntegerWeight> = [ACTIVATION, ACTIVATION, other, other]
            .into_iter()
            .zip(schemes().skip(1))
            .map(|(activation, scheme)| QuantizedWeight { activation, ..weight(&[10, 36], scheme) })
            .map(|layer| IntegerWeight::new(&layer))
            .collect();
        let mut shared = SharedInput::default();
        for layer in &layers {
            let run = |shared: &mut SharedInput| {
                layer.linear("head", &x, None, shared, Mode::Inference).unwrap().to_vec2::<f32>().unwrap()
            };
            assert_eq!(run(&mut shared), run(&mut SharedInput::default()));
        }
        assert_eq!(layers.len(), 4);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let scheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Tensor };
        let layer = QuantizedWeight { activation: ACTIVATION, ..weight(&[2, 3], scheme) };
        let layer = IntegerWeight::new(&layer);
        let message = |x: &[f32], mode| {
            let x = Tensor::from_slice(x, (1, x.len()), &Device::Cpu).unwrap();
            layer.linear("head", &x, None, &mut SharedInput::default(), mode).unwrap_err().to_string()
        };
        assert_eq!(message(&[1.0, 2.0], Mode::Inference), "tensor `head.weight` has shape [2, 3], expected [2, 2]");
        assert_eq!(
            message(&[1.0, f32::NAN, 2.0], Mode::Inference),
            "the input of `head` holds numbers that are not numbers (NaN)"
        );
        assert_eq!(
            message(&[1.0, 2.0, 3.0], Mode::Differentiable),
            "`head` computes in integers, through which no gradient passes"
        );
    }
}

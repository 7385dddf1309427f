//! A site that is quantized already, and is trained on without leaving its grid.

use candle_core::{D, DType, Device, Tensor, Var};
use paring_model::gradient::{Backward, with_gradient};
use paring_model::tap::WeightProvider;
use paring_model::{ActivationScheme, Mode, QuantizedWeight, Weight};

use super::op::{Grid, fake_quantize};
use super::site::refused;
use crate::error::Result;
use crate::made::MadeSite;

/// One site: the floats behind its integers, and its scales, zero points and input grid, which stay as they are.
#[derive(Debug)]
pub(crate) struct HeldSite {
    weight: Tensor,
    mask: Option<Tensor>,
    /// Its integers are those from before training.
    like: QuantizedWeight,
    /// The numbers, for each scale, between which gradients pass: half a step beyond the grid's ends, [scales, 1].
    ends: [Tensor; 2],
}

impl HeldSite {
    /// For a weight that was `like`, and the floats behind it now as a network sees them.
    pub(crate) fn new((weight, mask): (Tensor, Option<Tensor>), like: QuantizedWeight) -> Result<Self> {
        let zero_point = |scale: usize| like.zero_points.get(scale).copied().map_or(0.0, f32::from);
        let end = |integer: f32| -> Result<Tensor> {
            let scales = like.scales.iter().enumerate();
            let ends: Vec<f32> = scales.map(|(index, scale)| (integer - zero_point(index)) * scale).collect();
            Ok(Tensor::from_vec(ends, (like.scales.len(), 1), &Device::Cpu)?.to_device(weight.device())?)
        };
        let low = end(f32::from(like.scheme.lowest()) - 0.5)?;
        let high = end(f32::from(like.scheme.highest()) + 0.5)?;
        Ok(Self { weight, mask, ends: [low, high], like })
    }

    fn masked(&self) -> candle_core::Result<Tensor> {
        self.mask.as_ref().map_or_else(|| Ok(self.weight.clone()), |mask| self.weight.mul(mask))
    }

    fn integers(&self, weight: &Tensor) -> Result<QuantizedWeight> {
        let QuantizedWeight { scheme, scales, zero_points, activation, .. } = &self.like;
        let rounded = QuantizedWeight::round(&weight.detach(), *scheme, scales, zero_points)?;
        Ok(QuantizedWeight { activation: *activation, ..rounded })
    }

    fn rounded(&self) -> Result<Tensor> {
        let weight = self.masked()?;
        let value = self.integers(&weight)?.dequantize()?.to_device(weight.device())?;
        let [low, high] = &self.ends;
        Ok(with_gradient(&weight, low, &value, Within { high: high.clone() })?)
    }
}

/// Straight through within the grid, nothing beyond it (Jacob et al. 2018, section 3).
struct Within {
    high: Tensor,
}

impl Backward for Within {
    const NAME: &'static str = "rounding to a grid that stays";

    fn backward(
        &self,
        weight: &Tensor,
        low: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let rows = weight.detach().reshape((low.dim(0)?, ()))?;
        let inside = rows.broadcast_ge(low)?.mul(&rows.broadcast_le(&self.high)?)?;
        let inside = inside.to_dtype(gradient.dtype())?.reshape(weight.shape())?;
        Ok((Some(gradient.mul(&inside)?), None))
    }
}

/// An input rounded as the layer will round it.
fn round_input(x: &Tensor, scheme: ActivationScheme) -> Result<Tensor> {
    let (step, low, high) = match scheme {
        ActivationScheme::Fixed(fixed) => {
            let low = -f64::from(fixed.zero_point);
            (Tensor::new(&[fixed.scale], x.device())?, low, f64::from(fixed.highest()) + low)
        }
        ActivationScheme::ByRow { bits } => {
            let half = f64::from(1_u32 << (bits - 1));
            let largest = x.detach().flatten_from(1)?.abs()?.max(D::Minus1)?.maximum(f64::from(f32::MIN_POSITIVE))?;
            ((largest / (half - 0.5))?, -half, half - 1.0)
        }
    };
    let mut shape = vec![1; x.rank()];
    shape.iter_mut().take(1).for_each(|rows| *rows = step.elem_count());
    fake_quantize(x, &step.to_dtype(DType::F32)?.reshape(shape)?, Grid { low, high, step_gradient: None })
}

impl WeightProvider for HeldSite {
    fn weight(&self) -> paring_model::Result<Tensor> {
        self.rounded().map_err(refused)
    }

    fn input(&self, x: &Tensor, _: Mode) -> paring_model::Result<Tensor> {
        self.like.activation.map_or_else(|| Ok(x.clone()), |scheme| round_input(x, scheme).map_err(refused))
    }
}

impl MadeSite for HeldSite {
    fn parameters(&self) -> Vec<(&str, &Var)> {
        Vec::new()
    }

    fn state(&self) -> Vec<(&str, &Var)> {
        Vec::new()
    }

    fn finished(&self) -> Result<Weight> {
        Ok(Weight::Quantized(self.integers(&self.masked()?)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};
    use paring_model::tap::WeightProvider as _;
    use paring_model::{ActivationScheme, FixedInput, Granularity, Mode, QuantizedWeight, Weight, WeightScheme};

    use super::HeldSite;
    use crate::made::MadeSite as _;

    /// Two outputs of three inputs, of 2 bits; the first row's zero point is 1, so that it reaches from -3 to 0 steps.
    fn like(activation: Option<ActivationScheme>) -> QuantizedWeight {
        let scheme = WeightScheme { bits: 2, symmetric: false, granularity: Granularity::Channel };
        let numbers = [-3.0, -1.0, 0.0, 0.5, -0.5, 0.0];
        let rounded = QuantizedWeight::round_numbers(&numbers, &[2, 3], scheme, &[1.0, 0.5], &[1, 0]).unwrap();
        QuantizedWeight { activation, ..rounded }
    }

    #[test]
    fn floats_move_behind_a_grid_that_stays() {
        let numbers = Tensor::new(&[[-3.4_f32, -3.6, -1.4], [0.7, 0.8, -1.2]], &Device::Cpu).unwrap();
        let variable = Var::from_tensor(&numbers).unwrap();
        let site = HeldSite::new((variable.as_tensor().clone(), None), like(None)).unwrap();
        let weight = site.weight().unwrap();
        assert_eq!(weight.to_vec2::<f32>().unwrap(), [[-3.0, -3.0, -1.0], [0.5, 0.5, -1.0]]);
        let factors = Tensor::new(&[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap();
        let gradients = (weight * factors).unwrap().sum_all().unwrap().backward().unwrap();
        let of_weight = gradients.get(&variable).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(of_weight, [[1.0, 0.0, 3.0], [4.0, 0.0, 6.0]]);
        let Weight::Quantized(finished) = site.finished().unwrap() else { panic!("no integers") };
        assert_eq!(finished.values, [-2, -2, 0, 1, 1, -2]);
        assert_eq!((finished.scales, finished.zero_points), (vec![1.0, 0.5], vec![1, 0]));
    }

    #[test]
    fn inputs_are_rounded_as_the_layer_rounds_them() {
        let x = Tensor::new(&[[1.5_f32, -0.6, 0.2], [0.3, 0.06, 0.0]], &Device::Cpu).unwrap();
        let rounded = |scheme: Option<ActivationScheme>| {
            let weight = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
            let site = HeldSite::new((weight, None), like(scheme)).unwrap();
            site.input(&x, Mode::Training).unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(rounded(None), x.to_vec2::<f32>().unwrap());
        let fixed = FixedInput { bits: 2, scale: 0.5, zero_point: 1 };
        let expected = [[1.0, -0.5, 0.0], [0.5, 0.0, 0.0]];
        assert_eq!(rounded(Some(ActivationScheme::Fixed(fixed))), expected);
        // Of 2 bits the step is the largest magnitude over 1.5.
        for (row, (found, step)) in
            rounded(Some(ActivationScheme::ByRow { bits: 2 })).iter().zip([1.0, 0.2]).enumerate()
        {
            let expected = [[1.0, -1.0, 0.0], [1.0, 0.0, 0.0]][row];
            assert!(found.iter().zip(expected).all(|(one, steps)| (one - steps * step).abs() < 1e-6), "{found:?}");
        }
    }
}

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

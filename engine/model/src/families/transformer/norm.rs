//! Layer normalization (Ba et al. 2016, equation 4) and root mean square normalization (Zhang and Sennrich 2019,
//! equation 4), over the last dimension. Where they run, candle's fused kernels give the value.

use candle_core::{D, Tensor};

use crate::error::Result;
use crate::fused::{self, Centering};
use crate::network::Mode;

/// (x - mean) / sqrt(variance + epsilon) * weight + bias.
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) epsilon: f64,
}

impl LayerNorm {
    /// Of a sum.
    pub(crate) fn of_sum(&self, x: &Tensor, y: &Tensor, mode: Mode) -> Result<Tensor> {
        match fused::suits(x, mode) {
            true => fused::layer_norm(x, y, [&self.weight, &self.bias], self.epsilon),
            false => self.forward(&(x + y)?, mode),
        }
    }

    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if mode == Mode::Inference || fused::runs(x) {
            let (values, parts) = (x.detach().contiguous()?, [self.weight.detach(), self.bias.detach()]);
            let value = candle_nn::ops::layer_norm(&values, &parts[0], &parts[1], self.epsilon as f32)?;
            let form = (Centering::Mean, self.epsilon);
            return match mode {
                Mode::Inference => Ok(value),
                _ => fused::normalized(x, &self.weight, Some(&self.bias), &value, form),
            };
        }
        let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
        let normal = centered.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?;
        Ok(normal.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)?)
    }
}

/// x / sqrt(mean of squares + epsilon) * weight.
#[derive(Debug, Clone)]
pub(crate) struct RmsNorm {
    pub(crate) weight: Tensor,
    pub(crate) epsilon: f64,
}

impl RmsNorm {
    pub(crate) fn forward(&self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        if mode == Mode::Inference || fused::runs(x) {
            let (values, weight) = (x.detach().contiguous()?, self.weight.detach());
            let value = candle_nn::ops::rms_norm(&values, &weight, self.epsilon as f32)?;
            return match mode {
                Mode::Inference => Ok(value),
                _ => fused::normalized(x, &self.weight, None, &value, (Centering::None, self.epsilon)),
            };
        }
        let squares = x.sqr()?.mean_keepdim(D::Minus1)?;
        Ok(x.broadcast_div(&(squares + self.epsilon)?.sqrt()?)?.broadcast_mul(&self.weight)?)
    }
}

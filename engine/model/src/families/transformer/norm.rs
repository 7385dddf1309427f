//! Layer normalization (Ba et al. 2016, equation 4) and root mean square normalization (Zhang and Sennrich 2019,
//! equation 4), over the last dimension. Inference uses candle's fused kernels, which have no gradients.

use candle_core::{D, Tensor};

use crate::error::Result;
use crate::fused;
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
        if mode == Mode::Inference {
            let x = x.contiguous()?;
            return Ok(candle_nn::ops::layer_norm(&x, &self.weight, &self.bias, self.epsilon as f32)?);
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
        if mode == Mode::Inference {
            return Ok(candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.epsilon as f32)?);
        }
        let squares = x.sqr()?.mean_keepdim(D::Minus1)?;
        Ok(x.broadcast_div(&(squares + self.epsilon)?.sqrt()?)?.broadcast_mul(&self.weight)?)
    }
}

//! The Gaussian error linear unit, exact (erf): x/2 (1 + erf(x / sqrt 2)).

use candle_core::Tensor;

use crate::error::Result;
use crate::network::Mode;

/// Of every number of `x`; with gradients unless for inference.
///
/// # Errors
/// When candle refuses the type of `x`.
pub(crate) fn gelu(x: &Tensor, _: Mode) -> Result<Tensor> {
    Ok(x.gelu_erf()?)
}

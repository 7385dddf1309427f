//! The nonlinearities that configurations of others name.

use candle_core::Tensor;

use super::keys::Keys;
use crate::error::Result;
use crate::fused::gelu;
use crate::network::Mode;

/// A nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonlinearity {
    /// Gaussian error linear unit, exact (erf).
    Gelu,
    /// Its approximation with tanh.
    GeluTanh,
    /// max(0, x).
    Relu,
    /// x * sigmoid(x).
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// None.
    Identity,
}

impl Nonlinearity {
    /// The one that `key` names, or `default`.
    pub(crate) fn read(keys: &mut Keys<'_>, key: &str, default: Self) -> Result<Self> {
        let Some(value) = keys.value(key) else { return Ok(default) };
        Ok(match value.as_str() {
            Some("gelu" | "gelu_python") => Self::Gelu,
            Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_accurate") => Self::GeluTanh,
            Some("relu") => Self::Relu,
            Some("silu" | "swish") => Self::Silu,
            Some("tanh") => Self::Tanh,
            _ => {
                let wanted = "gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu or tanh";
                return Err(keys.unexpected(key, value, wanted));
            }
        })
    }

    /// Of every number of `x`.
    pub(crate) fn apply(self, x: &Tensor, mode: Mode) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => gelu(x, mode)?,
            Self::GeluTanh => x.gelu()?,
            Self::Relu => x.relu()?,
            Self::Silu => x.silu()?,
            Self::Tanh => x.tanh()?,
            Self::Identity => x.clone(),
        })
    }
}

//! The last block: what the encoder's vectors become.

use candle_core::{D, Tensor};

use super::pooling::Pooling;
use crate::dropout::dropout;
use crate::error::Result;
use crate::families::transformer::nonlinearity::Nonlinearity;
use crate::network::{Forward, Shared};
use crate::tap::TapLinear;

/// The head with its weights.
pub(super) enum HeadBlock {
    /// One vector a text.
    Embedding { pooling: Pooling, projections: Vec<(TapLinear, Nonlinearity)>, normalize: bool },
    /// The first vector through a dense layer and a classifier.
    Text { pooler: TapLinear, activation: Nonlinearity, classifier: TapLinear, dropout: f64 },
    /// Every vector through a classifier.
    Token { classifier: TapLinear, dropout: f64 },
}

impl HeadBlock {
    /// [rows, length, hidden] -> [rows, outputs], or [rows, length, outputs] for classes of tokens.
    pub(super) fn run(&self, x: &Tensor, shared: &Shared, cx: &mut Forward<'_>) -> Result<Tensor> {
        match self {
            Self::Embedding { pooling, projections, normalize } => {
                let mut x = pooling.apply(x, shared.mask.as_ref())?;
                for (linear, activation) in projections {
                    x = activation.apply(&linear.forward(&x, cx)?, cx.mode)?;
                }
                if *normalize { unit(&x) } else { Ok(x) }
            }
            Self::Text { pooler, activation, classifier, dropout: rate } => {
                let x = activation.apply(&pooler.forward(&first(x)?, cx)?, cx.mode)?;
                classifier.forward(&dropout(&x, *rate, cx)?, cx)
            }
            Self::Token { classifier, dropout: rate } => classifier.forward(&dropout(x, *rate, cx)?, cx),
        }
    }
}

impl Pooling {
    /// [rows, length, hidden] -> [rows, hidden]; `mask` is [rows, length], 0 for padding.
    fn apply(self, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        match (self, mask) {
            (Self::First, _) => first(x),
            (Self::Mean, None) => Ok(x.mean(1)?),
            (Self::Mean, Some(mask)) => {
                let sums = x.broadcast_mul(&mask.unsqueeze(2)?)?.sum(1)?;
                let counts = mask.sum_keepdim(1)?.maximum(1e-9)?;
                Ok(sums.broadcast_div(&counts)?)
            }
        }
    }
}

fn first(x: &Tensor) -> Result<Tensor> {
    Ok(x.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?)
}

/// Each row over its length.
fn unit(x: &Tensor) -> Result<Tensor> {
    let length = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(1e-12)?;
    Ok(x.broadcast_div(&length)?)
}

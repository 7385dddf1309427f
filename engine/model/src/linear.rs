//! A product with a weight, and its gradients as one node of the graph: without it the transposed weight and the bias
//! are nodes of their own, each with a copy of its gradient.

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::gradient::{Backward, Backward3, with_gradient, with_gradients};

/// x [rows, in] times weight [out, in] transposed, plus bias [out] -> [rows, out]. Where `mask` is zero, the weight
/// counts as zero and has no gradient.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn linear(x: &Tensor, weight: &Tensor, mask: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
    let masked = match mask {
        Some(mask) => (weight.detach() * mask)?,
        None => weight.detach(),
    };
    let value = x.detach().matmul(&masked.t()?)?;
    let op = Linear { masked, mask: mask.cloned() };
    match bias {
        None => with_gradient(x, weight, &value, op),
        Some(bias) => {
            let value = value.broadcast_add(&bias.detach())?;
            with_gradients([x, weight, bias], &value, op)
        }
    }
}

struct Linear {
    /// What was multiplied with.
    masked: Tensor,
    mask: Option<Tensor>,
}

impl Backward for Linear {
    const NAME: &'static str = "linear";

    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let of_x = x.track_op().then(|| gradient.matmul(&self.masked)).transpose()?;
        let of_weight = weight.track_op().then(|| {
            let all = gradient.t()?.matmul(&x.detach())?;
            match &self.mask {
                Some(mask) => all * mask,
                None => Ok(all),
            }
        });
        Ok((of_x, of_weight.transpose()?))
    }
}

impl Backward3 for Linear {
    fn backward(&self, [x, weight, bias]: [&Tensor; 3], gradient: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (of_x, of_weight) = Backward::backward(self, x, weight, gradient)?;
        Ok([of_x, of_weight, bias.track_op().then(|| column_sums(gradient)).transpose()?])
    }
}

/// Sums over the rows of [rows, columns], as a product with ones: candle's own sum over the first dimension goes through
/// memory column by column.
pub(crate) fn column_sums(x: &Tensor) -> candle_core::Result<Tensor> {
    let ones = Tensor::ones((1, x.dim(0)?), DType::F32, x.device())?.to_dtype(x.dtype())?;
    ones.matmul(x)?.squeeze(0)
}

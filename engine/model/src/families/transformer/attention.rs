//! Scaled dot-product attention (Vaswani et al. 2017, section 3.2.1) over heads, of which several may share keys and
//! values (Ainslie et al. 2023).

use candle_core::{D, Tensor};

use crate::dropout::dropout;
use crate::error::Result;
use crate::fused;
use crate::network::{Forward, Mode};

/// [rows, length, heads * width] -> [rows, heads, length, width], without a copy.
pub(crate) fn split_heads(x: &Tensor, width: usize) -> Result<Tensor> {
    let (rows, length, all) = x.dims3()?;
    Ok(x.reshape((rows, length, all / width.max(1), width))?.transpose(1, 2)?)
}

/// softmax(q k^T / sqrt(width) + bias) v, heads side by side again: q [rows, heads, queries, width] with k and v
/// [rows, key-value heads, keys, width] -> [rows, queries, heads * width].
pub(crate) fn attend(
    [q, k, v]: [&Tensor; 3],
    bias: Option<&Tensor>,
    rate: f64,
    cx: &mut Forward<'_>,
) -> Result<Tensor> {
    let (rows, heads, queries, width) = q.dims4()?;
    let (_, groups, keys, _) = k.dims4()?;
    if fused::suits(q, cx.mode) && queries >= fused::MIN_QUERIES {
        return fused::attention([q, k, v], bias, (width as f64).sqrt().recip());
    }
    // Query heads that share keys lie one after the other, so they are more queries of one head.
    let shared = (rows, groups, heads / groups.max(1) * queries, width);
    let q = (q.contiguous()? * (width as f64).sqrt().recip())?.reshape(shared)?;
    let scores = q.matmul(&k.contiguous()?.transpose(2, 3)?)?.reshape((rows, heads, queries, keys))?;
    let scores = match bias {
        Some(bias) => scores.broadcast_add(bias)?,
        None => scores,
    };
    let weights = dropout(&softmax(&scores, cx.mode)?, rate, cx)?;
    let weights = weights.reshape((rows, groups, heads / groups.max(1) * queries, keys))?;
    let mixed = weights.matmul(&v.contiguous()?)?.reshape((rows, heads, queries, width))?;
    Ok(mixed.transpose(1, 2)?.contiguous()?.flatten_from(2)?)
}

/// Over the last dimension.
fn softmax(x: &Tensor, mode: Mode) -> Result<Tensor> {
    if mode == Mode::Inference {
        return Ok(candle_nn::ops::softmax_last_dim(x)?);
    }
    if fused::runs(x) {
        return fused::softmax(x);
    }
    let powers = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    Ok(powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)?)
}

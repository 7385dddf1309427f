//! A 2-d convolution whose gradients are right for every stride and image.

use candle_core::Tensor;

use crate::error::Result;
use crate::network::Mode;

/// x [rows, in, height, width] and weight [out, in, kernel, kernel] -> [rows, out, height', width'].
///
/// Where a stride leaves rows or columns at the far edges unread, candle's gradient of a convolution assumes as many
/// unread rows as columns. Outside inference the border is therefore made and the unread part cut off beforehand.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn convolve(x: &Tensor, weight: &Tensor, stride: usize, padding: usize, mode: Mode) -> Result<Tensor> {
    if mode == Mode::Inference || stride == 1 {
        return Ok(x.conv2d(weight, padding, stride, 1, 1)?);
    }
    let (_, _, kernel, _) = weight.dims4()?;
    let mut padded = x.clone();
    for dimension in [2, 3] {
        padded = padded.pad_with_zeros(dimension, padding, padding)?;
        let length = padded.dim(dimension)?;
        let unread = length.saturating_sub(kernel) % stride;
        padded = padded.narrow(dimension, 0, length - unread)?;
    }
    Ok(padded.contiguous()?.conv2d(weight, 0, stride, 1, 1)?)
}

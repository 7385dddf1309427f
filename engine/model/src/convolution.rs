//! A 2-d convolution with gradients that are right for every stride and image, and quick on a CPU.
//!
//! candle's own gradient assumes as many unread rows as columns where a stride leaves some, and goes through a
//! transposed convolution that is about ten times slower than the convolution used here.

mod columns;

use candle_core::Tensor;
use columns::Columns;

use crate::error::Result;
use crate::gradient::{Backward, with_gradient};
use crate::network::Mode;

/// x [rows, in, height, width] and weight [out, in, kernel, kernel] -> [rows, out, height', width'].
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn convolve(x: &Tensor, weight: &Tensor, stride: usize, padding: usize, mode: Mode) -> Result<Tensor> {
    let value = match Columns::of(x, weight, stride, padding) {
        Some(columns) => columns.convolve(&x.detach(), &weight.detach())?,
        None => x.detach().conv2d(&weight.detach(), padding, stride, 1, 1)?.contiguous()?,
    };
    if mode == Mode::Inference {
        return Ok(value);
    }
    with_gradient(x, weight, &value, Convolution { stride, padding })
}

/// The gradients of a convolution.
struct Convolution {
    stride: usize,
    padding: usize,
}

impl Backward for Convolution {
    const NAME: &'static str = "convolution";

    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        if let Some(columns) = Columns::of(x, weight, self.stride, self.padding) {
            let wanted = [x.track_op(), weight.track_op()];
            return columns.gradients((&x.detach(), &weight.detach()), gradient, wanted);
        }
        let of_x = x.track_op().then(|| self.gradient_of_x(x, weight, gradient)).transpose()?;
        let of_weight = weight.track_op().then(|| self.gradient_of_weight(x, weight, gradient)).transpose()?;
        Ok((of_x, of_weight))
    }
}

impl Convolution {
    /// A convolution of the spread gradient with the turned kernel, cut to where `x` is not border.
    fn gradient_of_x(&self, x: &Tensor, weight: &Tensor, gradient: &Tensor) -> candle_core::Result<Tensor> {
        let (_, _, height, width) = x.dims4()?;
        let (_, _, kernel, _) = weight.dims4()?;
        let read = |length: usize| length + 2 * self.padding + 1 - kernel;
        let down = spread(gradient, 2, self.stride)?.narrow(2, 0, read(height))?;
        let spread = spread(&down, 3, self.stride)?.narrow(3, 0, read(width))?.contiguous()?;
        let turned = weight.flip(&[2, 3])?.transpose(0, 1)?.contiguous()?;
        let bordered = spread.conv2d(&turned, kernel - 1, 1, 1, 1)?;
        bordered.narrow(2, self.padding, height)?.narrow(3, self.padding, width)?.contiguous()
    }

    /// A convolution of `x` with the gradient, in which rows and channels change places.
    fn gradient_of_weight(&self, x: &Tensor, weight: &Tensor, gradient: &Tensor) -> candle_core::Result<Tensor> {
        let (_, _, kernel, _) = weight.dims4()?;
        let turned = gradient.transpose(0, 1)?;
        let wide = x.transpose(0, 1)?.conv2d(&turned, self.padding, 1, self.stride, 1)?;
        wide.transpose(0, 1)?.narrow(2, 0, kernel)?.narrow(3, 0, kernel)?.contiguous()
    }
}

/// Puts `stride - 1` zeros after each entry of a dimension, which then has at least the windows' starts.
fn spread(x: &Tensor, dimension: usize, stride: usize) -> candle_core::Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let mut shape = x.dims().to_vec();
    if let Some(length) = shape.get_mut(dimension) {
        *length *= stride;
    }
    x.unsqueeze(dimension + 1)?.pad_with_zeros(dimension + 1, 0, stride - 1)?.reshape(shape)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor, Var};
    use rstest::rstest;

    use super::convolve;
    use crate::network::Mode;

    fn row(numbers: &[f32], shape: (usize, usize, usize, usize), dtype: DType) -> Var {
        Var::from_tensor(&Tensor::from_slice(numbers, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()).unwrap()
    }

    fn list(numbers: &Tensor) -> Vec<f32> {
        numbers.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    }

    /// 32-bit floats as products of matrices, others by candle.
    #[rstest]
    #[case(DType::F32)]
    #[case(DType::F64)]
    fn an_unread_column_gets_no_gradient(#[case] dtype: DType) {
        let x = row(&[1.0, 2.0, 3.0, 4.0, 5.0], (1, 1, 1, 5), dtype);
        let weight = row(&[10.0], (1, 1, 1, 1), dtype);
        let y = convolve(&x, &weight, 3, 0, Mode::Training).unwrap();
        assert_eq!(list(&y), [10.0, 40.0]);
        let gradients = y.backward().unwrap();
        let of = |variable: &Var| list(gradients.get(variable).unwrap());
        assert_eq!(of(&x), [10.0, 0.0, 0.0, 10.0, 0.0]);
        assert_eq!(of(&weight), [1.0 + 4.0]);
    }

    #[rstest]
    #[case(DType::F32)]
    #[case(DType::F64)]
    fn a_window_over_the_border_counts_only_the_image(#[case] dtype: DType) {
        let x = row(&[1.0, 2.0], (1, 1, 2, 1), dtype);
        let weight = row(&[1.0; 9], (1, 1, 3, 3), dtype);
        let y = convolve(&x, &weight, 1, 1, Mode::Differentiable).unwrap();
        assert_eq!(list(&y), [3.0, 3.0]);
        let gradients = y.backward().unwrap();
        assert_eq!(list(gradients.get(&weight).unwrap()), [0.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0, 2.0, 0.0]);
    }
}

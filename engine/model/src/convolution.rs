//! A 2-d convolution with gradients that are right for every stride and image, and quick on a CPU.
//!
//! candle's own gradient assumes as many unread rows as columns where a stride leaves some, and goes through a
//! transposed convolution that is about ten times slower than the convolution used here.

use candle_core::Tensor;

use crate::error::Result;
use crate::gradient::{Backward, with_gradient};
use crate::network::Mode;

/// x [rows, in, height, width] and weight [out, in, kernel, kernel] -> [rows, out, height', width'].
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn convolve(x: &Tensor, weight: &Tensor, stride: usize, padding: usize, mode: Mode) -> Result<Tensor> {
    if mode == Mode::Inference {
        return Ok(x.conv2d(weight, padding, stride, 1, 1)?);
    }
    let value = x.detach().conv2d(&weight.detach(), padding, stride, 1, 1)?.contiguous()?;
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
    use candle_core::{Device, Tensor, Var};

    use super::convolve;
    use crate::network::Mode;

    fn row(numbers: &[f32], shape: (usize, usize, usize, usize)) -> Var {
        Var::from_tensor(&Tensor::from_slice(numbers, shape, &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn an_unread_column_gets_no_gradient() {
        let x = row(&[1.0, 2.0, 3.0, 4.0, 5.0], (1, 1, 1, 5));
        let weight = row(&[10.0], (1, 1, 1, 1));
        let y = convolve(&x, &weight, 3, 0, Mode::Training).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [10.0, 40.0]);
        let gradients = y.backward().unwrap();
        let of = |variable: &Var| gradients.get(variable).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(of(&x), [10.0, 0.0, 0.0, 10.0, 0.0]);
        assert_eq!(of(&weight), [1.0 + 4.0]);
    }

    #[test]
    fn a_window_over_the_border_counts_only_the_image() {
        let x = row(&[1.0, 2.0], (1, 1, 2, 1));
        let weight = row(&[1.0; 9], (1, 1, 3, 3));
        let y = convolve(&x, &weight, 1, 1, Mode::Differentiable).unwrap();
        assert_eq!(y.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [3.0, 3.0]);
        let gradients = y.backward().unwrap();
        let of_weight = gradients.get(&weight).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(of_weight, [0.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0, 2.0, 0.0]);
    }
}

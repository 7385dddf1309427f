//! Pooling windows of any size, stride and padding, with gradients. candle's own pooling differentiates only windows
//! that do not overlap.

mod max;

use candle_core::{D, Tensor};

use crate::error::{ModelError, Result};
use crate::families::survey::windows;
use crate::fused;

/// Square windows over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Width and height.
    pub(crate) size: usize,
    /// Step between windows.
    pub(crate) stride: usize,
    /// Border on each side.
    pub(crate) padding: usize,
}

impl Window {
    /// How many windows fit on an image of `height` x `width`.
    pub(crate) fn count(self, height: usize, width: usize) -> Option<[usize; 2]> {
        let along = |length| windows(length, self.size, self.stride, self.padding);
        Some([along(height)?, along(width)?])
    }

    /// The largest number of each window, whose gradient goes to the first place that holds it.
    pub(crate) fn max(self, x: &Tensor) -> Result<Tensor> {
        let (rows, channels, height, width) = x.dims4()?;
        let [down, across] = self.fitting(height, width)?;
        if fused::runs(x) {
            return max::max(self, x, [down, across]);
        }
        let padded = self.pad(x, f64::NEG_INFINITY)?.flatten_from(2)?.contiguous()?;
        let (starts, offsets) = self.places(x)?;
        let seen = self.seen(&padded.detach(), &starts, &offsets)?;
        let best = offsets.index_select(&seen.argmax(D::Minus1)?.flatten_all()?, 0)?;
        let chosen = best.reshape((rows, channels, down * across))?.broadcast_add(&starts)?;
        Ok(padded.gather(&chosen, 2)?.reshape((rows, channels, down, across))?)
    }

    /// The mean of each window; the border counts as zeros.
    pub(crate) fn mean(self, x: &Tensor) -> Result<Tensor> {
        let (rows, channels, height, width) = x.dims4()?;
        let [down, across] = self.fitting(height, width)?;
        let padded = self.pad(x, 0.0)?.flatten_from(2)?.contiguous()?;
        let (starts, offsets) = self.places(x)?;
        let seen = self.seen(&padded, &starts, &offsets)?;
        Ok(seen.mean(D::Minus1)?.reshape((rows, channels, down, across))?)
    }

    /// The image with a border of `value`.
    pub(crate) fn pad(self, x: &Tensor, value: f64) -> Result<Tensor> {
        if self.padding == 0 {
            return Ok(x.clone());
        }
        let mut x = x.clone();
        for dimension in [2, 3] {
            let mut shape = x.dims().to_vec();
            if let Some(length) = shape.get_mut(dimension) {
                *length = self.padding;
            }
            let border = Tensor::zeros(shape, x.dtype(), x.device())?.affine(0.0, value)?;
            x = Tensor::cat(&[&border, &x, &border], dimension)?;
        }
        Ok(x)
    }

    /// What each window of a flat padded image sees: [rows, channels, windows, size * size].
    fn seen(self, padded: &Tensor, starts: &Tensor, offsets: &Tensor) -> Result<Tensor> {
        let (rows, channels, _) = padded.dims3()?;
        let windows = starts.elem_count();
        let places = starts.unsqueeze(1)?.broadcast_add(offsets)?.flatten_all()?;
        Ok(padded.index_select(&places, 2)?.reshape((rows, channels, windows, self.size * self.size))?)
    }

    /// Where in the flat padded image each window starts, and how far from there its numbers are.
    fn places(self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (_, _, height, width) = x.dims4()?;
        let [down, across] = self.fitting(height, width)?;
        let line = width + 2 * self.padding;
        let grid = |rows: usize, columns: usize, step: usize| {
            let places = (0..rows * columns).map(|cell| (cell / columns * step * line + cell % columns * step) as u32);
            Tensor::from_iter(places, x.device())
        };
        Ok((grid(down, across, self.stride)?, grid(self.size, self.size, 1)?))
    }

    fn fitting(self, height: usize, width: usize) -> Result<[usize; 2]> {
        self.count(height, width).ok_or_else(|| {
            let size = self.size;
            ModelError::Input(format!("a window of {size} x {size} is larger than its input of {height} x {width}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor, Var};
    use rstest::rstest;

    use super::Window;

    const OVERLAPPING: Window = Window { size: 3, stride: 2, padding: 1 };

    fn image(dtype: DType) -> Var {
        let rows = [[1.0_f64, -2.0, 3.0, 0.0], [4.0, 6.0, -6.0, 2.0], [0.0, 1.0, 5.0, 5.0], [-1.0, -1.0, 7.0, 6.0]];
        let image = Tensor::new(&rows, &Device::Cpu).unwrap().reshape((1, 1, 4, 4)).unwrap();
        Var::from_tensor(&image.to_dtype(dtype).unwrap()).unwrap()
    }

    fn flat(x: &Tensor) -> Vec<f64> {
        x.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
    }

    /// 32-bit floats in one pass, others by what windows see.
    #[rstest]
    #[case(DType::F32)]
    #[case(DType::F64)]
    fn a_place_in_two_windows_gets_both_gradients(#[case] dtype: DType) {
        let x = image(dtype);
        let y = OVERLAPPING.max(&x).unwrap();
        assert_eq!(flat(&y), [6.0, 6.0, 6.0, 7.0]);
        let gradient = y.backward().unwrap().get(&x).unwrap().clone();
        let mut expected = [0.0; 16];
        expected[5] = 3.0;
        expected[14] = 1.0;
        assert_eq!(flat(&gradient), expected);
    }

    #[rstest]
    #[case(DType::F32)]
    #[case(DType::F64)]
    fn a_tie_goes_to_the_first_place(#[case] dtype: DType) {
        let x = Var::from_tensor(&Tensor::zeros((1, 1, 2, 2), dtype, &Device::Cpu).unwrap()).unwrap();
        let y = Window { size: 2, stride: 2, padding: 0 }.max(&x).unwrap();
        assert_eq!(flat(y.backward().unwrap().get(&x).unwrap()), [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_border_counts_as_zeros_in_a_mean() {
        let x = image(DType::F64);
        let y = OVERLAPPING.mean(&x).unwrap();
        assert_eq!(flat(&y), [9.0, 3.0, 9.0, 25.0].map(|sum| sum / 9.0));
    }
}

//! A convolution as a matrix multiplication: each position of the window becomes a row of inputs.

use candle_core::{DType, Device, Tensor};

use crate::error::{ModelError, Result};

/// What the kernel of a convolution sees at each of its positions: x [rows, channels, height, width] and a weight of
/// shape [out, channels, kernel, kernel] -> [rows x positions, channels x kernel x kernel], in f32.
///
/// # Errors
/// When shapes do not fit.
pub fn patches(name: &str, x: &Tensor, weight: &[usize], stride: usize, padding: usize) -> Result<Tensor> {
    let window = Window::new(name, x.dims(), weight, stride, padding)?;
    let numbers = x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let rows: Vec<f32> = numbers.chunks(window.image().max(1)).flat_map(|image| window.unfold(image)).collect();
    let width = window.inputs();
    Ok(Tensor::from_vec(rows, (x.dim(0)? * window.positions().iter().product::<usize>(), width), &Device::Cpu)?)
}

/// A window that moves over images of one size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    channels: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
}

impl Window {
    /// For images `x` [rows, channels, height, width] and a weight [out, channels, kernel, kernel].
    pub(super) fn new(name: &str, x: &[usize], weight: &[usize], stride: usize, padding: usize) -> Result<Self> {
        let refuse = |reason: &str| ModelError::Unsupported(format!("cannot run convolution `{name}`: {reason}"));
        let &[_, channels, height, width] = x else { return Err(refuse("its input is not made of images")) };
        let &[_, _, kernel_height, kernel_width] = weight else { return Err(refuse("its weight has no kernel")) };
        let window = Self {
            channels,
            size: [height, width],
            kernel: [kernel_height, kernel_width],
            stride: stride.max(1),
            padding,
        };
        let fits = height + 2 * padding >= kernel_height && width + 2 * padding >= kernel_width;
        if fits { Ok(window) } else { Err(refuse("its kernel is larger than its input")) }
    }

    /// Numbers in one image.
    pub(super) fn image(&self) -> usize {
        self.channels * self.size[0] * self.size[1]
    }

    /// Numbers under the window.
    pub(super) fn inputs(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Positions of the window, down and across.
    pub(super) fn positions(&self) -> [usize; 2] {
        [0, 1].map(|side| (self.size[side] + 2 * self.padding - self.kernel[side]) / self.stride + 1)
    }

    /// An image [channels, height, width] to [positions, channels x kernel x kernel]; the border is zeros.
    pub(super) fn unfold<T: Copy + Default>(&self, image: &[T]) -> Vec<T> {
        let [down, across] = self.positions();
        let mut rows = vec![T::default(); down * across * self.inputs()];
        let places = (0..down).flat_map(|top| (0..across).map(move |left| (top * self.stride, left * self.stride)));
        for ((top, left), row) in places.zip(rows.chunks_exact_mut(self.inputs().max(1))) {
            self.copy(image, top, left, row);
        }
        rows
    }

    /// What lies under the window at one place, which counts the border.
    fn copy<T: Copy>(&self, image: &[T], top: usize, left: usize, row: &mut [T]) {
        let [height, width] = self.size;
        let [kernel_height, kernel_width] = self.kernel;
        // The part of the window's width that lies over the image, as offsets into the window.
        let from = self.padding.saturating_sub(left).min(kernel_width);
        let to = (width + self.padding).saturating_sub(left).min(kernel_width).max(from);
        for (line, target) in row.chunks_exact_mut(kernel_width.max(1)).enumerate() {
            let (channel, offset) = (line / kernel_height, line % kernel_height);
            let Some(y) = (top + offset).checked_sub(self.padding).filter(|&y| y < height) else { continue };
            let start = (channel * height + y) * width + left + from - self.padding.min(left + from);
            if let (Some(target), Some(source)) = (target.get_mut(from..to), image.get(start..start + (to - from))) {
                target.copy_from_slice(source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn unfolds_with_a_border_of_zeros() {
        let window = Window::new("conv", &[1, 1, 2, 3], &[1, 1, 2, 2], 2, 1).unwrap();
        assert_eq!(window.positions(), [2, 2]);
        // . . . . .
        // . 1 2 3 .
        // . 4 5 6 .
        // . . . . .
        let rows = window.unfold(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(rows, [0, 0, 0, 1, 0, 0, 2, 3, 0, 4, 0, 0, 5, 6, 0, 0]);
    }

    #[test]
    fn channels_follow_each_other() {
        let window = Window::new("conv", &[1, 2, 1, 2], &[1, 2, 1, 1], 1, 0).unwrap();
        assert_eq!(window.unfold(&[1, 2, 3, 4]), [1, 3, 2, 4]);
    }

    #[test]
    fn a_kernel_larger_than_the_image_is_refused() {
        let error = Window::new("conv", &[1, 1, 2, 2], &[1, 1, 5, 5], 1, 1).unwrap_err();
        assert_eq!(error.to_string(), "cannot run convolution `conv`: its kernel is larger than its input");
    }
}

//! A convolution as products of matrices (Chellapilla et al. 2006, "High Performance Convolutional Neural Networks for
//! Document Processing", section 3), on the CPU with 32-bit floats: what a kernel reads is laid out as columns, one for
//! each place of its window, and rows of images are copied as a whole.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::{IndexedParallelIterator as _, ParallelIterator as _, ParallelSliceMut as _};

use crate::fused::{self, with_numbers};

/// Bytes that columns may take; more images are worked on in turn.
const AT_ONCE: usize = 64 << 20;

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    images: usize,
    inputs: usize,
    outputs: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

impl Columns {
    /// Of x [images, in, height, width] and weight [out, in, kernel, kernel], where they suit.
    pub(super) fn of(x: &Tensor, weight: &Tensor, stride: usize, padding: usize) -> Option<Self> {
        let ((images, inputs, height, width), (outputs, channels, kernel, across)) =
            (x.dims4().ok()?, weight.dims4().ok()?);
        let sizes = Self { images, inputs, outputs, height, width, kernel, stride, padding };
        let fits = channels == inputs && across == kernel && height.min(width) + 2 * padding >= kernel;
        let counts = images > 0 && inputs > 0 && kernel > 0 && stride > 0;
        (fits && counts && fused::runs(x) && fused::runs(weight)).then_some(sizes)
    }

    fn out(&self, length: usize) -> usize {
        (length + 2 * self.padding - self.kernel) / self.stride + 1
    }

    fn out_width(&self) -> usize {
        self.out(self.width)
    }

    /// Places of the window in an image.
    fn places(&self) -> usize {
        self.out(self.height) * self.out_width()
    }

    /// Numbers that a window reads.
    fn reads(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// All images, a few at a time.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let size = (AT_ONCE / (4 * self.reads() * self.places()).max(1)).max(1);
        (0..self.images).step_by(size).map(move |start| start..(start + size).min(self.images))
    }

    /// [images, out, height', width'].
    pub(super) fn convolve(&self, x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
        let weight = weight.contiguous()?.reshape((self.outputs, self.reads()))?;
        let mut all = vec![0.0; self.images * self.outputs * self.places()];
        with_numbers(x, |x| {
            for images in self.chunks() {
                let y = weight.matmul(&self.columns(x, &images, &weight)?)?;
                let size = self.outputs * self.places();
                let out = all.get_mut(images.start * size..images.end * size).unwrap_or_default();
                with_numbers(&y, |y| {
                    self.swap(y, (self.outputs, images.len()), out);
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        let shape = (self.images, self.outputs, self.out(self.height), self.out_width());
        Tensor::from_vec(all, shape, x.device())
    }

    /// The gradients of x and of the weight from that of the convolution, those that are wanted.
    pub(super) fn gradients(
        &self,
        (x, weight): (&Tensor, &Tensor),
        gradient: &Tensor,
        [of_x, of_weight]: [bool; 2],
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let flat = weight.contiguous()?.reshape((self.outputs, self.reads()))?;
        let size = self.inputs * self.height * self.width;
        let mut for_x = vec![0.0; if of_x { self.images * size } else { 0 }];
        let mut for_weight: Option<Tensor> = None;
        with_numbers(x, |numbers| {
            for images in self.chunks() {
                let part = self.gradient_of(gradient, &images)?;
                if of_weight {
                    let product = part.matmul(&self.columns(numbers, &images, &flat)?.t()?)?;
                    for_weight = Some(match for_weight.take() {
                        Some(sum) => (sum + product)?,
                        None => product,
                    });
                }
                if of_x {
                    let columns = flat.t()?.matmul(&part)?;
                    let out = for_x.get_mut(images.start * size..images.end * size).unwrap_or_default();
                    with_numbers(&columns, |columns| {
                        self.add_columns(columns, images.len(), out);
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })?;
        let for_x = of_x.then(|| Tensor::from_vec(for_x, x.shape(), x.device())).transpose()?;
        Ok((for_x, for_weight.map(|sum| sum.reshape(weight.shape())).transpose()?))
    }

    /// The gradient of some images, [out, images * places].
    fn gradient_of(&self, gradient: &Tensor, images: &Range<usize>) -> candle_core::Result<Tensor> {
        let size = self.outputs * self.places();
        let mut turned = vec![0.0; images.len() * size];
        with_numbers(gradient, |numbers| {
            let own = numbers.get(images.start * size..images.end * size).unwrap_or_default();
            self.swap(own, (images.len(), self.outputs), &mut turned);
            Ok(())
        })?;
        Tensor::from_vec(turned, (self.outputs, images.len() * self.places()), gradient.device())
    }

    /// Numbers [one, other, places] as [other, one, places].
    fn swap(&self, numbers: &[f32], (one, other): (usize, usize), out: &mut [f32]) {
        let places = self.places();
        out.par_chunks_mut(one * places).enumerate().for_each(|(outer, rows)| {
            for (inner, row) in rows.chunks_mut(places).enumerate() {
                let start = (inner * other + outer) * places;
                row.copy_from_slice(&numbers[start..start + places]);
            }
        });
    }

    /// What the window reads of some images, [in * kernel * kernel, images * places].
    fn columns(&self, x: &[f32], images: &Range<usize>, like: &Tensor) -> candle_core::Result<Tensor> {
        let (width, places) = (self.out_width(), self.places());
        let mut columns = vec![0.0; self.reads() * images.len() * places];
        columns.par_chunks_mut(images.len() * places).enumerate().for_each(|(read, out)| {
            for (image, out) in images.clone().zip(out.chunks_mut(places)) {
                let (channel, rows) = self.window(read);
                let x = &x[(image * self.inputs + channel) * self.height * self.width..];
                for (place, row) in rows {
                    let out = &mut out[place * width..(place + 1) * width];
                    self.read_row(&x[row * self.width..(row + 1) * self.width], read % self.kernel, out);
                }
            }
        });
        Tensor::from_vec(columns, (self.reads(), images.len() * places), like.device())
    }

    /// Adds columns back to where they were read.
    fn add_columns(&self, columns: &[f32], images: usize, x: &mut [f32]) {
        let (width, places) = (self.out_width(), self.places());
        let area = self.height * self.width;
        x.par_chunks_mut(self.inputs * area).enumerate().for_each(|(image, x)| {
            for read in 0..self.reads() {
                let columns = &columns[(read * images + image) * places..][..places];
                let (channel, rows) = self.window(read);
                for (place, row) in rows {
                    let x = &mut x[channel * area + row * self.width..][..self.width];
                    self.add_row(&columns[place * width..(place + 1) * width], read % self.kernel, x);
                }
            }
        });
    }

    /// The channel that an entry of the window reads, and its rows there with the row of places that reads each.
    fn window(&self, read: usize) -> (usize, impl Iterator<Item = (usize, usize)> + '_) {
        let (channel, down) = (read / (self.kernel * self.kernel), read / self.kernel % self.kernel);
        let rows = (0..self.out(self.height)).filter_map(move |place| {
            let row = (place * self.stride + down).checked_sub(self.padding)?;
            (row < self.height).then_some((place, row))
        });
        (channel, rows)
    }

    /// The places of a row whose entry `across` lies in the image, and where the first of them reads.
    fn inside(&self, across: usize) -> (Range<usize>, usize) {
        let first = self.padding.saturating_sub(across).div_ceil(self.stride);
        let end = (self.width + self.padding).saturating_sub(across).div_ceil(self.stride).min(self.out_width());
        (first..end.max(first), first * self.stride + across - self.padding.min(first * self.stride + across))
    }

    fn read_row(&self, x: &[f32], across: usize, out: &mut [f32]) {
        let (places, start) = self.inside(across);
        let out = &mut out[places];
        match (self.stride, x.get(start..)) {
            (1, Some(x)) => out.copy_from_slice(&x[..out.len()]),
            (stride, x) => {
                let read = x.unwrap_or_default().iter().step_by(stride);
                out.iter_mut().zip(read).for_each(|(number, read)| *number = *read);
            }
        }
    }

    fn add_row(&self, columns: &[f32], across: usize, x: &mut [f32]) {
        let (places, start) = self.inside(across);
        let read = x.get_mut(start..).unwrap_or_default();
        if self.stride == 1 {
            read.iter_mut().zip(&columns[places]).for_each(|(number, column)| *number += column);
        } else {
            let read = read.iter_mut().step_by(self.stride);
            read.zip(&columns[places]).for_each(|(number, column)| *number += column);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use rstest::rstest;

    use super::Columns;

    fn numbers(shape: &[usize], seed: f32) -> Tensor {
        let count = shape.iter().product::<usize>();
        let numbers: Vec<f32> = (0..count).map(|place| (place as f32 * seed).sin()).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    }

    fn difference(one: &Tensor, other: &Tensor) -> f32 {
        assert_eq!(one.dims(), other.dims());
        (one - other).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap()
    }

    /// candle's convolution, and the products <dy, conv(e)> of its linear map with the unit images and kernels.
    #[rstest]
    #[case(3, 1, 1)]
    #[case(3, 1, 0)]
    #[case(3, 2, 1)]
    #[case(2, 3, 0)]
    #[case(5, 2, 2)]
    #[case(1, 1, 0)]
    #[case(1, 2, 0)]
    #[case(4, 5, 3)]
    fn a_convolution_and_its_gradients(#[case] kernel: usize, #[case] stride: usize, #[case] padding: usize) {
        let (x, weight) = (numbers(&[3, 2, 7, 6], 0.7), numbers(&[4, 2, kernel, kernel], 1.3));
        let columns = Columns::of(&x, &weight, stride, padding).unwrap();
        let expected = x.conv2d(&weight, padding, stride, 1, 1).unwrap();
        let found = columns.convolve(&x, &weight).unwrap();
        assert!(difference(&found, &expected) < 1e-5);
        let gradient = numbers(expected.dims(), 2.1);
        let (of_x, of_weight) = columns.gradients((&x, &weight), &gradient, [true, true]).unwrap();
        let unit = |like: &Tensor, place: usize| {
            let mut numbers = vec![0.0_f32; like.elem_count()];
            numbers[place] = 1.0;
            Tensor::from_vec(numbers, like.shape(), &Device::Cpu).unwrap()
        };
        let slopes = |like: &Tensor, along: &dyn Fn(&Tensor) -> Tensor| {
            let slope = |place| (along(&unit(like, place)) * &gradient).unwrap().sum_all().unwrap();
            let slopes = (0..like.elem_count()).map(|place| slope(place).to_scalar::<f32>().unwrap()).collect();
            Tensor::from_vec::<_, f32>(slopes, like.shape(), &Device::Cpu).unwrap()
        };
        let by_x = slopes(&x, &|x| x.conv2d(&weight, padding, stride, 1, 1).unwrap());
        let by_weight = slopes(&weight, &|weight| x.conv2d(weight, padding, stride, 1, 1).unwrap());
        assert!(difference(&of_x.unwrap(), &by_x) < 1e-5);
        assert!(difference(&of_weight.unwrap(), &by_weight) < 1e-4);
    }

    /// As many as fit at once, one after the other, give what all together give.
    #[test]
    fn images_are_worked_on_in_turn() {
        let (x, weight) = (numbers(&[40, 16, 64, 64], 0.7), numbers(&[2, 16, 3, 3], 1.3));
        let columns = Columns::of(&x, &weight, 1, 1).unwrap();
        assert!(columns.chunks().count() > 1);
        let found = columns.convolve(&x, &weight).unwrap();
        assert!(difference(&found, &x.conv2d(&weight, 1, 1, 1, 1).unwrap()) < 1e-4);
        let (_, of_weight) = columns.gradients((&x, &weight), &found, [false, true]).unwrap();
        let half = |start: usize| {
            let (x, found) = (x.narrow(0, start, 20).unwrap(), found.narrow(0, start, 20).unwrap());
            let columns = Columns::of(&x, &weight, 1, 1).unwrap();
            columns.gradients((&x, &weight), &found, [false, true]).unwrap().1.unwrap()
        };
        let expected = (half(0) + half(20)).unwrap();
        let scale = expected.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(difference(&of_weight.unwrap(), &expected) < 1e-4 * scale);
    }

    #[test]
    fn other_numbers_and_kernels_are_left_to_candle() {
        let (x, weight) = (numbers(&[1, 2, 3, 3], 0.7), numbers(&[1, 2, 5, 5], 1.3));
        assert!(Columns::of(&x, &weight, 1, 0).is_none(), "the kernel is larger than the image");
        assert!(Columns::of(&x, &weight, 1, 1).is_some());
        let double = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
        assert!(Columns::of(&double(&x), &double(&weight), 1, 1).is_none());
    }
}

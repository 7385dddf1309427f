//! The largest number of every window in one pass over memory, on the CPU with 32-bit floats.

use candle_core::Tensor;
use rayon::prelude::{IndexedParallelIterator as _, ParallelIterator as _, ParallelSlice as _, ParallelSliceMut as _};

use super::Window;
use crate::error::Result;
use crate::fused::with_numbers;
use crate::gradient::{Backward1, with_gradient_of_one};

/// Of x [rows, channels, height, width]: [rows, channels, down, across]. The gradient goes to the first place of a
/// window that holds its largest number; the border has none.
pub(super) fn max(window: Window, x: &Tensor, [down, across]: [usize; 2]) -> Result<Tensor> {
    let (rows, channels, height, width) = x.dims4()?;
    let (area, count) = (height * width, down * across);
    let mut largest = vec![0.0_f32; rows * channels * count];
    let mut chosen = vec![0_u32; rows * channels * count];
    with_numbers(x, |numbers| {
        let out = largest.par_chunks_mut(count).zip(chosen.par_chunks_mut(count));
        out.zip(numbers.par_chunks(area)).for_each(|((largest, chosen), plane)| {
            for (place, (largest, chosen)) in largest.iter_mut().zip(chosen).enumerate() {
                let seen = window.inside([place / across, place % across], [height, width]);
                (*largest, *chosen) = first_largest(plane, seen);
            }
        });
        Ok(())
    })?;
    let value = Tensor::from_vec(largest, (rows, channels, down, across), x.device())?;
    with_gradient_of_one(x, &value, Chosen { places: chosen, area, count })
}

impl Window {
    /// The places of a window that lie in the image, row after row.
    fn inside(self, [row, column]: [usize; 2], [height, width]: [usize; 2]) -> impl Iterator<Item = usize> {
        let range = |at: usize, length: usize| {
            let start = at * self.stride;
            start.saturating_sub(self.padding)..(start + self.size).saturating_sub(self.padding).min(length)
        };
        let columns = range(column, width);
        range(row, height).flat_map(move |row| columns.clone().map(move |column| row * width + column))
    }
}

/// The largest number of these places, and the first place that holds it; of one that is none, that.
fn first_largest(plane: &[f32], places: impl Iterator<Item = usize>) -> (f32, u32) {
    let mut best = (f32::NEG_INFINITY, None);
    for place in places {
        let number = plane[place];
        if best.1.is_none() || number > best.0 || (number.is_nan() && !best.0.is_nan()) {
            best = (number, Some(place as u32));
        }
    }
    (best.0, best.1.unwrap_or_default())
}

/// Where each largest number was, in its plane of `area` numbers, which has `count` windows.
struct Chosen {
    places: Vec<u32>,
    area: usize,
    count: usize,
}

impl Backward1 for Chosen {
    const NAME: &'static str = "largest of windows";

    fn backward(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Tensor> {
        let mut sums = vec![0.0_f32; x.elem_count()];
        with_numbers(gradient, |gradient| {
            let planes = self.places.par_chunks(self.count).zip(gradient.par_chunks(self.count));
            sums.par_chunks_mut(self.area).zip(planes).for_each(|(sums, (places, gradient))| {
                places.iter().zip(gradient).for_each(|(place, gradient)| sums[*place as usize] += gradient);
            });
            Ok(())
        })?;
        Tensor::from_vec(sums, x.shape(), x.device())
    }
}

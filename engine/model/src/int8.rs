//! Integer matrix multiplication: inputs of up to 16 bits by weights of up to 8, summed exactly in 32 bits, scaled to
//! floats.
//!
//! Weights are packed once, when a network is built: output channels lie in panels of [`PANEL`], and in a panel two
//! inputs of every channel lie side by side, which is what the processor's multiply-add of pairs reads. Where inputs fit
//! a byte, it is four, as long as the processor adds their products exactly: any weights with an instruction for neural
//! networks, weights of at most 7 bits without. Weights of at most 4 bits lie two in a byte then. Sums are exact, so that
//! every kernel and layout gives the same bits, for any number of threads.

mod kernel;
mod panels;
mod rows;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

pub use panels::{Inputs, Panels};
pub use rows::Rows;

use kernel::Job;

/// Output channels that are summed together.
pub const PANEL: usize = 32;

/// Rows of inputs in one task: they stay in the cache while all panels pass.
const ROWS: usize = 96;

/// With fewer products, waking other threads takes longer than the work.
const ALONE: usize = 1 << 21;

/// Panels in one task where there is one row.
const PANELS: usize = 4;

/// Whether sums of products of bytes are exact for weights of 8 bits too.
fn multiplies_bytes_exactly() -> bool {
    #[cfg(target_arch = "x86_64")]
    return x86::multiplies_bytes_exactly();
    #[cfg(not(target_arch = "x86_64"))]
    false
}

impl Panels {
    /// Rows of inputs to rows of outputs, row after row: for each span of inputs that share a scale, the exact sum of
    /// products (of the weight less its zero point) times the scale; these added up, times the row's scale, plus `bias`
    /// of the channel. Rows laid out for other panels give zeros.
    pub fn multiply(&self, x: &Rows, bias: Option<&[f32]>) -> Vec<f32> {
        let mut y = vec![0.0; x.len() * self.outputs()];
        if y.is_empty() {
            return y;
        }
        let job = |rows: Range<usize>, panels: Range<usize>, y| Job { weights: self, x, bias, rows, panels, y };
        if x.len() * self.inputs() * self.outputs() < ALONE {
            job(0..x.len(), self.part(0, usize::MAX), &mut y).run();
            return y;
        }
        if x.len() == 1 {
            let tasks = y.par_chunks_mut(PANELS * PANEL).enumerate();
            tasks.for_each(|(index, y)| job(0..1, self.part(index * PANELS, PANELS), y).run());
            return y;
        }
        let rows = x.len().div_ceil(rayon::current_num_threads()).clamp(1, ROWS);
        let tasks = y.par_chunks_mut(rows * self.outputs()).enumerate();
        tasks.for_each(|(index, y)| {
            let first = index * rows;
            job(first..x.len().min(first + rows), self.part(0, usize::MAX), y).run();
        });
        y
    }

    /// Up to `count` panels from the `first`.
    fn part(&self, first: usize, count: usize) -> Range<usize> {
        first..self.outputs().div_ceil(PANEL).min(first.saturating_add(count))
    }
}

#[cfg(test)]
mod tests;

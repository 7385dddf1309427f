//! Integer matrix multiplication: 16-bit inputs by 8-bit weights, summed exactly in 32 bits.

mod kernel;

use std::ops::Range;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use kernel::{PANEL, Tile};

/// The longest sum that is exact: (2^31 - 1) / (255 * 255) = 33025 products of an input in -255..=255 and a weight that
/// its zero point moved to -255..=255.
pub const LONGEST: usize = 32_768;

/// Rows of inputs in one task.
const ROWS: usize = 16;

/// Output channels in one task, where there are few rows.
const CHANNELS: usize = 16 * PANEL;

/// For each row of `x` (rows x `inputs`) and each of `weight` (outputs x `inputs`), the sum of products over the
/// inputs in `span`: rows x outputs sums. Exact for inputs in -255..=255 and spans of up to [`LONGEST`]; the same for
/// any number of threads and any processor. A span beyond the inputs sums nothing.
pub fn multiply(x: &[i16], weight: &[i8], inputs: usize, span: Range<usize>) -> Vec<i32> {
    let (rows, outputs) = (x.len() / inputs.max(1), weight.len() / inputs.max(1));
    let mut sums = vec![0; rows * outputs];
    if sums.is_empty() || span.end > inputs {
        return sums;
    }
    if rows >= ROWS {
        let tasks = sums.par_chunks_mut(ROWS * outputs).zip(x.par_chunks(ROWS * inputs));
        tasks.for_each(|(sums, x)| Tile { x, weight, inputs, span: span.clone(), sums }.run());
        return sums;
    }
    let mut blocks = vec![0; rows * outputs];
    let tasks = blocks.par_chunks_mut(rows * CHANNELS).zip(weight.par_chunks(CHANNELS * inputs));
    tasks.for_each(|(sums, weight)| Tile { x, weight, inputs, span: span.clone(), sums }.run());
    for (index, block) in blocks.chunks(rows * CHANNELS).enumerate() {
        let width = block.len() / rows;
        for (row, part) in sums.chunks_mut(outputs).zip(block.chunks(width)) {
            row.iter_mut().skip(index * CHANNELS).zip(part).for_each(|(sum, part)| *sum = *part);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, multiply};

    /// Integers that look random.
    fn mixed(count: usize, modulus: u32, shift: i32) -> impl Iterator<Item = i32> {
        (0..count as u32)
            .map(move |index| (index.wrapping_mul(2_654_435_761) >> 7) % modulus)
            .map(move |x| x as i32 + shift)
    }

    fn reference(x: &[i16], weight: &[i8], inputs: usize, from: usize, to: usize) -> Vec<i32> {
        let sum = |x: &[i16], row: &[i8]| (from..to).map(|i| i64::from(x[i]) * i64::from(row[i])).sum::<i64>() as i32;
        x.chunks(inputs).flat_map(|x| weight.chunks(inputs).map(move |row| sum(x, row))).collect()
    }

    #[test]
    fn agrees_with_plain_sums_for_every_shape() {
        for (rows, inputs, outputs) in [(1, 1, 1), (1, 70, 300), (3, 33, 131), (16, 64, 8), (37, 129, 13)] {
            let x: Vec<i16> = mixed(rows * inputs, 511, -255).map(|x| x as i16).collect();
            let weight: Vec<i8> = mixed(outputs * inputs, 256, -128).map(|x| x as i8).collect();
            for (from, to) in [(0, inputs), (inputs / 3, inputs / 2 + 1)] {
                let expected = reference(&x, &weight, inputs, from, to);
                assert_eq!(multiply(&x, &weight, inputs, from..to), expected, "{rows} x {inputs} x {outputs}");
            }
        }
    }

    #[test]
    fn the_longest_sum_of_the_largest_products_is_exact() {
        let sums = multiply(&vec![255; LONGEST], &vec![-128; LONGEST], LONGEST, 0..LONGEST);
        assert_eq!(sums, [-(255 * 128 * LONGEST as i32)]);
    }

    #[test]
    fn nothing_by_nothing_is_nothing() {
        assert!(multiply(&[], &[1, 2], 2, 0..2).is_empty());
        assert!(multiply(&[1, 2], &[], 2, 0..2).is_empty());
        assert!(multiply(&[], &[], 0, 0..0).is_empty());
    }
}

//! Integer matrix multiplication: 16-bit inputs by 8-bit weights, summed exactly in 32 bits.

use std::ops::Range;

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

/// The longest sum that is exact: (2^31 - 1) / (255 * 255) = 33025 products of an input in -255..=255 and a weight that
/// its zero point moved to -255..=255.
pub const LONGEST: usize = 32_768;

/// Rows of weights that are widened at once and stay in the nearest cache.
const PANEL: usize = 8;

/// Rows of inputs in one task.
const TASK: usize = 16;

/// For each row of `x` (rows x `inputs`) and each of `weight` (outputs x `inputs`), the sum of products over the
/// inputs in `span`: rows x outputs sums. Exact for inputs in -255..=255 and spans of up to [`LONGEST`]; the same for
/// any number of threads. A span beyond the inputs sums nothing.
pub fn multiply(x: &[i16], weight: &[i8], inputs: usize, span: Range<usize>) -> Vec<i32> {
    let (rows, outputs) = (x.len() / inputs.max(1), weight.len() / inputs.max(1));
    let mut sums = vec![0; rows * outputs];
    if sums.is_empty() {
        return sums;
    }
    if rows >= TASK {
        let tasks = sums.par_chunks_mut(TASK * outputs).zip(x.par_chunks(TASK * inputs));
        tasks.for_each(|(sums, x)| tile(x, weight, inputs, &span, sums));
    } else {
        for (x, sums) in x.chunks_exact(inputs).zip(sums.chunks_exact_mut(outputs)) {
            let tasks = sums.par_chunks_mut(TASK * PANEL).zip(weight.par_chunks(TASK * PANEL * inputs));
            tasks.for_each(|(sums, weight)| tile(x, weight, inputs, &span, sums));
        }
    }
    sums
}

/// One task of [`multiply`].
fn tile(x: &[i16], weight: &[i8], inputs: usize, span: &Range<usize>, sums: &mut [i32]) {
    let outputs = weight.len() / inputs;
    let mut panel = Vec::with_capacity(PANEL * span.len());
    for (index, weights) in weight.chunks(PANEL * inputs).enumerate() {
        panel.clear();
        for row in weights.chunks_exact(inputs) {
            panel.extend(row.get(span.clone()).unwrap_or_default().iter().map(|&value| i16::from(value)));
        }
        for (x, sums) in x.chunks_exact(inputs).zip(sums.chunks_exact_mut(outputs)) {
            let x = x.get(span.clone()).unwrap_or_default();
            let sums = sums.iter_mut().skip(index * PANEL);
            sums.zip(panel.chunks_exact(span.len().max(1))).for_each(|(sum, row)| *sum = dot(x, row));
        }
    }
}

/// The sum of products. Wrapping only spares the checks: within the documented ranges nothing wraps.
fn dot(one: &[i16], other: &[i16]) -> i32 {
    let products = one.iter().zip(other).map(|(&one, &other)| i32::from(one).wrapping_mul(i32::from(other)));
    products.fold(0, i32::wrapping_add)
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
        for (rows, inputs, outputs) in [(1, 1, 1), (1, 70, 300), (3, 33, 9), (16, 64, 8), (37, 129, 13)] {
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

//! The innermost sums: two rows of inputs by four output channels at a time, in AVX2 where the processor has it.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use pulp::x86::V3;

/// Output channels that are summed together.
pub(super) const PANEL: usize = 4;

/// Part of a multiplication: rows of inputs by output channels, and where their sums go (rows x channels).
pub(super) struct Tile<'a> {
    pub(super) x: &'a [i16],
    pub(super) weight: &'a [i8],
    pub(super) inputs: usize,
    pub(super) span: Range<usize>,
    pub(super) sums: &'a mut [i32],
}

/// Sums of products of two rows of inputs and four of weights, all of one length.
trait Kernel: Copy {
    fn sums(self, x: [&[i16]; 2], weights: [&[i8]; PANEL]) -> [[i32; PANEL]; 2];
}

impl Tile<'_> {
    /// Computes the sums with the best kernel that the processor has.
    pub(super) fn run(self) {
        #[cfg(target_arch = "x86_64")]
        if let Some(simd) = V3::try_new() {
            return simd.vectorize(Vectorized { simd, tile: self });
        }
        self.sum_with(Plain);
    }

    #[inline(always)]
    fn sum_with(self, kernel: impl Kernel) {
        let Tile { x, weight, inputs, span, sums } = self;
        let outputs = weight.len() / inputs;
        for (panel, weights) in weight.chunks(PANEL * inputs).enumerate() {
            let count = weights.len() / inputs;
            // The last panel may have fewer channels; its last one then stands in for those that are missing.
            let channel = |index: usize| {
                let start = index.min(count - 1) * inputs;
                weights.get(start + span.start..start + span.end).unwrap_or_default()
            };
            let channels = [0, 1, 2, 3].map(channel);
            for (x, sums) in x.chunks(2 * inputs).zip(sums.chunks_mut(2 * outputs)) {
                let one = x.get(span.clone()).unwrap_or_default();
                let two = x.get(inputs..).and_then(|x| x.get(span.clone())).unwrap_or(one);
                for (sums, found) in sums.chunks_mut(outputs).zip(kernel.sums([one, two], channels)) {
                    sums.iter_mut().skip(panel * PANEL).zip(found).for_each(|(sum, found)| *sum = found);
                }
            }
        }
    }
}

/// For every processor.
#[derive(Clone, Copy)]
struct Plain;

impl Kernel for Plain {
    fn sums(self, x: [&[i16]; 2], weights: [&[i8]; PANEL]) -> [[i32; PANEL]; 2] {
        x.map(|x| weights.map(|row| sum(x, row)))
    }
}

/// The sum of products. Wrapping only spares the checks: within the documented ranges nothing wraps.
#[inline(always)]
fn sum(x: &[i16], weights: &[i8]) -> i32 {
    let products = x.iter().zip(weights).map(|(&x, &weight)| i32::from(x).wrapping_mul(i32::from(weight)));
    products.fold(0, i32::wrapping_add)
}

#[cfg(target_arch = "x86_64")]
struct Vectorized<'a> {
    simd: V3,
    tile: Tile<'a>,
}

#[cfg(target_arch = "x86_64")]
impl pulp::NullaryFnOnce for Vectorized<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.tile.sum_with(self.simd);
    }
}

/// 16 inputs at a time: weights are widened to 16 bits, multiplied, and pairs of products added in 32 bits, exactly.
#[cfg(target_arch = "x86_64")]
impl Kernel for V3 {
    #[inline(always)]
    fn sums(self, x: [&[i16]; 2], weights: [&[i8]; PANEL]) -> [[i32; PANEL]; 2] {
        let ([one, two], [a, b, c, d]) = (x.map(whole), weights.map(whole));
        let zero = self.avx._mm256_setzero_si256();
        let mut lanes = [[zero; PANEL]; 2];
        for (((((&one, &two), &a), &b), &c), &d) in one.iter().zip(two).zip(a).zip(b).zip(c).zip(d) {
            let channels = [a, b, c, d].map(|row| self.avx2._mm256_cvtepi8_epi16(pulp::cast(row)));
            for (lanes, x) in lanes.iter_mut().zip([one, two]) {
                let x = pulp::cast(x);
                for (lanes, channel) in lanes.iter_mut().zip(channels) {
                    *lanes = self.avx2._mm256_add_epi32(*lanes, self.avx2._mm256_madd_epi16(x, channel));
                }
            }
        }
        let mut sums = [[0; PANEL]; 2];
        for ((sums, lanes), x) in sums.iter_mut().zip(lanes).zip(x) {
            for ((total, lanes), row) in sums.iter_mut().zip(lanes).zip(weights) {
                let lanes: [i32; 8] = pulp::cast(lanes);
                *total = lanes.into_iter().fold(sum(rest(x), rest(row)), i32::wrapping_add);
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn whole<T>(row: &[T]) -> &[[T; 16]] {
    row.as_chunks().0
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn rest<T>(row: &[T]) -> &[T] {
    row.as_chunks::<16>().1
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Plain, Tile};

    /// By hand: rows (1, 2) and (3, -4) by channels (5, 6), (-7, 8), (0, 1).
    #[test]
    fn a_tile_by_hand() {
        let mut sums = [0; 6];
        Tile { x: &[1, 2, 3, -4], weight: &[5, 6, -7, 8, 0, 1], inputs: 2, span: 0..2, sums: &mut sums }.run();
        assert_eq!(sums, [17, 9, 2, -9, -53, -4]);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn kernels_agree_bit_for_bit() {
        let Some(simd) = pulp::x86::V3::try_new() else { return };
        for length in [0, 1, 15, 16, 17, 100] {
            let x = [1, 7]
                .map(|step| (0..length).map(|index| ((index * step * 37) % 511 - 255) as i16).collect::<Vec<_>>());
            let weights = [3, 5, 11, 13]
                .map(|step| (0..length).map(|index| (index * step * 29 % 256) as u8 as i8).collect::<Vec<_>>());
            let (x, weights) = (x.each_ref().map(Vec::as_slice), weights.each_ref().map(Vec::as_slice));
            assert_eq!(simd.sums(x, weights), Plain.sums(x, weights), "{length}");
        }
    }
}

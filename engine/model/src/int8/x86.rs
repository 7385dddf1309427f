//! Kernels for x86-64: pairs of 16-bit products are added in 32 bits, exactly.

use std::arch::x86_64::{__m256i, __m512i};

use pulp::NullaryFnOnce;
use pulp::core_arch::x86::{Avx512bw, Avx512f};
use pulp::x86::{V3, V4};

use super::PANEL;
use super::kernel::{Job, Kernel, Tiles, Weights};

pulp::simd_type! {
    /// AVX-512 with its instruction for neural networks that multiplies pairs and adds them to a sum. It has no name
    /// here: the compiler makes it of [`Avx512`]'s two.
    struct Vnni {
        avx512f: "avx512f",
        avx512bw: "avx512bw",
        avx512vl: "avx512vl",
        avx512vnni: "avx512vnni",
    }
}

/// Runs the job with the widest vectors that the processor has; gives it back where there are none.
pub(super) fn run(job: Job<'_>) -> Option<Job<'_>> {
    if let Some(simd) = Vnni::try_new() {
        simd.vectorize(Vectorized { kernel: Avx512 { f: simd.avx512f, bw: simd.avx512bw }, job });
    } else if let Some(simd) = V4::try_new() {
        simd.vectorize(Vectorized { kernel: Avx512 { f: simd.avx512f, bw: simd.avx512bw }, job });
    } else if let Some(simd) = V3::try_new() {
        simd.vectorize(Vectorized { kernel: Avx2(simd), job });
    } else {
        return Some(job);
    }
    None
}

struct Vectorized<'a, K> {
    kernel: K,
    job: Job<'a>,
}

impl<K: Kernel> NullaryFnOnce for Vectorized<'_, K> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.job.run_with(self.kernel);
    }
}

/// 256 bits: 8 channels a vector.
#[derive(Clone, Copy)]
struct Avx2(V3);

impl Kernel for Avx2 {
    #[inline(always)]
    fn sums<const R: usize, W: Weights>(self, x: [&[[i16; 2]]; R], weights: &[W]) -> [[i32; PANEL]; R] {
        let Self(simd) = self;
        let mut sums = [[simd.avx._mm256_setzero_si256(); 4]; R];
        if x.iter().any(|row| row.len() != weights.len()) {
            return [[0; PANEL]; R];
        }
        for (pair, weights) in weights.iter().enumerate() {
            let weights: [__m256i; 4] = pulp::cast(weights.wide());
            for (sums, row) in sums.iter_mut().zip(x) {
                let Some(&inputs) = row.get(pair) else { continue };
                let inputs = simd.avx._mm256_set1_epi32(pulp::cast(inputs));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = simd.avx2._mm256_add_epi32(*sum, simd.avx2._mm256_madd_epi16(inputs, weights));
                }
            }
        }
        sums.map(pulp::cast)
    }

    #[inline(always)]
    fn cover<W: Weights>(self, tiles: &mut Tiles<'_, '_, W>) {
        tiles.by::<3>(self);
        tiles.by::<1>(self);
    }
}

/// 512 bits: 16 channels a vector.
#[derive(Clone, Copy)]
struct Avx512 {
    f: Avx512f,
    bw: Avx512bw,
}

impl Kernel for Avx512 {
    #[inline(always)]
    fn sums<const R: usize, W: Weights>(self, x: [&[[i16; 2]]; R], weights: &[W]) -> [[i32; PANEL]; R] {
        let mut sums = [[self.f._mm512_setzero_si512(); 2]; R];
        if x.iter().any(|row| row.len() != weights.len()) {
            return [[0; PANEL]; R];
        }
        for (pair, weights) in weights.iter().enumerate() {
            let weights: [__m512i; 2] = pulp::cast(weights.wide());
            for (sums, row) in sums.iter_mut().zip(x) {
                let Some(&inputs) = row.get(pair) else { continue };
                let inputs = self.f._mm512_set1_epi32(pulp::cast(inputs));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = self.f._mm512_add_epi32(*sum, self.bw._mm512_madd_epi16(inputs, weights));
                }
            }
        }
        sums.map(pulp::cast)
    }

    #[inline(always)]
    fn cover<W: Weights>(self, tiles: &mut Tiles<'_, '_, W>) {
        tiles.by::<12>(self);
        tiles.by::<4>(self);
        tiles.by::<1>(self);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pulp::x86::{V3, V4};

    use super::{Avx2, Avx512, Vectorized, Vnni};
    use crate::int8::kernel::Job;

    /// Gives a job to a kernel; what comes of it.
    type Run<'a> = dyn Fn(&mut dyn FnMut(Job<'_>)) -> Vec<f32> + 'a;

    /// Every kernel that the processor runs gives these bits for the job.
    pub(in crate::int8) fn agree(run: &Run<'_>, expected: &[f32]) {
        if let Some(simd) = V3::try_new() {
            assert_eq!(run(&mut |job| simd.vectorize(Vectorized { kernel: Avx2(simd), job })), expected);
        }
        if let Some(simd) = V4::try_new() {
            let kernel = Avx512 { f: simd.avx512f, bw: simd.avx512bw };
            assert_eq!(run(&mut |job| simd.vectorize(Vectorized { kernel, job })), expected);
        }
        if let Some(simd) = Vnni::try_new() {
            let kernel = Avx512 { f: simd.avx512f, bw: simd.avx512bw };
            assert_eq!(run(&mut |job| simd.vectorize(Vectorized { kernel, job })), expected);
        }
    }
}

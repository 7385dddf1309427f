//! Kernels for x86-64. Pairs of 16-bit products are added in 32 bits, and pairs of products of bytes in 16 bits, which is
//! exact for weights of 7 bits; where the processor has an instruction for neural networks, four products of bytes in 32.

use std::arch::x86_64::{__m256, __m256i, __m512, __m512i, _mm512_dpbusd_epi32};

use pulp::NullaryFnOnce;
use pulp::core_arch::x86::{Avx512bw, Avx512f, Avx512vnni};
use pulp::x86::{V3, V4};

use super::PANEL;
use super::kernel::{Eight, Job, Kernel, Outputs, Pair, Part, Tiles, Weights};

pulp::simd_type! {
    /// AVX-512 with its instructions for neural networks, which multiply pairs or fours and add them to a sum. That for
    /// pairs has no name here: the compiler makes it of [`Avx512`]'s two.
    struct Vnni {
        avx512f: "avx512f",
        avx512bw: "avx512bw",
        avx512vl: "avx512vl",
        avx512vnni: "avx512vnni",
    }
}

/// Whether sums of four products of bytes are exact whatever the weights.
pub(super) fn multiplies_bytes_exactly() -> bool {
    Vnni::is_available()
}

/// Runs the job with the widest vectors that the processor has; gives it back where there are none.
pub(super) fn run(job: Job<'_>) -> Option<Job<'_>> {
    if let Some(simd) = Vnni::try_new() {
        simd.vectorize(Vectorized { kernel: Avx512Vnni::new(simd), job });
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
    fn pairs<const R: usize, W: Pair>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        let Self(simd) = self;
        let mut sums = part.start.map(pulp::cast::<_, [__m256i; 4]>);
        if !part.fits() {
            return;
        }
        for (pair, weights) in part.weights.iter().enumerate() {
            let weights: [__m256i; 4] = pulp::cast(weights.wide());
            for (sums, row) in sums.iter_mut().zip(part.x) {
                let Some(&inputs) = row.get(pair) else { continue };
                let inputs = simd.avx._mm256_set1_epi32(pulp::cast(inputs));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = simd.avx2._mm256_add_epi32(*sum, simd.avx2._mm256_madd_epi16(inputs, weights));
                }
            }
        }
        self.finish(sums, part.scales, outputs);
    }

    #[inline(always)]
    fn bytes<const R: usize, W: Eight>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        let Self(simd) = self;
        let mut sums = part.start.map(pulp::cast::<_, [__m256i; 4]>);
        if !part.fits() {
            return;
        }
        let ones = simd.avx._mm256_set1_epi16(1);
        for (unit, weights) in part.weights.iter().enumerate() {
            for (four, weights) in weights.bytes().into_iter().enumerate() {
                let weights: [__m256i; 4] = pulp::cast(weights);
                for (sums, row) in sums.iter_mut().zip(part.x) {
                    let Some(&inputs) = row.get(unit).and_then(|unit| unit.get(four)) else { continue };
                    let inputs = simd.avx._mm256_set1_epi32(pulp::cast(inputs));
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        let products = simd.avx2._mm256_maddubs_epi16(inputs, weights);
                        *sum = simd.avx2._mm256_add_epi32(*sum, simd.avx2._mm256_madd_epi16(products, ones));
                    }
                }
            }
        }
        self.finish(sums, part.scales, outputs);
    }

    #[inline(always)]
    fn cover<W: Weights>(self, tiles: &mut Tiles<'_, '_, W>) {
        tiles.by::<3>(self);
        tiles.by::<1>(self);
    }
}

impl Avx2 {
    /// Scales sums and adds them to the outputs.
    #[inline(always)]
    fn finish<const R: usize>(self, sums: [[__m256i; 4]; R], scales: &[f32; PANEL], outputs: &mut Outputs<R>) {
        let avx = self.0.avx;
        let scales: [__m256; 4] = pulp::cast(*scales);
        for (outputs, sums) in outputs.iter_mut().zip(sums) {
            let mut found: [__m256; 4] = pulp::cast(*outputs);
            for ((output, sum), scale) in found.iter_mut().zip(sums).zip(scales) {
                *output = avx._mm256_add_ps(*output, avx._mm256_mul_ps(avx._mm256_cvtepi32_ps(sum), scale));
            }
            *outputs = pulp::cast(found);
        }
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
    fn pairs<const R: usize, W: Pair>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        let mut sums = part.start.map(pulp::cast::<_, [__m512i; 2]>);
        if !part.fits() {
            return;
        }
        for (pair, weights) in part.weights.iter().enumerate() {
            let weights: [__m512i; 2] = pulp::cast(weights.wide());
            for (sums, row) in sums.iter_mut().zip(part.x) {
                let Some(&inputs) = row.get(pair) else { continue };
                let inputs = self.f._mm512_set1_epi32(pulp::cast(inputs));
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = self.f._mm512_add_epi32(*sum, self.bw._mm512_madd_epi16(inputs, weights));
                }
            }
        }
        self.finish(sums, part.scales, outputs);
    }

    #[inline(always)]
    fn bytes<const R: usize, W: Eight>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        let ones = self.f._mm512_set1_epi16(1);
        self.fours(part, outputs, |sum, inputs, weights| {
            let products = self.bw._mm512_maddubs_epi16(inputs, weights);
            self.f._mm512_add_epi32(sum, self.bw._mm512_madd_epi16(products, ones))
        })
    }

    #[inline(always)]
    fn cover<W: Weights>(self, tiles: &mut Tiles<'_, '_, W>) {
        self.cover_with(self, tiles);
    }
}

impl Avx512 {
    #[inline(always)]
    fn cover_with<W: Weights>(self, kernel: impl Kernel, tiles: &mut Tiles<'_, '_, W>) {
        tiles.by::<12>(kernel);
        tiles.by::<4>(kernel);
        tiles.by::<1>(kernel);
    }

    /// Scales sums and adds them to the outputs.
    #[inline(always)]
    fn finish<const R: usize>(self, sums: [[__m512i; 2]; R], scales: &[f32; PANEL], outputs: &mut Outputs<R>) {
        let f = self.f;
        let scales: [__m512; 2] = pulp::cast(*scales);
        for (outputs, sums) in outputs.iter_mut().zip(sums) {
            let mut found: [__m512; 2] = pulp::cast(*outputs);
            for ((output, sum), scale) in found.iter_mut().zip(sums).zip(scales) {
                *output = f._mm512_add_ps(*output, f._mm512_mul_ps(f._mm512_cvtepi32_ps(sum), scale));
            }
            *outputs = pulp::cast(found);
        }
    }

    /// Sums of fours of products.
    #[inline(always)]
    fn fours<const R: usize, W: Eight>(
        self,
        part: Part<'_, R, W>,
        outputs: &mut Outputs<R>,
        add: impl Fn(__m512i, __m512i, __m512i) -> __m512i,
    ) {
        let mut sums = part.start.map(pulp::cast::<_, [__m512i; 2]>);
        if !part.fits() {
            return;
        }
        for (unit, weights) in part.weights.iter().enumerate() {
            for (four, weights) in weights.bytes().into_iter().enumerate() {
                let weights: [__m512i; 2] = pulp::cast(weights);
                for (sums, row) in sums.iter_mut().zip(part.x) {
                    let Some(&inputs) = row.get(unit).and_then(|unit| unit.get(four)) else { continue };
                    let inputs = self.f._mm512_set1_epi32(pulp::cast(inputs));
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = add(*sum, inputs, weights);
                    }
                }
            }
        }
        self.finish(sums, part.scales, outputs);
    }
}

/// 512 bits, and the instruction for fours.
#[derive(Clone, Copy)]
struct Avx512Vnni {
    plain: Avx512,
    /// The processor has it.
    _vnni: Avx512vnni,
}

impl Avx512Vnni {
    fn new(simd: Vnni) -> Self {
        Self { plain: Avx512 { f: simd.avx512f, bw: simd.avx512bw }, _vnni: simd.avx512vnni }
    }

    /// Adds four products of bytes to each sum, exactly.
    #[inline(always)]
    fn add(self, sum: __m512i, inputs: __m512i, weights: __m512i) -> __m512i {
        #[allow(unsafe_code, reason = "pulp has no name for this instruction, which `_vnni` says is there")]
        unsafe {
            _mm512_dpbusd_epi32(sum, inputs, weights)
        }
    }
}

impl Kernel for Avx512Vnni {
    #[inline(always)]
    fn pairs<const R: usize, W: Pair>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        self.plain.pairs(part, outputs);
    }

    #[inline(always)]
    fn bytes<const R: usize, W: Eight>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        self.plain.fours(part, outputs, |sum, inputs, weights| self.add(sum, inputs, weights))
    }

    #[inline(always)]
    fn cover<W: Weights>(self, tiles: &mut Tiles<'_, '_, W>) {
        self.plain.cover_with(self, tiles);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pulp::x86::{V3, V4};

    use super::{Avx2, Avx512, Avx512Vnni, Vectorized, Vnni};
    use crate::int8::kernel::Job;

    /// Gives a job to a kernel; what comes of it.
    type Run<'a> = dyn Fn(&mut dyn FnMut(Job<'_>)) -> Vec<f32> + 'a;

    /// Every kernel that the processor runs, and that is exact for weights of so many bits, gives these bits for the job.
    pub(in crate::int8) fn agree(run: &Run<'_>, expected: &[f32], bits: u8) {
        let exact = bits < 8 || !super::multiplies_bytes_exactly();
        if let Some(simd) = V3::try_new().filter(|_| exact) {
            assert_eq!(run(&mut |job| simd.vectorize(Vectorized { kernel: Avx2(simd), job })), expected);
        }
        if let Some(simd) = V4::try_new().filter(|_| exact) {
            let kernel = Avx512 { f: simd.avx512f, bw: simd.avx512bw };
            assert_eq!(run(&mut |job| simd.vectorize(Vectorized { kernel, job })), expected);
        }
        if let Some(simd) = Vnni::try_new() {
            let kernel = Avx512Vnni::new(simd);
            assert_eq!(run(&mut |job| simd.vectorize(Vectorized { kernel, job })), expected);
        }
    }
}

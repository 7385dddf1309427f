//! Operations in one pass over memory, on the CPU with 32-bit floats. Their loops become vector instructions of whatever
//! processor they run on. Some have gradients, which are such operations too.

mod attention;
mod gelu;
mod norm;
mod norm_gradient;
mod softmax;

pub(crate) use attention::{MIN_QUERIES, attention};
pub(crate) use gelu::gelu;
pub(crate) use norm::layer_norm;
pub(crate) use norm_gradient::{Centering, normalized};
pub(crate) use softmax::softmax;

use candle_core::{CpuStorage, DType, Layout, Storage, Tensor};
use pulp::{Arch, NullaryFnOnce};

use crate::network::Mode;

/// Numbers that are worked on at once.
const LANES: usize = 16;

/// Whether such operations may run on a tensor where no gradient is wanted.
pub(crate) fn suits(x: &Tensor, mode: Mode) -> bool {
    mode == Mode::Inference && runs(x)
}

/// Whether they run on the numbers of a tensor.
pub(crate) fn runs(x: &Tensor) -> bool {
    x.dtype() == DType::F32 && x.device().is_cpu()
}

/// Work that becomes vector instructions of the processor. A closure would do, but only a function that says so is
/// compiled for the processor where little is optimized.
pub(crate) trait Work {
    /// Must be `#[inline(always)]`, as all that it calls.
    fn run(self);
}

struct Vectorized<W>(W);

impl<W: Work> NullaryFnOnce for Vectorized<W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.0.run();
    }
}

/// Runs work in the vector instructions of the processor.
pub(crate) fn vectorized(arch: Arch, work: impl Work) {
    arch.dispatch(Vectorized(work));
}

/// The numbers of a tensor from its first; of a contiguous one to its last.
pub(crate) fn numbers<'s>(storage: &'s CpuStorage, layout: &Layout) -> candle_core::Result<&'s [f32]> {
    let all: &[f32] = storage.as_slice()?;
    let end = layout.contiguous_offsets().map_or(all.len(), |(_, end)| end);
    Ok(all.get(layout.start_offset()..end).unwrap_or_default())
}

/// Shows the numbers of a tensor on the CPU, row-major.
///
/// # Errors
/// When it lies elsewhere or holds other numbers, and what `see` says.
pub(crate) fn with_numbers<T>(
    x: &Tensor,
    see: impl FnOnce(&[f32]) -> candle_core::Result<T>,
) -> candle_core::Result<T> {
    let x = x.detach().contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => see(numbers(storage, layout)?),
        _ => candle_core::bail!("the numbers lie on no CPU"),
    }
}

/// The sum of what `of` makes of the numbers, added up in lanes.
#[inline(always)]
fn sum(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, &number) in lanes.iter_mut().zip(chunk) {
            *lane += of(number);
        }
    }
    let rest: f32 = rest.iter().map(|&number| of(number)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// The largest of what `of` makes of the numbers; numbers that are none are passed over.
#[inline(always)]
pub(crate) fn largest(numbers: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    let larger = |one: f32, other: f32| if other > one { other } else { one };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &number) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, of(number));
        }
    }
    let most = lanes.into_iter().fold(f32::NEG_INFINITY, larger);
    rest.iter().fold(most, |most, &number| larger(most, of(number)))
}

/// The exponential of a number that is not above 0: 2^n e^r with r at most half of ln 2 (Cody and Waite 1980, chapter
/// 6), by the polynomial of the Cephes library's `expf`. It is within 2 units of the last place, and 0 below -87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Adding it to a small number leaves the nearest whole number in the last bits.
    const SHIFT: f32 = 12_582_912.0;
    const POLYNOMIAL: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5];
    let shifted = x.mul_add(std::f32::consts::LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    // ln 2 in two parts, so that n times the first is exact.
    let r = n.mul_add(2.121_944_4e-4, n.mul_add(-0.693_359_4, x));
    let mut sum = 0.0_f32;
    for coefficient in POLYNOMIAL {
        sum = sum.mul_add(r, coefficient);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < -87.0 { 0.0 } else { sum.mul_add(r * r, r + 1.0) * power }
}

#[cfg(test)]
mod tests {
    use super::{exp, largest, sum};

    #[test]
    fn exponentials_are_near_those_of_doubles() {
        for step in 0..870_000 {
            let x = -(step as f32) * 1e-4;
            let expected = f64::from(x).exp();
            let apart = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(apart < 2.4e-7, "{x}: {apart}");
        }
        assert_eq!([exp(0.0), exp(-88.0), exp(f32::NEG_INFINITY), exp(f32::MIN)], [1.0, 0.0, 0.0, 0.0]);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn lanes_and_what_is_left_over_are_both_seen() {
        let numbers: Vec<f32> = (0..35).map(|number| number as f32).collect();
        assert_eq!((sum(&numbers, |number| 2.0 * number), largest(&numbers, f32::abs)), (1190.0, 34.0));
        let falling: Vec<f32> = numbers.iter().rev().copied().collect();
        assert_eq!(
            (largest(&falling, |x| x), largest(&[f32::NAN, -1.0], f32::abs), largest(&[], |x| x)),
            (34.0, 1.0, f32::NEG_INFINITY)
        );
    }
}

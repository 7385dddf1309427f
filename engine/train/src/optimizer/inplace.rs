//! Updates of a whole tensor in one pass over memory, in place: an optimizer's step is bound by memory, and a tensor for
//! each operation of its formula would be ten times as much of it.

use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Tensor, bail};
use num_traits::Float;
use rayon::prelude::*;

use crate::error::Result;

/// Numbers that one thread works on at a time.
const CHUNK: usize = 1 << 15;

/// Whether a tensor can be updated in place.
pub(super) fn suits(tensor: &Tensor) -> bool {
    tensor.device().is_cpu() && matches!(tensor.dtype(), DType::F32 | DType::F64)
}

/// What becomes of a number, given those at the same place of one or two other tensors.
pub(super) trait Formula: Sync {
    /// The new number. With one other tensor, `two` is `one`.
    fn of<T: Float>(&self, own: T, one: T, two: T) -> T;
}

/// A constant of a formula in the numbers of the tensor.
pub(super) fn constant<T: Float>(value: f64) -> T {
    T::from(value).unwrap_or_else(T::nan)
}

/// `own` after the formula, with one other tensor of its shape.
///
/// # Errors
/// When shapes, types or devices differ.
pub(super) fn update(own: &Tensor, one: &Tensor, formula: impl Formula) -> Result<()> {
    Ok(own.inplace_op2(&one.contiguous()?, &Update(formula))?)
}

/// `own` after the formula, with two other tensors of its shape.
///
/// # Errors
/// When shapes, types or devices differ.
pub(super) fn update_by_two(own: &Tensor, one: &Tensor, two: &Tensor, formula: impl Formula) -> Result<()> {
    Ok(own.inplace_op3(&one.contiguous()?, &two.contiguous()?, &Update(formula))?)
}

struct Update<F>(F);

const NAME: &str = "optimizer step";

impl<F: Formula> Update<F> {
    fn run(
        &self,
        (own, own_layout): (&mut CpuStorage, &Layout),
        (one, one_layout): (&CpuStorage, &Layout),
        (two, two_layout): (&CpuStorage, &Layout),
    ) -> candle_core::Result<()> {
        match (own, one, two) {
            (CpuStorage::F32(own), CpuStorage::F32(one), CpuStorage::F32(two)) => {
                self.each((own, own_layout), (one, one_layout), (two, two_layout))
            }
            (CpuStorage::F64(own), CpuStorage::F64(one), CpuStorage::F64(two)) => {
                self.each((own, own_layout), (one, one_layout), (two, two_layout))
            }
            _ => bail!("{NAME}: tensors of two types"),
        }
    }

    fn each<T: Float + Send + Sync>(
        &self,
        (own, own_layout): (&mut [T], &Layout),
        (one, one_layout): (&[T], &Layout),
        (two, two_layout): (&[T], &Layout),
    ) -> candle_core::Result<()> {
        let place = |layout: &Layout| layout.contiguous_offsets().map(|(start, end)| start..end);
        let places = (place(own_layout), place(one_layout), place(two_layout));
        let (Some(place), Some(of_one), Some(of_two)) = places else { bail!("{NAME}: a tensor is not contiguous") };
        let (Some(own), Some(one), Some(two)) = (own.get_mut(place), one.get(of_one), two.get(of_two)) else {
            bail!("{NAME}: a tensor ends too early")
        };
        if own.len() != one.len() || own.len() != two.len() {
            bail!("{NAME}: tensors of two shapes");
        }
        let chunks = own.par_chunks_mut(CHUNK).zip(one.par_chunks(CHUNK)).zip(two.par_chunks(CHUNK));
        chunks.for_each(|((own, one), two)| {
            for ((own, &one), &two) in own.iter_mut().zip(one).zip(two) {
                *own = self.0.of(*own, one, two);
            }
        });
        Ok(())
    }
}

impl<F: Formula> InplaceOp2 for Update<F> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        own: &mut CpuStorage,
        own_layout: &Layout,
        one: &CpuStorage,
        one_layout: &Layout,
    ) -> candle_core::Result<()> {
        self.run((own, own_layout), (one, one_layout), (one, one_layout))
    }
}

impl<F: Formula> InplaceOp3 for Update<F> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(
        &self,
        own: &mut CpuStorage,
        own_layout: &Layout,
        one: &CpuStorage,
        one_layout: &Layout,
        two: &CpuStorage,
        two_layout: &Layout,
    ) -> candle_core::Result<()> {
        self.run((own, own_layout), (one, one_layout), (two, two_layout))
    }
}

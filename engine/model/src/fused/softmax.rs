//! Softmax over the last dimension, with its gradient.

use candle_core::{CpuStorage, CustomOp2, D, Layout, Shape, Tensor};
use rayon::prelude::{IndexedParallelIterator as _, ParallelIterator as _, ParallelSlice as _, ParallelSliceMut as _};

use super::{LANES, Work, numbers, vectorized};
use crate::error::Result;
use crate::gradient::{Backward1, with_gradient_of_one};

/// Rows that one thread takes at a time.
const ROWS: usize = 64;

/// Of rows of 32-bit floats on the CPU.
///
/// # Errors
/// When candle refuses.
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let value = candle_nn::ops::softmax_last_dim(&x.detach().contiguous()?)?;
    with_gradient_of_one(x, &value, Softmax)
}

struct Softmax;

impl Backward1 for Softmax {
    const NAME: &'static str = "softmax";

    /// y (g - sum of g y) for the value y and its gradient g.
    fn backward(&self, _: &Tensor, value: &Tensor, gradient: &Tensor) -> candle_core::Result<Tensor> {
        let width = value.dim(D::Minus1)?;
        value.detach().contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, &Slope { width })
    }
}

struct Slope {
    width: usize,
}

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "slope of softmax"
    }

    fn cpu_fwd(
        &self,
        value: &CpuStorage,
        value_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (value, gradient) = (numbers(value, value_layout)?, numbers(gradient, gradient_layout)?);
        let mut found = vec![0.0; value.len()];
        let (arch, width) = (pulp::Arch::new(), self.width.max(1));
        let size = ROWS * width;
        let chunks = found.par_chunks_mut(size).zip(value.par_chunks(size)).zip(gradient.par_chunks(size));
        chunks.for_each(|((found, value), gradient)| vectorized(arch, Rows { width, value, gradient, found }));
        Ok((CpuStorage::F32(found), value_layout.shape().clone()))
    }
}

struct Rows<'a> {
    width: usize,
    value: &'a [f32],
    gradient: &'a [f32],
    found: &'a mut [f32],
}

impl Work for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let width = self.width;
        let rows = self.value.chunks_exact(width).zip(self.gradient.chunks_exact(width));
        for (found, (value, gradient)) in self.found.chunks_exact_mut(width).zip(rows) {
            let common = product_sum(value, gradient);
            for ((found, value), gradient) in found.iter_mut().zip(value).zip(gradient) {
                *found = value * (gradient - common);
            }
        }
    }
}

/// The sum of the products of two rows, added up in lanes.
#[inline(always)]
pub(super) fn product_sum(one: &[f32], other: &[f32]) -> f32 {
    let ((one, one_rest), (other, other_rest)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    let mut lanes = [0.0; LANES];
    for (one, other) in one.iter().zip(other) {
        for ((lane, one), other) in lanes.iter_mut().zip(one).zip(other) {
            *lane += one * other;
        }
    }
    let rest: f32 = one_rest.iter().zip(other_rest).map(|(one, other)| one * other).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use candle_core::{D, DType, Device, Tensor, Var};

    use super::softmax;

    /// Rows of 19, so that lanes and what is left over are both seen, against the graph of its definition in doubles.
    #[test]
    fn the_gradient_is_that_of_the_definition() {
        let random = |low, high| Tensor::rand(low, high, (2, 3, 19), &Device::Cpu).unwrap();
        let (x, factors): (Tensor, Tensor) = (random(-4.0_f32, 4.0), random(-2.0_f32, 2.0));
        let gradient = |dtype: DType, of: &dyn Fn(&Tensor) -> Tensor| {
            let x = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
            let sum = (of(&x) * factors.to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap();
            let gradients = sum.backward().unwrap();
            gradients.get(&x).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        let found = gradient(DType::F32, &|x| softmax(x).unwrap());
        let expected = gradient(DType::F64, &|x| {
            let powers = x.exp().unwrap();
            powers.broadcast_div(&powers.sum_keepdim(D::Minus1).unwrap()).unwrap()
        });
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}

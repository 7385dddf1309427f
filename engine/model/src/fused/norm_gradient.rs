//! Layer and root mean square normalization with gradients (Ba et al. 2016, equation 4; Zhang and Sennrich 2019, equation
//! 4), over the last dimension.
//!
//! For a row x, its normalized numbers n = (x - m) / s and the gradient g of the outputs n * weight (+ bias), with
//! h = g * weight: the gradient of x is (h - mean(h) - n mean(h n)) / s, without mean(h) where m is zero; that of the
//! weight is the sum of g n over rows, and that of the bias the sum of g.

use candle_core::{CpuStorage, CustomOp2, D, Layout, Shape, Tensor};
use rayon::prelude::{IndexedParallelIterator as _, ParallelIterator as _, ParallelSlice as _, ParallelSliceMut as _};

use super::softmax::product_sum;
use super::{Work, numbers, sum, vectorized};
use crate::error::Result;
use crate::gradient::{Backward, Backward3, with_gradient, with_gradients};
use crate::linear::column_sums;

/// Rows that one thread takes at a time.
const ROWS: usize = 16;

/// Whether a row's mean is taken away before its length is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Centering {
    /// Layer normalization.
    Mean,
    /// Root mean square normalization.
    None,
}

/// `value`, which is `x` normalized, times `weight`, plus `bias`, as an op of the three; of 32-bit floats on the CPU.
///
/// # Errors
/// When candle refuses.
pub(crate) fn normalized(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    value: &Tensor,
    (centering, epsilon): (Centering, f64),
) -> Result<Tensor> {
    let op = Norm { weight: weight.to_vec1()?, centering, epsilon: epsilon as f32 };
    match bias {
        Some(bias) => with_gradients([x, weight, bias], value, op),
        None => with_gradient(x, weight, value, op),
    }
}

#[derive(Clone)]
struct Norm {
    weight: Vec<f32>,
    centering: Centering,
    epsilon: f32,
}

impl Backward for Norm {
    const NAME: &'static str = "normalization";

    fn backward(
        &self,
        x: &Tensor,
        weight: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let flat = x.dim(D::Minus1)?;
        // Both in one pass: first the gradients of x, then the products g n.
        let both = x.detach().contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, self)?;
        let of_x = x.track_op().then(|| both.get(0)?.reshape(x.shape())).transpose()?;
        let of_weight = weight.track_op().then(|| column_sums(&both.get(1)?.reshape(((), flat))?)).transpose()?;
        Ok((of_x, of_weight))
    }
}

impl Backward3 for Norm {
    fn backward(&self, [x, weight, bias]: [&Tensor; 3], gradient: &Tensor) -> candle_core::Result<[Option<Tensor>; 3]> {
        let (of_x, of_weight) = Backward::backward(self, x, weight, gradient)?;
        let width = gradient.dim(D::Minus1)?;
        let of_bias = bias.track_op().then(|| column_sums(&gradient.reshape(((), width))?)).transpose()?;
        Ok([of_x, of_weight, of_bias])
    }
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "gradient of normalization"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, gradient) = (numbers(x, x_layout)?, numbers(gradient, gradient_layout)?);
        let mut found = vec![0.0; 2 * x.len()];
        let (of_x, products) = found.split_at_mut(x.len());
        let (arch, size) = (pulp::Arch::new(), ROWS * self.weight.len().max(1));
        let own = of_x.par_chunks_mut(size).zip(products.par_chunks_mut(size));
        own.zip(x.par_chunks(size)).zip(gradient.par_chunks(size)).for_each(|(((of_x, products), x), gradient)| {
            vectorized(arch, Rows { norm: self, x, gradient, of_x, products });
        });
        Ok((CpuStorage::F32(found), Shape::from((2, x.len()))))
    }
}

struct Rows<'a> {
    norm: &'a Norm,
    x: &'a [f32],
    gradient: &'a [f32],
    of_x: &'a mut [f32],
    products: &'a mut [f32],
}

impl Work for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let Norm { weight, centering, epsilon } = self.norm;
        let (width, count) = (weight.len().max(1), weight.len().max(1) as f32);
        let given = self.x.chunks_exact(width).zip(self.gradient.chunks_exact(width));
        let found = self.of_x.chunks_exact_mut(width).zip(self.products.chunks_exact_mut(width));
        for ((x, gradient), (of_x, products)) in given.zip(found) {
            let mean = if *centering == Centering::Mean { sum(x, |number| number) / count } else { 0.0 };
            let variance = sum(x, |number| (number - mean) * (number - mean)) / count;
            let scale = (variance + epsilon).sqrt().recip();
            for ((((own, product), x), gradient), weight) in
                of_x.iter_mut().zip(products.iter_mut()).zip(x).zip(gradient).zip(weight)
            {
                *own = gradient * weight;
                *product = (x - mean) * scale;
            }
            let along = product_sum(of_x, products) / count;
            let common = if *centering == Centering::Mean { sum(of_x, |number| number) / count } else { 0.0 };
            for ((own, product), gradient) in of_x.iter_mut().zip(products.iter_mut()).zip(gradient) {
                *own = (*own - common - *product * along) * scale;
                *product *= gradient;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, DType, Device, Tensor, Var};
    use rstest::rstest;

    use super::{Centering, normalized};

    /// Against the graph of the definition in doubles; rows of 19, so that lanes and what is left over are both seen.
    #[rstest]
    #[case(Centering::Mean)]
    #[case(Centering::None)]
    fn gradients_are_those_of_the_definition(#[case] centering: Centering) {
        let random = |shape: &[usize]| Tensor::rand(-3.0_f32, 4.0, shape, &Device::Cpu).unwrap();
        let (x, weight, bias, factors) = (random(&[2, 5, 19]), random(&[19]), random(&[19]), random(&[2, 5, 19]));
        let definition = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
            let centered = match centering {
                Centering::Mean => x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap(),
                Centering::None => x.clone(),
            };
            let variance = (centered.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + 1e-3).unwrap();
            let normal = centered.broadcast_div(&variance.sqrt().unwrap()).unwrap().broadcast_mul(weight).unwrap();
            if centering == Centering::Mean { normal.broadcast_add(bias).unwrap() } else { normal }
        };
        let gradients = |dtype: DType, of: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Tensor| {
            let own = |tensor: &Tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap();
            let variables = [own(&x), own(&weight), own(&bias)];
            let value = of(&variables[0], &variables[1], &variables[2]);
            let sum = (value * factors.to_dtype(dtype).unwrap()).unwrap().sum_all().unwrap();
            let gradients = sum.backward().unwrap();
            let known = variables.iter().filter_map(|variable| gradients.get(variable));
            let wide = known.map(|tensor| tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap());
            wide.flat_map(|tensor| tensor.to_vec1::<f64>().unwrap()).collect::<Vec<f64>>()
        };
        let expected = gradients(DType::F64, &definition);
        let found = gradients(DType::F32, &|x, weight, bias| {
            let bias = (centering == Centering::Mean).then_some(bias);
            let value = definition(&x.detach(), &weight.detach(), &bias.unwrap_or(weight).detach());
            normalized(x, weight, bias, &value, (centering, 1e-3)).unwrap()
        });
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 2e-5, "{found} {expected}");
        }
    }
}

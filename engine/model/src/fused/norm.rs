//! A sum, and its layer normalization (Ba et al. 2016, equation 4) over the last dimension.

use candle_core::{CpuStorage, CustomOp2, D, Layout, Shape, Tensor};
use rayon::prelude::{IndexedParallelIterator as _, ParallelIterator as _, ParallelSlice as _, ParallelSliceMut as _};

use super::{Work, numbers, sum, vectorized};
use crate::error::{ModelError, Result};

/// Rows that one thread takes at a time.
const ROWS: usize = 64;

/// (s - mean) / sqrt(variance + epsilon) * weight + bias for s = x + y.
///
/// # Errors
/// When shapes do not fit.
pub(crate) fn layer_norm(x: &Tensor, y: &Tensor, [weight, bias]: [&Tensor; 2], epsilon: f64) -> Result<Tensor> {
    let width = x.dim(D::Minus1)?;
    let norm = Norm { weight: weight.to_vec1()?, bias: bias.to_vec1()?, epsilon: epsilon as f32 };
    let fits = x.dims() == y.dims() && norm.weight.len() == width && norm.bias.len() == width && width > 0;
    if !fits {
        let shapes = format!("{:?}, {:?} and [{}]", x.dims(), y.dims(), norm.weight.len());
        return Err(ModelError::Unsupported(format!("no normalization of shapes {shapes}")));
    }
    Ok(x.contiguous()?.apply_op2_no_bwd(&y.contiguous()?, &norm)?)
}

struct Norm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl CustomOp2 for Norm {
    fn name(&self) -> &'static str {
        "layer-norm-of-sum"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        y: &CpuStorage,
        y_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, y) = (numbers(x, x_layout)?, numbers(y, y_layout)?);
        let mut found = vec![0.0; x.len()];
        let width = self.weight.len();
        let (arch, size) = (pulp::Arch::new(), ROWS * width);
        let chunks = found.par_chunks_mut(size).zip(x.par_chunks(size)).zip(y.par_chunks(size));
        chunks.for_each(|((found, x), y)| vectorized(arch, Rows { norm: self, x, y, found }));
        Ok((CpuStorage::F32(found), x_layout.shape().clone()))
    }
}

struct Rows<'a> {
    norm: &'a Norm,
    x: &'a [f32],
    y: &'a [f32],
    found: &'a mut [f32],
}

impl Work for Rows<'_> {
    #[inline(always)]
    fn run(self) {
        let Norm { weight, bias, epsilon } = self.norm;
        let width = weight.len();
        let rows = self.found.chunks_exact_mut(width).zip(self.x.chunks_exact(width)).zip(self.y.chunks_exact(width));
        for ((found, x), y) in rows {
            for ((found, x), y) in found.iter_mut().zip(x).zip(y) {
                *found = x + y;
            }
            let mean = sum(found, |number| number) / width as f32;
            let variance = sum(found, |number| (number - mean) * (number - mean)) / width as f32;
            let scale = (variance + epsilon).sqrt().recip();
            for ((found, weight), bias) in found.iter_mut().zip(weight).zip(bias) {
                *found = (*found - mean) * scale * weight + bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::layer_norm;

    /// Two rows of 18 numbers, so that lanes and what is left over are both seen.
    #[test]
    fn sums_are_normalized_as_by_definition() {
        let random = |shape: &[usize]| Tensor::rand(-3.0_f32, 5.0, shape, &Device::Cpu).unwrap();
        let (x, y, weight, bias) = (random(&[2, 18]), random(&[18, 2]).t().unwrap(), random(&[18]), random(&[18]));
        let found = layer_norm(&x, &y, [&weight, &bias], 1e-3).unwrap();
        let wide = |tensor: &Tensor| {
            tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect::<Vec<f64>>()
        };
        let (weight, bias, found) = (wide(&weight), wide(&bias), wide(&found));
        let sums: Vec<f64> = wide(&x).iter().zip(wide(&y)).map(|(one, other)| one + other).collect();
        for (sums, found) in sums.chunks(18).zip(found.chunks(18)) {
            let mean = sums.iter().sum::<f64>() / 18.0;
            let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / 18.0;
            for place in 0..18 {
                let expected = (sums[place] - mean) / (variance + 1e-3).sqrt() * weight[place] + bias[place];
                assert!((found[place] - expected).abs() < 5e-6, "{} {expected}", found[place]);
            }
        }
        let (weight, bias) = (random(&[18]), random(&[18]));
        assert!(layer_norm(&x, &random(&[2, 17]), [&weight, &bias], 1e-3).is_err());
        assert!(layer_norm(&x, &y, [&weight, &random(&[17])], 1e-3).is_err());
    }
}

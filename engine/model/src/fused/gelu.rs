//! The Gaussian error linear unit, exact (erf): x/2 (1 + erf(x / sqrt 2)) (Hendrycks and Gimpel 2016, "Gaussian Error
//! Linear Units").
//!
//! Inference computes erf by the rational approximation that Eigen uses for 32-bit floats: x P(x^2) / Q(x^2) for |x| up
//! to 4, beyond which erf is 1 to the last bit. It is within 5e-7 of erf, and a loop of it becomes vector instructions,
//! where the library's erf is one call a number.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::{IndexedParallelIterator as _, ParallelIterator as _, ParallelSlice as _, ParallelSliceMut as _};

use super::{Work, exp, numbers, runs, vectorized};
use crate::error::Result;
use crate::gradient::{Backward1, with_gradient_of_one};
use crate::network::Mode;

/// Coefficients of P, the highest power first.
const P: [f32; 7] =
    [-2.726_142_3e-10, 2.770_681_5e-8, -2.101_024e-6, -5.692_506_5e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2];

/// Coefficients of Q, the highest power first.
const Q: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827_e-3, -7.373_329_2e-3, -1.426_473_9e-2];

/// Numbers that one thread takes at a time.
const CHUNK: usize = 8192;

/// Of every number of `x`; with gradients unless for inference.
///
/// # Errors
/// When candle refuses the type of `x`.
pub(crate) fn gelu(x: &Tensor, mode: Mode) -> Result<Tensor> {
    if !runs(x) {
        return Ok(x.gelu_erf()?);
    }
    let value = x.contiguous()?.apply_op1_no_bwd(&Gelu)?;
    if mode == Mode::Inference { Ok(value) } else { with_gradient_of_one(x, &value, Slope) }
}

/// The gradient: that of the value times Phi(x) + x phi(x), distribution and density of the normal distribution.
struct Slope;

impl Backward1 for Slope {
    const NAME: &'static str = "gelu";

    fn backward(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> candle_core::Result<Tensor> {
        x.contiguous()?.apply_op2_no_bwd(&gradient.contiguous()?, self)
    }
}

impl CustomOp2 for Slope {
    fn name(&self) -> &'static str {
        "slope of gelu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, gradient) = (numbers(x, x_layout)?, numbers(gradient, gradient_layout)?);
        let mut found = vec![0.0; x.len()];
        let arch = pulp::Arch::new();
        let chunks = found.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).zip(gradient.par_chunks(CHUNK));
        chunks.for_each(|((found, x), gradient)| vectorized(arch, Slopes { x, gradient, found }));
        Ok((CpuStorage::F32(found), x_layout.shape().clone()))
    }
}

struct Slopes<'a> {
    x: &'a [f32],
    gradient: &'a [f32],
    found: &'a mut [f32],
}

impl Work for Slopes<'_> {
    #[inline(always)]
    fn run(self) {
        /// 1 / sqrt(2 pi).
        const PEAK: f32 = 0.398_942_3;
        for ((found, &x), &gradient) in self.found.iter_mut().zip(self.x).zip(self.gradient) {
            let share = 0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
            *found = gradient * (share + x * PEAK * exp(-0.5 * x * x));
        }
    }
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let numbers = numbers(storage, layout)?;
        let mut found = vec![0.0; numbers.len()];
        let arch = pulp::Arch::new();
        found.par_chunks_mut(CHUNK).zip(numbers.par_chunks(CHUNK)).for_each(|(found, numbers)| {
            vectorized(arch, All { numbers, found });
        });
        Ok((CpuStorage::F32(found), layout.shape().clone()))
    }
}

struct All<'a> {
    numbers: &'a [f32],
    found: &'a mut [f32],
}

impl Work for All<'_> {
    #[inline(always)]
    fn run(self) {
        for (found, &x) in self.found.iter_mut().zip(self.numbers) {
            *found = 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

#[inline(always)]
fn erf(x: f32) -> f32 {
    let square = x * x;
    let near = x * polynomial(P, square) / polynomial(Q, square);
    if x.abs() >= 4.0 { 1.0_f32.copysign(x) } else { near }
}

#[inline(always)]
fn polynomial<const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    let mut sum = 0.0;
    for coefficient in coefficients {
        sum = sum * x + coefficient;
    }
    sum
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::gelu;
    use crate::network::Mode;

    #[test]
    fn inference_is_the_library_as_far_as_erf_is_and_keeps_the_edges() {
        let numbers: Vec<f32> = (-60_000..60_000).map(|index| (index as f32 + 0.5) / 5000.0).collect();
        let x = Tensor::new(numbers.as_slice(), &Device::Cpu).unwrap();
        let wanted = x.to_dtype(candle_core::DType::F64).unwrap().gelu_erf().unwrap();
        let found = gelu(&x, Mode::Inference).unwrap().to_dtype(candle_core::DType::F64).unwrap();
        // Half of what erf is off by, times x, and the rounding of the last product.
        let size = x.to_dtype(candle_core::DType::F64).unwrap().abs().unwrap();
        let apart = ((found - wanted).unwrap().abs().unwrap() / size).unwrap();
        let apart = apart.max(0).unwrap().to_scalar::<f64>().unwrap();
        assert!(apart < 2.5e-7 + 1.2e-7, "{apart}");
        let edges = Tensor::new(&[0.0_f32, 30.0, -30.0, f32::NAN, f32::INFINITY], &Device::Cpu).unwrap();
        let found = gelu(&edges, Mode::Inference).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((found[0], found[1], found[2]), (0.0, 30.0, 0.0));
        assert!(found[3].is_nan() && found[4].is_infinite());
    }

    /// Against the library's gradient in doubles.
    #[test]
    fn the_slope_is_the_librarys() {
        let numbers: Vec<f64> = (-700..700).map(|index| f64::from(index) / 100.0).collect();
        let factors: Vec<f64> = (0..1400).map(|index| f64::from(index % 7) - 3.0).collect();
        let slope = |dtype| {
            let number = |numbers: &[f64]| Tensor::new(numbers, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
            let x = candle_core::Var::from_tensor(&number(&numbers)).unwrap();
            let sum = (gelu(&x, Mode::Training).unwrap() * number(&factors)).unwrap().sum_all().unwrap();
            let gradients = sum.backward().unwrap();
            gradients.get(&x).unwrap().to_dtype(candle_core::DType::F64).unwrap().to_vec1::<f64>().unwrap()
        };
        let (found, expected) = (slope(candle_core::DType::F32), slope(candle_core::DType::F64));
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 2e-6, "{found} {expected}");
        }
    }

    #[test]
    fn any_layout_of_a_tensor_is_read() {
        let x = Tensor::arange(-6_f32, 6.0, &Device::Cpu).unwrap().reshape((3, 4)).unwrap();
        let turned = gelu(&x.t().unwrap(), Mode::Inference).unwrap().t().unwrap();
        let part = gelu(&x.narrow(0, 1, 1).unwrap(), Mode::Inference).unwrap();
        let plain = gelu(&x, Mode::Inference).unwrap();
        let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers(&turned), numbers(&plain));
        assert_eq!(numbers(&part), numbers(&plain)[4..8]);
    }
}

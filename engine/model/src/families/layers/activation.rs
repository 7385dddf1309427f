//! Nonlinearities. All of them have gradients in candle, so one path serves inference and training.

use candle_core::Tensor;

use crate::config::Activation;
use crate::error::Result;

impl Activation {
    /// Applies it to every number of `x`.
    ///
    /// # Errors
    /// When candle refuses the type of `x`.
    pub fn apply(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Activation::Relu => x.relu()?,
            Activation::Gelu => x.gelu_erf()?,
            Activation::Silu => x.silu()?,
            Activation::Tanh => x.tanh()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor, Var};
    use rstest::rstest;

    use crate::config::Activation;

    // Values and slopes at -1 and 2 by their closed forms; gelu(x) = x F(x) with slope F(x) + x f(x), F and f the normal
    // distribution and density.
    #[rstest]
    #[case(Activation::Relu, [0.0, 2.0], [0.0, 1.0])]
    #[case(Activation::Gelu, [-0.158_655_25, 1.954_499_74], [-0.083_315_47, 1.085_231_88])]
    #[case(Activation::Silu, [-0.268_941_42, 1.761_594_16], [0.072_329_46, 1.090_784_19])]
    #[case(Activation::Tanh, [-0.761_594_16, 0.964_027_58], [0.419_974_34, 0.070_650_82])]
    fn values_and_slopes(#[case] activation: Activation, #[case] values: [f64; 2], #[case] slopes: [f64; 2]) {
        let x = Var::new(&[-1.0_f64, 2.0], &Device::Cpu).unwrap();
        let y = activation.apply(&x).unwrap();
        let slope = y.backward().unwrap().get(&x).unwrap().clone();
        close(&y, values);
        close(&slope, slopes);
    }

    fn close(found: &Tensor, expected: [f64; 2]) {
        for (found, expected) in found.to_vec1::<f64>().unwrap().iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }
}

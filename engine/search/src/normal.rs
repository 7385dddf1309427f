//! The standard normal distribution.

use std::f64::consts::FRAC_1_SQRT_2;

/// Logarithm of sqrt(2 pi).
pub const LOG_SQRT_TAU: f64 = 0.918_938_533_204_672_7;

/// Density.
pub fn density(z: f64) -> f64 {
    (-0.5 * z * z - LOG_SQRT_TAU).exp()
}

/// Probability of a number up to `z`.
pub fn cumulative(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// Probability of a number between `from` and `to`, exact in both tails.
pub fn mass(from: f64, to: f64) -> f64 {
    if from > 0.0 { cumulative(-from) - cumulative(-to) } else { cumulative(to) - cumulative(from) }
}

/// Logarithm of density(z) + z * cumulative(z), the expected improvement in units of the deviation, and its slope.
///
/// Ament et al. 2023, "Unexpected Improvements to Expected Improvement for Bayesian Optimization", equation 9. For very
/// negative z the sum cancels: there 1 + z cumulative(z) / density(z) is its asymptotic series (Abramowitz & Stegun
/// 26.2.12).
pub fn log_improvement(z: f64) -> (f64, f64) {
    // The slope is cumulative(z) / (density(z) + z cumulative(z)).
    if z > -20.0 {
        let (p, c) = (density(z), cumulative(z));
        let value = p + z * c;
        return (value.ln(), c / value);
    }
    let w = 1.0 / (z * z);
    // density(z) (w - 3 w^2 + 15 w^3 - ...) and density(z) / |z| (1 - w + 3 w^2 - ...).
    let sum = w * (1.0 - w * (3.0 - w * (15.0 - w * (105.0 - w * (945.0 - w * 10395.0)))));
    let tail = (1.0 - w * (1.0 - w * (3.0 - w * (15.0 - w * (105.0 - w * 945.0))))) / -z;
    (-0.5 * z * z - LOG_SQRT_TAU + sum.ln(), tail / sum)
}

#[cfg(test)]
mod tests {
    use super::{cumulative, log_improvement, mass};

    #[test]
    fn the_tables() {
        assert!((cumulative(1.959_963_984_540_054) - 0.975).abs() < 1e-15);
        // mpmath: ncdf(-8) - ncdf(-9)
        assert!((mass(8.0, 9.0) / 6.219_831_985_865_83e-16 - 1.0).abs() < 1e-10, "{}", mass(8.0, 9.0));
    }

    #[test]
    fn log_improvement_far_out_and_its_slope() {
        // mpmath, 40 digits.
        for (z, expected) in [(0.0, -0.918_938_533_204_672_7), (-40.0, -808.298_568_356_62)] {
            let (value, _) = log_improvement(z);
            assert!((value - expected).abs() < 1e-9, "{value} at {z}");
        }
        for z in [-30.0, -20.1, -19.9, -6.0, -1.0, 0.5, 3.0] {
            let step = 1e-5;
            let numeric = (log_improvement(z + step).0 - log_improvement(z - step).0) / (2.0 * step);
            let (_, slope) = log_improvement(z);
            assert!((numeric / slope - 1.0).abs() < 1e-5, "{numeric} and {slope} at {z}");
        }
    }
}

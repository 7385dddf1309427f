//! Scales and zero points of weights from their range, as compressed-tensors chooses them.
//!
//! With b bits the integers run from -2^(b-1) to 2^(b-1) - 1. The range of a group of weights always includes zero, so
//! that zero is represented exactly:
//!
//! - symmetric: scale = max |w| / ((2^b - 1) / 2), no zero point;
//! - asymmetric: scale = (max - min) / (2^b - 1), zero point = round(-2^(b-1) - min / scale).
//!
//! Both keep every weight within half a step of its integer. A group of zeros gets scale 1 and zero point 0.
//!
//! The observer `mse` shrinks the range: of the shares 1.00, 0.98, ... 0.30 of it, and of the two beside the best of
//! them, the one with the least squared error between the weights and what their integers stand for. Weights beyond it
//! are clipped.

use paring_model::{Granularity, WeightScheme};
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the range of weights that share a scale is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightObserver {
    /// From the smallest to the largest weight: nothing is clipped.
    #[default]
    Minmax,
    /// The part of it with the least squared error: outliers are clipped.
    Mse,
}

/// Scales, and as many zero points when asymmetric.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Scales {
    /// One a group, output channel by output channel.
    pub(crate) scales: Vec<f32>,
    /// Empty when symmetric.
    pub(crate) zero_points: Vec<i8>,
}

/// Chooses scales for a matrix of `inputs` numbers a row, in row-major order. All numbers must be finite.
pub(crate) fn choose(weights: &[f32], inputs: usize, scheme: WeightScheme, observer: WeightObserver) -> Scales {
    let length = match scheme.granularity {
        Granularity::Tensor => weights.len(),
        Granularity::Channel => inputs,
        Granularity::Group(size) => size,
    };
    let steps: Vec<(f32, i8)> = weights.par_chunks(length.max(1)).map(|group| fit(group, scheme, observer)).collect();
    let zero_points = if scheme.symmetric { Vec::new() } else { steps.iter().map(|(_, zero)| *zero).collect() };
    Scales { scales: steps.into_iter().map(|(scale, _)| scale).collect(), zero_points }
}

/// What the integers nearest to weights stand for, under scales chosen for them.
pub(crate) fn rounded(weights: &[f32], inputs: usize, scheme: WeightScheme, observer: WeightObserver) -> Vec<f32> {
    let length = match scheme.granularity {
        Granularity::Tensor => weights.len(),
        Granularity::Channel => inputs,
        Granularity::Group(size) => size,
    };
    let round = |group: &[f32]| -> Vec<f32> {
        let step = fit(group, scheme, observer);
        group.iter().map(|&weight| nearest(weight, step, scheme)).collect()
    };
    weights.par_chunks(length.max(1)).flat_map_iter(round).collect()
}

/// What the integer nearest to a weight stands for.
#[inline(always)]
pub(crate) fn nearest(weight: f32, (scale, zero_point): (f32, i8), scheme: WeightScheme) -> f32 {
    /// Adding it to a number below 2^22 leaves the nearest whole number in the last bits, halves to even.
    const SHIFT: f32 = 12_582_912.0;
    let zero_point = f32::from(zero_point);
    let (lowest, highest) = (f32::from(scheme.lowest()) - zero_point, f32::from(scheme.highest()) - zero_point);
    ((weight / scale).max(lowest).min(highest) + SHIFT - SHIFT) * scale
}

/// Scale and zero point of one group.
pub(crate) fn fit(group: &[f32], scheme: WeightScheme, observer: WeightObserver) -> (f32, i8) {
    let low = f64::from(group.iter().copied().fold(0.0, f32::min));
    let high = f64::from(group.iter().copied().fold(0.0, f32::max));
    let of_share = |share: f64| of_range(low * share, high * share, scheme);
    match observer {
        WeightObserver::Minmax => of_share(1.0),
        WeightObserver::Mse => {
            let error = |percent: u32| squared_error(group, of_share(f64::from(percent) / 100.0), scheme);
            let coarse = least((15..=50).rev().map(|half| 2 * half), error);
            of_share(f64::from(least([coarse, coarse + 1, coarse - 1].into_iter(), error).min(100)) / 100.0)
        }
    }
}

/// Scale and zero point of a range around zero.
fn of_range(low: f64, high: f64, scheme: WeightScheme) -> (f32, i8) {
    if low == high {
        return (1.0, 0);
    }
    let steps = f64::from((1_u32 << scheme.bits) - 1);
    if scheme.symmetric {
        return (positive(high.max(-low) / (steps / 2.0)), 0);
    }
    let scale = positive((high - low) / steps);
    let lowest = -f64::from(1_u32 << (scheme.bits - 1));
    let zero_point = (lowest - low / f64::from(scale)).round_ties_even();
    (scale, zero_point.clamp(lowest, lowest + steps) as i8)
}

/// The candidate of least error; the first of equals.
fn least(candidates: impl Iterator<Item = u32>, error: impl Fn(u32) -> f32) -> u32 {
    let mut best = (100, f32::INFINITY);
    for candidate in candidates {
        let error = error(candidate);
        if error < best.1 {
            best = (candidate, error);
        }
    }
    best.0
}

/// Sum of squared differences between weights and what their integers stand for.
fn squared_error(group: &[f32], step: (f32, i8), scheme: WeightScheme) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (chunks, rest) = group.as_chunks::<8>();
    let squared = |weight: f32| {
        let difference = nearest(weight, step, scheme) - weight;
        difference * difference
    };
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &weight)| *lane += squared(weight));
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&weight| squared(weight)).sum::<f32>()
}

/// The nearest scale that `f32` can divide by: never zero or subnormal, however small the weights.
fn positive(scale: f64) -> f32 {
    (scale as f32).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use paring_model::{Granularity, WeightScheme};
    use proptest::prelude::{Strategy, any, prop, proptest};
    use rstest::rstest;

    use super::{Scales, WeightObserver, choose as choose_by, fit, of_range, squared_error};

    fn choose(weights: &[f32], inputs: usize, scheme: WeightScheme) -> Scales {
        choose_by(weights, inputs, scheme, WeightObserver::Minmax)
    }

    fn scheme(bits: u8, symmetric: bool, granularity: Granularity) -> WeightScheme {
        WeightScheme { bits, symmetric, granularity }
    }

    #[test]
    fn one_scale_a_tensor_a_row_or_a_group() {
        let weights = [1.5, -3.0, 0.0, 0.75, 0.0, 0.0, 6.0, -1.0];
        let scales = |granularity| choose(&weights, 4, scheme(2, true, granularity)).scales;
        assert_eq!(scales(Granularity::Tensor), [4.0]);
        assert_eq!(scales(Granularity::Channel), [2.0, 4.0]);
        assert_eq!(scales(Granularity::Group(2)), [2.0, 0.5, 1.0, 4.0]);
    }

    #[test]
    fn an_asymmetric_range_includes_zero() {
        // 5 to 15 becomes 0 to 15, and -15 to -5 becomes -15 to 0, in 15 steps of 1.
        let chosen = choose(&[5.0, 15.0, -15.0, -5.0], 2, scheme(4, false, Granularity::Channel));
        assert_eq!(chosen, Scales { scales: vec![1.0, 1.0], zero_points: vec![-8, 7] });
    }

    #[test]
    fn tiny_and_huge_weights_get_scales_that_can_be_divided_by() {
        let tiny = f32::from_bits(1);
        for symmetric in [true, false] {
            let chosen = choose(&[tiny, -tiny, f32::MAX, f32::MIN], 2, scheme(8, symmetric, Granularity::Channel));
            assert!(chosen.scales.iter().all(|scale| scale.is_normal()), "{chosen:?}");
        }
    }

    /// Figures of the formulas of compressed-tensors (`calculate_qparams`), evaluated with numpy 2.4.6 in f64.
    #[rstest]
    #[case(2, true, 1.4, 0)]
    #[case(2, false, 1.1, -1)]
    #[case(4, true, 0.28, 0)]
    #[case(4, false, 0.22, -3)]
    #[case(8, true, 0.016_470_588, 0)]
    #[case(8, false, 0.012_941_176, -35)]
    fn agrees_with_compressed_tensors(
        #[case] bits: u8,
        #[case] symmetric: bool,
        #[case] scale: f32,
        #[case] zero_point: i8,
    ) {
        let weights = [0.3, -1.2, 0.05, 0.9, -0.4, 2.1, -0.75, 1.5];
        let chosen = choose(&weights, 8, scheme(bits, symmetric, Granularity::Tensor));
        assert!((chosen.scales[0] - scale).abs() < 1e-7, "{chosen:?}");
        assert_eq!(chosen.zero_points.first().copied().unwrap_or(0), zero_point);
    }

    /// An outlier among small weights is clipped; an even spread is hardly.
    #[rstest]
    #[case(true)]
    #[case(false)]
    fn mse_is_the_least_of_all_shares(#[case] symmetric: bool) {
        let scheme = scheme(4, symmetric, Granularity::Tensor);
        for outlier in [1.5_f32, 2.0, 3.0] {
            let mut group: Vec<f32> = (0..64).map(|index| (index as f32 * 0.7).sin()).collect();
            group[7] = outlier;
            let found = squared_error(&group, fit(&group, scheme, WeightObserver::Mse), scheme);
            let range = group.iter().fold((0.0_f32, 0.0_f32), |(low, high), w| (low.min(*w), high.max(*w)));
            let share = |percent: u32| {
                let share = f64::from(percent) / 100.0;
                squared_error(&group, of_range(f64::from(range.0) * share, f64::from(range.1) * share, scheme), scheme)
            };
            let least = (30..=100).map(share).fold(f32::INFINITY, f32::min);
            assert!(found <= least * 1.05, "{found}, least {least}");
            assert!(outlier < 3.0 || found < share(100), "{found}, unclipped {}", share(100));
        }
        assert_eq!(fit(&[0.0; 4], scheme, WeightObserver::Mse), (1.0, 0));
    }

    fn groups() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-100.0_f32..100.0, 1..40)
    }

    proptest! {
        #[test]
        fn every_weight_is_within_half_a_step(group in groups(), bits in 2_u8..=8, symmetric in any::<bool>()) {
            let chosen = choose(&group, group.len(), scheme(bits, symmetric, Granularity::Tensor));
            let scale = f64::from(chosen.scales[0]);
            let zero_point = f64::from(chosen.zero_points.first().copied().unwrap_or(0));
            let lowest = -f64::from(1_u32 << (bits - 1));
            for &weight in &group {
                let integer = (f64::from(weight) / scale).round() + zero_point;
                let restored = (integer.clamp(lowest, -lowest - 1.0) - zero_point) * scale;
                assert!((restored - f64::from(weight)).abs() <= scale * 0.5001, "{weight} became {restored}");
            }
        }
    }
}

//! Observers: how much of the range of an activation its 8-bit grid covers. Values beyond it are clipped.
//!
//! Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1 (range setting):
//! minimum and maximum, and least squared error; Wu et al. 2020, "Integer Quantization for Deep Learning Inference:
//! Principles and Empirical Evaluation", on calibration: percentile.

use paring_model::FixedInput;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;

/// Steps of an 8-bit grid.
const STEPS: f64 = 255.0;
/// Ranges that the search tries in each of its rounds: 1.00, 0.99, ... of the whole.
const CANDIDATES: usize = 100;

/// How the range of an activation is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Observer {
    /// From the smallest to the largest value seen: nothing is clipped, and one outlier widens every step.
    Minmax,
    /// The part that holds `percentile` percent of the values on each side: outliers are clipped.
    Percentile,
    /// The part with the least squared error between the values and their 8-bit versions.
    #[default]
    Mse,
}

/// A range that a grid covers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clip {
    low: f64,
    high: f64,
}

/// The input grid of a site whose inputs `histogram` has counted. `percentile` is for that observer only.
pub(crate) fn choose(histogram: &Histogram, observer: Observer, percentile: f64) -> FixedInput {
    let whole = Clip { low: f64::from(histogram.extent.low), high: f64::from(histogram.extent.high) };
    let clip = match observer {
        Observer::Minmax => whole,
        Observer::Percentile => inner(histogram, percentile),
        Observer::Mse => search(histogram, whole),
    };
    grid(clip)
}

/// Scale and zero point: scale = (high - low) / 255, zero point = round(-low / scale).
fn grid(clip: Clip) -> FixedInput {
    let scale = (((clip.high - clip.low) / STEPS) as f32).max(f32::MIN_POSITIVE);
    let zero_point = (-clip.low / f64::from(scale)).round_ties_even().clamp(0.0, STEPS);
    FixedInput { bits: 8, scale, zero_point: zero_point as u16 }
}

/// The range outside which at most (100 - percentile) percent of the values lie on each side, to the width of a bin.
fn inner(histogram: &Histogram, percentile: f64) -> Clip {
    let beyond = histogram.total() as f64 * (100.0 - percentile) / 100.0;
    let upwards = histogram.counts.iter().enumerate();
    let low = outermost(upwards.clone(), beyond).map_or(0.0, |bin| histogram.edge(bin).min(0.0));
    let high = outermost(upwards.rev(), beyond).map_or(0.0, |bin| histogram.edge(bin + 1).max(0.0));
    if low < high {
        return Clip { low, high };
    }
    // So few values differ from zero that all of them lie outside: cover them rather than nothing.
    Clip { low: f64::from(histogram.extent.low), high: f64::from(histogram.extent.high) }
}

/// The first bin, in the order given, with which more than `beyond` values are counted. Zeros end every walk, so a
/// walk that finds none stops at zero.
fn outermost<'a>(bins: impl Iterator<Item = (usize, &'a u64)>, beyond: f64) -> Option<usize> {
    let mut counted = 0.0;
    for (bin, &count) in bins {
        counted += count as f64;
        if counted > beyond {
            return Some(bin);
        }
    }
    None
}

/// The range of least squared error: both ends shrink together first, then each alone.
fn search(histogram: &Histogram, whole: Clip) -> Clip {
    let shares = || (1..=CANDIDATES).rev().map(|percent| percent as f64 / CANDIDATES as f64);
    let both = shares().map(|share| Clip { low: whole.low * share, high: whole.high * share });
    let best = least(histogram, both, whole);
    let highs = shares().map(|share| Clip { high: whole.high * share, ..best });
    let best = least(histogram, highs, best);
    let lows = shares().map(|share| Clip { low: whole.low * share, ..best });
    least(histogram, lows, best)
}

/// The candidate of least error; the first of equals, which clips least.
fn least(histogram: &Histogram, candidates: impl Iterator<Item = Clip>, start: Clip) -> Clip {
    let mut best = (start, error(histogram, start));
    for candidate in candidates {
        let error = error(histogram, candidate);
        if error < best.1 {
            best = (candidate, error);
        }
    }
    best.0
}

/// Sum of squared differences between the values and their 8-bit versions.
fn error(histogram: &Histogram, clip: Clip) -> f64 {
    let scheme = grid(clip);
    let scale = f64::from(scheme.scale);
    let zero_point = f64::from(scheme.zero_point);
    let squared = histogram.occupied().map(|(value, count)| {
        let integer = ((value / scale).round_ties_even() + zero_point).clamp(0.0, STEPS);
        let difference = (integer - zero_point) * scale - value;
        difference * difference * count as f64
    });
    squared.sum()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{Clip, Observer, choose, error, search};
    use crate::quantize::histogram::{Extent, Histogram};

    fn histogram(values: &[f32]) -> Histogram {
        let mut extent = Extent::ZERO;
        assert!(extent.widen(values));
        let mut histogram = Histogram::new(extent);
        histogram.count(values);
        histogram
    }

    /// 10,000 values evenly spread from 0 to 1, and one outlier.
    fn with_outlier() -> Histogram {
        let mut values: Vec<f32> = (1..=10_000).map(|i| i as f32 / 10_000.0).collect();
        values.push(8.0);
        histogram(&values)
    }

    #[rstest]
    #[case(&[-1.0, 0.5, 4.1], 0.02, 50)]
    #[case(&[0.5, 2.55], 0.01, 0)]
    #[case(&[-2.55, -1.0], 0.01, 255)]
    fn minmax_covers_all(#[case] values: &[f32], #[case] scale: f32, #[case] zero_point: u16) {
        let scheme = choose(&histogram(values), Observer::Minmax, 99.0);
        assert!((scheme.scale - scale).abs() < 1e-7, "{scheme:?}");
        assert_eq!(scheme.zero_point, zero_point);
    }

    #[test]
    fn percentile_clips_an_outlier() {
        let scheme = choose(&with_outlier(), Observer::Percentile, 99.9);
        assert!((scheme.scale * 255.0 - 1.0).abs() < 0.01, "{scheme:?}");
        let all = choose(&with_outlier(), Observer::Percentile, 100.0);
        assert!((all.scale * 255.0 - 8.0).abs() < 0.01, "{all:?}");
    }

    #[test]
    fn percentile_of_hardly_active_inputs_covers_them() {
        let mut values = vec![0.0; 100_000];
        values.push(5.1);
        let scheme = choose(&histogram(&values), Observer::Percentile, 99.0);
        assert!((scheme.scale - 0.02).abs() < 1e-6, "{scheme:?}");
    }

    /// Against all pairs of ends: values spread over -1 to 1, and one at 16 on either side. For the ideal grid, -1 to c
    /// costs N ((c + 1) / 255)^2 / 12 for rounding and (16 - c)^2 for the outlier, least at c = 12.53.
    #[rstest]
    #[case(1.0)]
    #[case(-1.0)]
    fn mse_is_near_the_least_of_all_ranges(#[case] sign: f32) {
        let mut values: Vec<f32> = (1..=200_000).map(|i| i as f32 / 100_000.0 - 1.0).collect();
        values.push(16.0 * sign);
        let histogram = histogram(&values);
        let whole = Clip { low: f64::from(histogram.extent.low), high: f64::from(histogram.extent.high) };
        let found = search(&histogram, whole);
        let shares = || (1..=50).map(|share| f64::from(share) / 50.0);
        let pairs = shares().flat_map(|low| shares().map(move |high| (low, high)));
        let all = pairs.map(|(low, high)| error(&histogram, Clip { low: whole.low * low, high: whole.high * high }));
        let least = all.fold(f64::MAX, f64::min);
        assert!(error(&histogram, found) < least * 1.01, "{found:?} costs {}, least {least}", error(&histogram, found));
        let far = if sign > 0.0 { found.high } else { -found.low };
        assert!((far - 12.53).abs() < 0.5, "{found:?}");
    }

    #[test]
    fn mse_of_an_even_spread_covers_nearly_all() {
        let values: Vec<f32> = (-500..=1000).map(|i| i as f32 / 1000.0).collect();
        let scheme = choose(&histogram(&values), Observer::Mse, 0.0);
        assert!((f64::from(scheme.scale) * 255.0 - 1.5).abs() < 0.03, "{scheme:?}");
        assert!((84..=86).contains(&scheme.zero_point), "{scheme:?}");
    }
}

//! Values as the process sees them: one a trial, with mean 0 and deviation 1.

use rand::{Rng, RngExt as _};

use crate::Trial;

/// How much the sum of the weighted objectives counts beside the largest of them (Knowles 2006, equation 2).
const SUM_SHARE: f64 = 0.05;
/// Values of which this share is lower are bent like a logarithm.
const LOW_SHARE: f64 = 0.2;
/// The smallest part of the values' range that counts as different.
const RESOLUTION: f64 = 1e-9;

/// One value a trial: the one objective, or several as one by random weights. Infeasible trials count as the worst
/// feasible one.
pub(super) fn single(history: &[Trial], rng: &mut impl Rng) -> Vec<f64> {
    let feasible: Vec<&[f64]> = history.iter().filter_map(Trial::feasible).collect();
    let single = weighting(&feasible, rng);
    let values: Vec<Option<f64>> = history.iter().map(|trial| trial.feasible().map(&single)).collect();
    let worst = values.iter().copied().flatten().fold(f64::NEG_INFINITY, f64::max);
    let worst = if worst.is_finite() { worst } else { 0.0 };
    values.into_iter().map(|value| value.unwrap_or(worst)).collect()
}

/// Several objectives as one: the largest weighted one, each scaled to 0..1, and a little of their sum.
fn weighting(feasible: &[&[f64]], rng: &mut impl Rng) -> impl Fn(&[f64]) -> f64 {
    let objectives = feasible.first().map_or(0, |values| values.len());
    // Evenly over the simplex.
    let drawn: Vec<f64> = (0..objectives).map(|_| -(1.0 - rng.random::<f64>()).ln()).collect();
    let sum: f64 = drawn.iter().sum();
    let ends: Vec<(f64, f64)> = (0..objectives).map(|objective| ends(feasible.iter().map(|v| v[objective]))).collect();
    move |values| {
        if let [value] = values {
            return *value;
        }
        let parts = values.iter().zip(&ends).zip(&drawn).map(|((value, (low, high)), weight)| {
            weight / sum * if high > low { (value - low) / (high - low) } else { 0.0 }
        });
        let (largest, sum) = parts.fold((0.0_f64, 0.0), |(largest, sum), part| (largest.max(part), sum + part));
        largest + SUM_SHARE * sum
    }
}

/// Values bent in some way.
pub(super) struct Bent {
    pub values: Vec<f64>,
    /// Sum of the logarithms of the slopes, so that likelihoods of values that are bent differently compare (Snelson et
    /// al. 2004, "Warped Gaussian Processes", equation 6).
    pub log_slopes: f64,
}

/// The values as they are, and with the low ones drawn apart: where a few are very high, the low ones are all that
/// matters. `None` when they are all alike.
pub(super) fn bent(values: &[f64]) -> Option<[Bent; 2]> {
    let (low, high) = ends(values.iter().copied());
    let width = high - low;
    if !(width > 0.0 && width.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let shift = (sorted[(LOW_SHARE * values.len() as f64) as usize] - low).max(RESOLUTION * width);
    let logarithms = values.iter().map(|value| ((value - low) / shift).ln_1p());
    let slopes: f64 = values.iter().map(|value| -(value - low + shift).ln()).sum();
    Some([standard(values.to_vec(), 0.0), standard(logarithms.collect(), slopes)])
}

fn standard(mut values: Vec<f64>, log_slopes: f64) -> Bent {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    values.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
    Bent { values, log_slopes: log_slopes - count * deviation.ln() }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

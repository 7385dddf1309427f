//! Scales of weights, found from the weights themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ranges that the search tries: 1.00, 0.98, ... 0.10 of the whole.
const CANDIDATES: std::ops::RangeInclusive<u32> = 5..=50;

/// How the range of weights that share a scale is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WeightRange {
    /// From the largest magnitude: no weight is clipped.
    Minmax,
    /// The part of it with the least squared error between the weights and their rounded versions.
    #[default]
    Mse,
}

/// The scale of each row of `length` weights, for symmetric integers of `bits` bits. A row of zeros has scale 1.
pub(super) fn of_rows(weights: &[f32], length: usize, bits: u8, range: WeightRange) -> Vec<f32> {
    let rows = weights.chunks(length.max(1));
    rows.map(|row| match (widest(row, bits), range) {
        (None, _) => 1.0,
        (Some(scale), WeightRange::Minmax) => scale,
        (Some(scale), WeightRange::Mse) => least_error(row, scale, bits),
    })
    .collect()
}

/// max |w| / ((2^bits - 1) / 2), which no weight is more than half a step beyond.
fn widest(row: &[f32], bits: u8) -> Option<f32> {
    let most = row.iter().fold(0.0_f32, |most, weight| most.max(weight.abs()));
    let half = f32::from((1_u16 << bits) - 1) / 2.0;
    (most > 0.0).then(|| (most / half).max(f32::MIN_POSITIVE))
}

/// The candidate of least squared error; the largest of equals, which clips least.
fn least_error(row: &[f32], widest: f32, bits: u8) -> f32 {
    let mut best = (f64::INFINITY, widest);
    for share in CANDIDATES.rev() {
        let scale = (widest * (share as f32 / *CANDIDATES.end() as f32)).max(f32::MIN_POSITIVE);
        let error = error(row, scale, bits);
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

fn error(row: &[f32], scale: f32, bits: u8) -> f64 {
    let half = f32::from(1_u16 << (bits - 1));
    let difference = |weight: f32| (weight / scale).round_ties_even().clamp(-half, half - 1.0) * scale - weight;
    row.iter().map(|&weight| f64::from(difference(weight)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::{WeightRange, of_rows};

    #[test]
    fn minmax_covers_each_row() {
        let scales = of_rows(&[1.5, -3.0, 0.0, 0.0, 7.5, 1.0], 2, 2, WeightRange::Minmax);
        assert_eq!(scales, [2.0, 1.0, 5.0]);
    }

    /// Seven weights of 1 and one of -2 in 2 bits (-2 to 1 steps): a step of 1, 75% of the widest of 4/3, has no error.
    #[test]
    fn mse_finds_the_step_that_all_weights_are_multiples_of() {
        let weights = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -2.0];
        let scale = of_rows(&weights, 8, 2, WeightRange::Mse)[0];
        assert!((scale - 1.0).abs() < 0.02, "{scale}");
    }
}

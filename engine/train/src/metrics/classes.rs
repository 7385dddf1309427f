//! Metrics of predicted classes.

use std::collections::BTreeMap;

use super::same_length;
use crate::error::Result;

/// Share of rows whose class is right.
///
/// # Errors
/// When there are no rows, or other numbers of predictions and rows.
pub fn accuracy(predicted: &[u32], truth: &[u32]) -> Result<f64> {
    same_length(predicted.len(), truth.len())?;
    let right = predicted.iter().zip(truth).filter(|(predicted, truth)| predicted == truth).count();
    Ok(right as f64 / truth.len() as f64)
}

/// Mean recall of the classes that occur in `truth`.
///
/// # Errors
/// As [`accuracy`].
pub fn balanced_accuracy(predicted: &[u32], truth: &[u32]) -> Result<f64> {
    same_length(predicted.len(), truth.len())?;
    let counts = counts(predicted, truth);
    let present: Vec<&Counts> = counts.values().filter(|class| class.actual > 0).collect();
    let recalls: f64 = present.iter().map(|class| class.right as f64 / class.actual as f64).sum();
    Ok(recalls / present.len() as f64)
}

/// F1 score, the plain mean over the classes that occur in `truth` or `predicted` (macro), also for two classes. A
/// class that is never right has 0.
///
/// # Errors
/// As [`accuracy`].
pub fn f1_macro(predicted: &[u32], truth: &[u32]) -> Result<f64> {
    same_length(predicted.len(), truth.len())?;
    let counts = counts(predicted, truth);
    let scores: f64 =
        counts.values().map(|class| 2.0 * class.right as f64 / (class.actual + class.predicted) as f64).sum();
    Ok(scores / counts.len() as f64)
}

/// How often a class occurs.
#[derive(Default)]
struct Counts {
    right: usize,
    actual: usize,
    predicted: usize,
}

fn counts(predicted: &[u32], truth: &[u32]) -> BTreeMap<u32, Counts> {
    let mut counts: BTreeMap<u32, Counts> = BTreeMap::new();
    for (&predicted, &truth) in predicted.iter().zip(truth) {
        counts.entry(truth).or_default().actual += 1;
        let of_predicted = counts.entry(predicted).or_default();
        of_predicted.predicted += 1;
        of_predicted.right += usize::from(predicted == truth);
    }
    counts
}

//! Metrics of predicted probabilities and scores.

use super::same_length;
use crate::error::{Result, TrainError};

/// Logits (row-major, `classes` a row) to probabilities, in f64.
pub fn softmax(logits: &[f32], classes: usize) -> Vec<f64> {
    let mut probabilities = Vec::with_capacity(logits.len());
    for row in logits.chunks(classes.max(1)) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let start = probabilities.len();
        probabilities.extend(row.iter().map(|&logit| f64::from(logit - top).exp()));
        let sum: f64 = probabilities.iter().skip(start).sum();
        probabilities.iter_mut().skip(start).for_each(|probability| *probability /= sum);
    }
    probabilities
}

/// The class with the highest score in each row (row-major, `classes` a row); the first of equals.
pub fn most_likely(scores: &[f32], classes: usize) -> Vec<u32> {
    scores.chunks(classes.max(1)).map(highest).collect()
}

fn highest(row: &[f32]) -> u32 {
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    for (class, &score) in (0..).zip(row) {
        if score > top {
            (best, top) = (class, score);
        }
    }
    best
}

/// Mean negative logarithm of the probability (row-major, `classes` a row) of the right class. Probabilities are kept
/// within 2.2e-16 of 0 and 1, so that one sure mistake does not make it infinite.
///
/// # Errors
/// When there are no rows, other numbers of predictions and rows, or a class number that is too large.
pub fn log_loss(probabilities: &[f64], classes: usize, truth: &[u32]) -> Result<f64> {
    same_length(probabilities.len() / classes.max(1), truth.len())?;
    let mut sum = 0.0;
    for (row, &class) in probabilities.chunks(classes.max(1)).zip(truth) {
        let probability = row.get(class as usize).ok_or_else(|| unknown_class(class, classes))?;
        sum -= probability.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
    }
    Ok(sum / truth.len() as f64)
}

/// Area under the ROC curve of scores for the positive rows: the chance that a positive row scores above a negative
/// one, ties counting half (Mann-Whitney).
///
/// # Errors
/// When there are other numbers of scores and rows, or all rows are positive or all negative.
pub fn roc_auc(scores: &[f64], positive: &[bool]) -> Result<f64> {
    same_length(scores.len(), positive.len())?;
    let mut ranked: Vec<(f64, bool)> = scores.iter().copied().zip(positive.iter().copied()).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut wins, mut negatives, mut positives) = (0.0, 0.0, 0.0);
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        let up = tied.iter().filter(|(_, positive)| *positive).count() as f64;
        let down = tied.len() as f64 - up;
        wins += up * (negatives + down / 2.0);
        positives += up;
        negatives += down;
    }
    if positives == 0.0 || negatives == 0.0 {
        return Err(TrainError::Mismatch("ROC AUC needs test rows of at least 2 classes, found 1".to_owned()));
    }
    Ok(wins / (positives * negatives))
}

/// The mean over the classes of the area under the ROC curve of that class against the rest; with two classes, the
/// area of the second. Classes that do not occur in `truth` are left out of the mean.
///
/// # Errors
/// As [`roc_auc`].
pub fn roc_auc_one_vs_rest(probabilities: &[f64], classes: usize, truth: &[u32]) -> Result<f64> {
    same_length(probabilities.len() / classes.max(1), truth.len())?;
    if let Some(&class) = truth.iter().find(|&&class| class as usize >= classes) {
        return Err(unknown_class(class, classes));
    }
    let area = |class: u32| {
        let scores: Vec<f64> = probabilities.iter().skip(class as usize).step_by(classes).copied().collect();
        let positive: Vec<bool> = truth.iter().map(|&truth| truth == class).collect();
        roc_auc(&scores, &positive)
    };
    if classes == 2 {
        return area(1);
    }
    let present: Vec<u32> = (0..classes as u32).filter(|class| truth.contains(class)).collect();
    let sum = present.iter().map(|&class| area(class)).sum::<Result<f64>>()?;
    Ok(sum / present.len() as f64)
}

fn unknown_class(class: u32, classes: usize) -> TrainError {
    TrainError::Mismatch(format!("class number {class} is unknown; the model has {classes} classes"))
}

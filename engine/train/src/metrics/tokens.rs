//! Metrics of next-token predictions: sums over positions, so that windows can be added up.

use super::{most_likely, same_length};
use crate::error::{Result, TrainError};

/// Sum over positions of the negative logarithm (in nats) of the probability that the logits (row-major, `vocabulary` a
/// position) give to the token that follows. Over the number of positions it is the mean loss; the exponential of that
/// is the perplexity.
///
/// # Errors
/// When there are no positions, other numbers of logits and tokens, or a token beyond the vocabulary.
pub fn negative_log_likelihood(logits: &[f32], vocabulary: usize, following: &[u32]) -> Result<f64> {
    let vocabulary = vocabulary.max(1);
    same_length(logits.len() / vocabulary, following.len())?;
    let mut sum = 0.0;
    for (row, &token) in logits.chunks_exact(vocabulary).zip(following) {
        let logit = row.get(token as usize).ok_or_else(|| beyond(token, vocabulary))?;
        sum += log_sum_exp(row) - f64::from(*logit);
    }
    Ok(sum)
}

/// Sum over positions of the Kullback-Leibler divergence, in nats, of the distribution of `other` from that of `base`:
/// what is lost when `other` stands in for `base` (Kullback and Leibler 1951, "On Information and Sufficiency").
///
/// # Errors
/// When there are no positions, or other numbers of them.
pub fn kl_divergence(base: &[f32], other: &[f32], vocabulary: usize) -> Result<f64> {
    let vocabulary = vocabulary.max(1);
    same_length(base.len() / vocabulary, other.len() / vocabulary)?;
    let mut sum = 0.0;
    for (base, other) in base.chunks_exact(vocabulary).zip(other.chunks_exact(vocabulary)) {
        let (of_base, of_other) = (log_sum_exp(base), log_sum_exp(other));
        let terms = base.iter().zip(other).map(|(base, other)| {
            let (base, other) = (f64::from(*base) - of_base, f64::from(*other) - of_other);
            base.exp() * (base - other)
        });
        sum += terms.sum::<f64>();
    }
    Ok(sum)
}

/// How many positions have the same most likely token in both.
///
/// # Errors
/// When there are no positions, or other numbers of them.
pub fn same_top(base: &[f32], other: &[f32], vocabulary: usize) -> Result<usize> {
    let (base, other) = (most_likely(base, vocabulary), most_likely(other, vocabulary));
    same_length(base.len(), other.len())?;
    Ok(base.iter().zip(&other).filter(|(base, other)| base == other).count())
}

/// Logarithm of the sum of exponentials, safe for large logits.
fn log_sum_exp(row: &[f32]) -> f64 {
    let top = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    top + row.iter().map(|&logit| (f64::from(logit) - top).exp()).sum::<f64>().ln()
}

fn beyond(token: u32, vocabulary: usize) -> TrainError {
    TrainError::Mismatch(format!("token {token} is unknown; the model has {vocabulary} tokens"))
}

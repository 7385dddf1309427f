//! Metrics of embeddings: how close vectors are, and what they find.

use super::same_length;
use crate::error::{Result, TrainError};

/// Cosine of the angle between the rows of `one` and of `other` (row-major, `width` numbers a row); 0 where a row has no
/// length.
///
/// # Errors
/// When there are no rows, or other numbers of them.
pub fn cosines(one: &[f32], other: &[f32], width: usize) -> Result<Vec<f64>> {
    let width = width.max(1);
    same_length(one.len() / width, other.len() / width)?;
    Ok(one.chunks_exact(width).zip(other.chunks_exact(width)).map(|(one, other)| cosine(one, other)).collect())
}

/// Cosine of the angle between two vectors.
fn cosine(one: &[f32], other: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let lengths = (dot(one, one) * dot(other, other)).sqrt();
    if lengths > 0.0 { dot(one, other) / lengths } else { 0.0 }
}

/// The value below which a share of the values lies, with linear interpolation between neighbours (Hyndman and Fan 1996,
/// "Sample Quantiles in Statistical Packages", definition 7).
///
/// # Errors
/// When there are no values.
pub fn quantile(values: &[f64], share: f64) -> Result<f64> {
    same_length(values.len(), values.len())?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    let (below, above) = (at(place.floor()), at(place.ceil()));
    Ok(below + (above - below) * place.fract())
}

/// Share of queries whose own document, the one of the same row, is among the `k` documents of highest cosine. Of equal
/// documents the earlier ones come first (row-major, `width` numbers a row).
///
/// # Errors
/// When there are no queries, or other numbers of queries and documents.
pub fn recall_at(k: usize, queries: &[f32], documents: &[f32], width: usize) -> Result<f64> {
    let width = width.max(1);
    let count = queries.len() / width;
    same_length(count, documents.len() / width)?;
    let found = queries.chunks_exact(width).enumerate().filter(|(row, query)| {
        let scores: Vec<f64> = documents.chunks_exact(width).map(|document| cosine(query, document)).collect();
        let own = scores.get(*row).copied().unwrap_or(f64::NAN);
        let ahead = |(other, score): &(usize, &f64)| **score > own || (**score == own && other < row);
        scores.iter().enumerate().filter(ahead).count() < k
    });
    Ok(found.count() as f64 / count as f64)
}

/// Spearman's rank correlation: Pearson's correlation of ranks, where equal values share the mean of their ranks
/// (Spearman 1904, "The Proof and Measurement of Association between Two Things").
///
/// # Errors
/// When there are fewer than 2 rows, other numbers of them, or one side is constant.
pub fn spearman(one: &[f64], other: &[f64]) -> Result<f64> {
    same_length(one.len(), other.len())?;
    let (one, other) = (ranks(one), ranks(other));
    let mean = (one.len() as f64 + 1.0) / 2.0;
    let products = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let spread = (products(&one, &one) * products(&other, &other)).sqrt();
    if spread > 0.0 {
        return Ok(products(&one, &other) / spread);
    }
    Err(TrainError::Mismatch("a rank correlation needs at least 2 different values on both sides".to_owned()))
}

/// Ranks from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let value = |index: &usize| values.get(*index).copied().unwrap_or(f64::NAN);
    order.sort_by(|a, b| value(a).total_cmp(&value(b)));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|a, b| value(a) == value(b)) {
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for &index in tied {
            if let Some(place) = ranks.get_mut(index) {
                *place = rank;
            }
        }
        before += tied.len();
    }
    ranks
}

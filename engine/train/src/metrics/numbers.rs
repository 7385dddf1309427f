//! Metrics of predicted numbers.

use super::same_length;
use crate::error::{Result, TrainError};

/// Root of the mean squared error.
///
/// # Errors
/// When there are no rows, or other numbers of predictions and rows.
pub fn root_mean_squared_error(predicted: &[f64], truth: &[f64]) -> Result<f64> {
    same_length(predicted.len(), truth.len())?;
    Ok((squared_error(predicted, truth) / truth.len() as f64).sqrt())
}

/// Mean absolute error.
///
/// # Errors
/// As [`root_mean_squared_error`].
pub fn mean_absolute_error(predicted: &[f64], truth: &[f64]) -> Result<f64> {
    same_length(predicted.len(), truth.len())?;
    let sum: f64 = predicted.iter().zip(truth).map(|(predicted, truth)| (predicted - truth).abs()).sum();
    Ok(sum / truth.len() as f64)
}

/// Coefficient of determination, 1 - squared error / squared deviation from the mean. When all of `truth` is one
/// number, it is 1 for exact predictions and 0 for others.
///
/// # Errors
/// As [`root_mean_squared_error`], and when there is one row only.
pub fn r2(predicted: &[f64], truth: &[f64]) -> Result<f64> {
    same_length(predicted.len(), truth.len())?;
    if truth.len() < 2 {
        return Err(TrainError::Mismatch("r2 needs at least 2 test rows, found 1".to_owned()));
    }
    let mean = truth.iter().sum::<f64>() / truth.len() as f64;
    let deviation: f64 = truth.iter().map(|truth| (truth - mean).powi(2)).sum();
    let error = squared_error(predicted, truth);
    if deviation == 0.0 {
        return Ok(if error == 0.0 { 1.0 } else { 0.0 });
    }
    Ok(1.0 - error / deviation)
}

fn squared_error(predicted: &[f64], truth: &[f64]) -> f64 {
    predicted.iter().zip(truth).map(|(predicted, truth)| (predicted - truth).powi(2)).sum()
}

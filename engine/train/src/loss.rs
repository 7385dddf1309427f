//! Losses, each a mean over the rows of a batch.

use candle_core::Tensor;

use crate::error::Result;

/// Cross-entropy of logits [rows, classes] against class numbers [rows] (u32), with optional class weights [classes]
/// and label smoothing in [0, 1) (Szegedy et al. 2016, section 7).
///
/// # Errors
/// When shapes do not fit.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor, weights: Option<&Tensor>, smoothing: f64) -> Result<Tensor> {
    let _ = (logits, targets, weights, smoothing);
    todo!()
}

/// Mean squared error of outputs [rows, 1] against targets [rows].
///
/// # Errors
/// When shapes do not fit.
pub fn mean_squared_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let _ = (outputs, targets);
    todo!()
}

/// Distillation: T^2 * KL(softmax(teacher / T) || softmax(student / T)), mean over rows (Hinton et al. 2015, section 2).
///
/// # Errors
/// When shapes do not fit.
pub fn soft_cross_entropy(student: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let _ = (student, teacher, temperature);
    todo!()
}

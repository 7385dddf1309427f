//! Linear models for feature selection, fitted to convergence: logistic regression (L-BFGS) and ridge regression.

use paring_data::Targets;
use paring_model::inputs::Matrix;

use crate::error::Result;

/// A fitted linear model.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearModel {
    /// outputs x features coefficients, row-major (1 output for two classes or for regression).
    pub coefficients: Vec<f64>,
    /// One intercept an output.
    pub intercepts: Vec<f64>,
    /// Iterations used.
    pub iterations: usize,
    /// The gradient's largest entry at the end.
    pub gradient: f64,
}

/// Fits targets to inputs: multinomial (two classes: binary) logistic regression with penalty 1/(2C) |w|^2 and free
/// intercepts, as scikit-learn's LogisticRegression minimizes it, or ridge regression for numbers.
/// `start` warm-starts the search.
///
/// # Errors
/// When the search does not converge.
pub fn fit_linear(
    inputs: &Matrix,
    targets: &Targets,
    classes: usize,
    c: f64,
    start: Option<&LinearModel>,
) -> Result<LinearModel> {
    let _ = (inputs, targets, classes, c, start);
    todo!()
}

//! Linear models for feature selection, fitted to convergence: logistic regression (L-BFGS) and ridge regression.

use paring_data::Targets;
use paring_model::inputs::Matrix;

use crate::error::{Result, TrainError};

mod logistic;
mod ridge;

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
/// intercepts, as scikit-learn's LogisticRegression minimizes it, or ridge regression for numbers, which minimizes
/// |y - Xw - b|^2 / 2 + |w|^2 / (2C). `start` warm-starts the search. Everything is computed in f64 on one thread.
///
/// # Errors
/// When the search does not converge, there are no rows or one class only, a cell is not finite, or shapes do not fit.
pub fn fit_linear(
    inputs: &Matrix,
    targets: &Targets,
    classes: usize,
    c: f64,
    start: Option<&LinearModel>,
) -> Result<LinearModel> {
    check(inputs, targets, c)?;
    match targets {
        Targets::Classes(numbers) => {
            check_classes(numbers, classes)?;
            logistic::fit(inputs, numbers, classes, c, start)
        }
        Targets::Values(values) => ridge::fit(inputs, values, c),
        Targets::Pairs { .. } | Targets::None => Err(mismatch("the rows have no answers to learn from".to_owned())),
    }
}

fn check(inputs: &Matrix, targets: &Targets, c: f64) -> Result<()> {
    if inputs.rows == 0 {
        return Err(TrainError::NoRows { part: "training" });
    }
    if targets.len() != inputs.rows {
        return Err(mismatch(format!("there are {} targets for {} rows", targets.len(), inputs.rows)));
    }
    if let Some(at) = inputs.data.iter().position(|cell| !cell.is_finite()) {
        let (row, column) = (at / inputs.columns.max(1) + 1, at % inputs.columns.max(1) + 1);
        return Err(mismatch(format!("feature {column} of row {row} is not a finite number")));
    }
    if c.is_nan() || c <= 0.0 {
        return Err(mismatch(format!("C is `{c}`, expected a number above 0")));
    }
    Ok(())
}

fn check_classes(numbers: &[u32], classes: usize) -> Result<()> {
    let largest = numbers.iter().max().copied().unwrap_or(0);
    if largest as usize >= classes {
        return Err(mismatch(format!("class number {largest} is unknown; there are {classes} classes")));
    }
    if numbers.iter().all(|number| numbers.first() == Some(number)) {
        return Err(mismatch("a linear classifier needs rows of at least 2 classes, found 1".to_owned()));
    }
    Ok(())
}

fn mismatch(message: String) -> TrainError {
    TrainError::Mismatch(message)
}

#[cfg(test)]
mod tests;

//! Linear models for feature selection, fitted to convergence: logistic regression (L-BFGS) and ridge regression.

use crate::error::{Result, mismatch};
use crate::{Answers, Features};

mod likelihood;
mod logistic;
mod ridge;
mod sparse;

pub use sparse::fit_sparse;

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

/// Fits answers to features: multinomial (two classes: binary) logistic regression with penalty 1/(2C) |w|^2 and free
/// intercepts, as scikit-learn's LogisticRegression minimizes it, or ridge regression for numbers, which minimizes
/// |y - Xw - b|^2 / 2 + |w|^2 / (2C). `start` warm-starts the search. Everything is computed in f64 on one thread.
///
/// # Errors
/// When the search does not converge, there are no rows or one class only, a cell is not finite, or shapes do not fit.
pub fn fit_linear(features: &Features, answers: &Answers, c: f64, start: Option<&LinearModel>) -> Result<LinearModel> {
    check(features, answers, c)?;
    match answers {
        Answers::Classes { numbers, count } => logistic::fit(features, numbers, *count, c, start),
        Answers::Numbers(values) => ridge::fit(features, values, c),
    }
}

fn check(features: &Features, answers: &Answers, c: f64) -> Result<()> {
    features.check(Some(answers))?;
    if c.is_nan() || c <= 0.0 {
        return Err(mismatch(format!("C is `{c}`, expected a number above 0")));
    }
    match answers {
        Answers::Classes { numbers, .. } if numbers.iter().all(|number| numbers.first() == Some(number)) => {
            Err(mismatch("a linear classifier needs rows of at least 2 classes, found 1"))
        }
        _ => Ok(()),
    }
}

impl LinearModel {
    /// How well it answers: the share of right classes, or r2 of numbers (1 where all numbers are one and exactly
    /// told).
    pub fn score(&self, features: &Features, answers: &Answers) -> f64 {
        let rows = features.rows.max(1) as f64;
        match answers {
            Answers::Classes { numbers, .. } => {
                let right = |(row, number): &(&[f32], &u32)| self.class(row) == **number;
                features.iter_rows().zip(numbers).filter(right).count() as f64 / rows
            }
            Answers::Numbers(values) => {
                let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / rows;
                let (mut error, mut spread) = (0.0, 0.0);
                for (row, &value) in features.iter_rows().zip(values) {
                    let told = self.outputs(row).next().unwrap_or_default();
                    error += (told - f64::from(value)).powi(2);
                    spread += (f64::from(value) - mean).powi(2);
                }
                if spread > 0.0 { 1.0 - error / spread } else { f64::from(u8::from(error == 0.0)) }
            }
        }
    }

    fn outputs<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
        let along =
            move |weights: &[f64]| weights.iter().zip(row).map(|(weight, &cell)| weight * f64::from(cell)).sum::<f64>();
        self.coefficients
            .chunks(row.len().max(1))
            .zip(&self.intercepts)
            .map(move |(weights, bias)| along(weights) + bias)
    }

    /// The class of the largest output, the first of equal ones; with one output the second class from 0 on.
    fn class(&self, row: &[f32]) -> u32 {
        if self.intercepts.len() == 1 {
            return u32::from(self.outputs(row).next().unwrap_or_default() > 0.0);
        }
        let largest = self.outputs(row).zip(0..).reduce(|best, other| if other.0 > best.0 { other } else { best });
        largest.map_or(0, |(_, class)| class)
    }
}

#[cfg(test)]
mod tests;

//! Fitting a model's inputs and outputs: column encodings, fills and scales from training rows only.

use paring_model::{Inputs, Outputs, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::Result;

/// What to do with missing cells in feature columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingPolicy {
    /// Refuse the data, naming column and row.
    #[default]
    Error,
    /// Leave out rows with a missing cell (decided before the split, counted in the report).
    DropRows,
    /// The training rows' mean (numbers) or most frequent category.
    Mean,
    /// The training rows' median (numbers) or most frequent category.
    Median,
    /// Zero (numbers) or a category of its own, `missing`.
    Constant,
}

/// How features are scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Mean 0 and standard deviation 1, from the training rows.
    #[default]
    Standard,
    /// To 0..1 by the training rows' smallest and largest value.
    MinMax,
    /// As they are.
    None,
}

/// How raw columns become inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FitOptions {
    /// The column that holds the answers.
    pub label: String,
    /// Feature columns in order; every other column when `None`.
    pub features: Option<Vec<String>>,
    /// Columns of numbers that are categories all the same (codes).
    pub categorical: Vec<String>,
    /// Missing cells.
    pub missing: MissingPolicy,
    /// Scaling.
    pub scale: Scaling,
}

/// Fits inputs on `train` rows.
///
/// # Errors
/// When a column is missing, holds cells that are not finite, or holds missing cells under [`MissingPolicy::Error`].
pub fn fit_inputs(dataset: &Dataset, train: &[usize], options: &FitOptions) -> Result<Inputs> {
    let _ = (dataset, train, options);
    todo!()
}

/// Fits outputs: the sorted class names (numbers sorted as numbers) over all rows, or mean and scale of the training
/// rows' targets.
///
/// # Errors
/// When the label column is missing, has a missing cell, or has one class only.
pub fn fit_outputs(dataset: &Dataset, train: &[usize], label: &str, task: Task) -> Result<Outputs> {
    let _ = (dataset, train, label, task);
    todo!()
}

/// Each row's class number, for stratification.
///
/// # Errors
/// As [`fit_outputs`].
pub fn classes(dataset: &Dataset, label: &str) -> Result<Vec<u32>> {
    let _ = (dataset, label);
    todo!()
}

/// The rows that [`MissingPolicy::DropRows`] leaves.
///
/// # Errors
/// When a column is missing.
pub fn complete_rows(dataset: &Dataset, options: &FitOptions) -> Result<Vec<usize>> {
    let _ = (dataset, options);
    todo!()
}

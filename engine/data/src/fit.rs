//! Fitting a model's inputs and outputs: column encodings, fills and scales from training rows only.

mod encode;
mod names;
mod outputs;
mod scale;

use paring_model::Inputs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;
use crate::error::{DataError, Result};

pub(crate) use outputs::targets;
pub use outputs::{class_numbers, classes, fit_outputs};

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
    /// Mean 0 and standard deviation 1, from the training rows. An image has one mean and one deviation for all its
    /// pixels, and categories stay 0 and 1.
    #[default]
    Standard,
    /// To 0..1 by the training rows' smallest and largest value; of all pixels for an image.
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

impl FitOptions {
    /// The feature columns, in order.
    ///
    /// # Errors
    /// When a column does not exist, is named twice or is the label, or when none is left.
    pub fn feature_columns(&self, dataset: &Dataset) -> Result<Vec<String>> {
        let known = dataset.columns();
        let missing = |name: &String| DataError::MissingColumn { found: name.clone(), known: known.clone() };
        let named = self.features.iter().flatten().chain(&self.categorical).chain([&self.label]);
        if let Some(name) = named.clone().find(|name| !known.contains(name)) {
            return Err(missing(name));
        }
        let features = match &self.features {
            Some(features) => features.clone(),
            None => known.iter().filter(|name| **name != self.label).cloned().collect(),
        };
        self.check_features(&features)?;
        Ok(features)
    }

    fn check_features(&self, features: &[String]) -> Result<()> {
        let refuse =
            |column: &String, reason: &str| Err(DataError::Cell { column: column.clone(), reason: reason.to_owned() });
        if features.is_empty() {
            return refuse(&self.label, "is the only column, expected at least one feature column beside the label");
        }
        if features.contains(&self.label) {
            return refuse(&self.label, "is the label and a feature, expected one of them");
        }
        if let Some(name) = self.categorical.iter().find(|name| !features.contains(name)) {
            return refuse(name, "is named as categorical, but is not a feature column");
        }
        let twice = features.iter().enumerate().find(|(index, name)| features.iter().take(*index).any(|n| n == *name));
        match twice {
            Some((_, name)) => refuse(name, "is named twice as a feature"),
            None => Ok(()),
        }
    }

    /// The rows in which nothing may be missing or infinite: all of them, but for those that are left out.
    fn checked_rows(&self, dataset: &Dataset) -> Result<Vec<usize>> {
        match self.missing {
            MissingPolicy::DropRows => complete_rows(dataset, self),
            _ => Ok((0..dataset.rows()).collect()),
        }
    }
}

/// Fits inputs on `train` rows. Numbers, and columns of true and false, become one number each; text and the columns
/// named in [`FitOptions::categorical`] become one-hot categories, sorted; vectors are taken as they are. Then comes one
/// [`InputStep::Scale`](paring_model::InputStep::Scale), unless nothing is to be scaled.
///
/// The shape is that of an image where the features are one image column, or one number for each pixel of
/// [`Dataset::image`]; otherwise `[features]`.
///
/// # Errors
/// When a column is missing, holds cells that are not finite, holds missing cells under [`MissingPolicy::Error`] or none
/// but missing cells, or has more than 1000 categories.
pub fn fit_inputs(dataset: &Dataset, train: &[usize], options: &FitOptions) -> Result<Inputs> {
    let features = options.feature_columns(dataset)?;
    encode::check_cells(dataset, &features, &options.checked_rows(dataset)?, options)?;
    let table = dataset.table(&features, train)?;
    let columns = encode::encodings(&table, options)?;
    let width = encode::encoded_width(&columns);
    let shape = match dataset.image {
        Some(image) if encode::is_image(&columns, image) => image.to_vec(),
        _ => vec![width],
    };
    let mut inputs = Inputs { columns, steps: Vec::new(), shape };
    if let Some(step) = scale::fit_scale(&inputs, &table, options.scale)? {
        inputs.steps.push(step);
    }
    Ok(inputs)
}

/// The rows that [`MissingPolicy::DropRows`] leaves: those in which no feature column has a missing cell.
///
/// # Errors
/// When a column is missing, or no row is left.
pub fn complete_rows(dataset: &Dataset, options: &FitOptions) -> Result<Vec<usize>> {
    let arrays = options
        .feature_columns(dataset)?
        .iter()
        .filter_map(|name| dataset.batch.column_by_name(name).cloned())
        .collect::<Vec<_>>();
    let rows: Vec<usize> = (0..dataset.rows()).filter(|&row| arrays.iter().all(|array| !array.is_null(row))).collect();
    if rows.is_empty() {
        return Err(DataError::Split("every row has a missing cell, so none is left without them".to_owned()));
    }
    Ok(rows)
}

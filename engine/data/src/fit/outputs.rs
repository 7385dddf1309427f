//! The label column: class names and numbers, or mean and deviation of a regression's targets.

use std::collections::BTreeMap;

use paring_model::{Column, Outputs, Task, Values};

use super::encode::{check_present, row_number};
use super::names::Names;
use crate::cells::kind_name;
use crate::dataset::Dataset;
use crate::error::{DataError, Result};

/// The most classes that a label may have.
const MOST_CLASSES: usize = 100_000;

/// Fits outputs: the sorted class names (numbers sorted as numbers) over all rows, or mean and population deviation of
/// the training rows' targets. A task other than a regression is a classification: these are the two that read labels.
///
/// # Errors
/// When the label column is missing, has a missing cell, or has one class only; when a regression's is not numbers.
pub fn fit_outputs(dataset: &Dataset, train: &[usize], label: &str, task: Task) -> Result<Outputs> {
    match task {
        Task::Regress => fit_target(dataset, train, label),
        Task::Classify | Task::Embed | Task::Generate => {
            let names = class_names(dataset, &all_rows(dataset), label)?;
            let labels: Vec<String> = names.counts().into_iter().map(|(name, _)| name).collect();
            match labels.as_slice() {
                [class] => Err(DataError::OneClass { column: label.to_owned(), class: class.clone() }),
                _ if labels.len() > MOST_CLASSES => Err(DataError::TooManyCategories {
                    column: label.to_owned(),
                    found: labels.len(),
                    limit: MOST_CLASSES,
                }),
                _ => Ok(Outputs::Classify { column: label.to_owned(), labels }),
            }
        }
    }
}

/// Each row's class number, for stratification.
///
/// # Errors
/// As [`fit_outputs`].
pub fn classes(dataset: &Dataset, label: &str) -> Result<Vec<u32>> {
    match fit_outputs(dataset, &[], label, Task::Classify)? {
        Outputs::Classify { labels, .. } => class_numbers(dataset, &all_rows(dataset), label, &labels),
        _ => Ok(Vec::new()),
    }
}

/// The class numbers of some rows: the index of each row's name in `labels`.
///
/// # Errors
/// When the label column is missing, a cell of it is missing, or a name is not in `labels`.
pub fn class_numbers(dataset: &Dataset, rows: &[usize], label: &str, labels: &[String]) -> Result<Vec<u32>> {
    let names = class_names(dataset, rows, label)?;
    let numbers: BTreeMap<&str, u32> = labels.iter().map(String::as_str).zip(0..).collect();
    let number = |(at, name): (usize, &Option<String>)| {
        let name = name.as_deref().unwrap_or_default();
        numbers.get(name).copied().ok_or_else(|| DataError::UnknownClass {
            column: label.to_owned(),
            row: row_number(rows, at),
            found: name.to_owned(),
            known: labels.to_vec(),
        })
    };
    names.cells.iter().enumerate().map(number).collect()
}

/// The targets of some rows.
///
/// # Errors
/// When the label column is missing, is not numbers, or a cell of it is missing or not finite.
pub(crate) fn targets(dataset: &Dataset, rows: &[usize], label: &str) -> Result<Vec<f64>> {
    let column = present_column(dataset, rows, label)?;
    let Values::Number(cells) = column.values else {
        let kind = dataset.batch.column_by_name(label).map_or("text", |array| kind_name(array.data_type()));
        return Err(DataError::NotNumeric { column: label.to_owned(), found: kind.to_owned() });
    };
    let values: Vec<f64> = cells.into_iter().flatten().collect();
    match values.iter().position(|&value| !(value as f32).is_finite()) {
        Some(at) => Err(DataError::NotFinite {
            column: label.to_owned(),
            row: row_number(rows, at),
            found: values.get(at).copied().unwrap_or_default(),
        }),
        None => Ok(values),
    }
}

fn all_rows(dataset: &Dataset) -> Vec<usize> {
    (0..dataset.rows()).collect()
}

/// The label column, without a missing cell.
fn present_column(dataset: &Dataset, rows: &[usize], label: &str) -> Result<Column> {
    let table = dataset.table(&[label.to_owned()], rows)?;
    let missing = || DataError::MissingColumn { found: label.to_owned(), known: dataset.columns() };
    let column = table.columns.into_iter().next().ok_or_else(missing)?;
    check_present(&column, rows).map_err(label_help)?;
    Ok(column)
}

/// A missing label is not cured by a policy for missing features.
fn label_help(error: DataError) -> DataError {
    match error {
        DataError::MissingCells { column, row, count } => DataError::MissingLabels { column, row, count },
        other => other,
    }
}

fn class_names(dataset: &Dataset, rows: &[usize], label: &str) -> Result<Names> {
    let column = present_column(dataset, rows, label)?;
    if let Values::Number(cells) = &column.values
        && let Some(at) = cells.iter().position(|cell| cell.is_some_and(|value| !value.is_finite()))
    {
        let found = cells.get(at).copied().flatten().unwrap_or_default();
        return Err(DataError::NotFinite { column: label.to_owned(), row: row_number(rows, at), found });
    }
    Names::of(label, &column.values)
}

fn fit_target(dataset: &Dataset, train: &[usize], label: &str) -> Result<Outputs> {
    targets(dataset, &all_rows(dataset), label)?;
    let values = targets(dataset, train, label)?;
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let scale = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let reason = |value: f64| format!("is `{value}` in every training row, expected targets that differ");
    let first = values.first().copied().unwrap_or_default();
    if values.iter().all(|&value| value == first) || scale == 0.0 {
        return Err(DataError::Cell { column: label.to_owned(), reason: reason(first) });
    }
    Ok(Outputs::Regress { column: label.to_owned(), mean, scale })
}

//! Examples: a part of the data, ready for a model: a matrix of inputs and the targets.

use paring_model::{Checkpoint, Outputs, Rows};

use crate::dataset::Dataset;
use crate::error::Result;
use crate::fit::{class_numbers, targets};

/// Inputs and targets of the same rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// What the network reads, after the model's inputs.
    pub inputs: Rows,
    /// What it should say.
    pub targets: Targets,
}

/// The right answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Targets {
    /// Class numbers.
    Classes(Vec<u32>),
    /// Numbers, standardized as the model's outputs are.
    Values(Vec<f32>),
    /// A second text for each row, and how alike the two are, where that is known.
    Pairs {
        /// The second texts.
        others: Rows,
        /// How alike: more is more alike.
        scores: Option<Vec<f32>>,
    },
    /// None: the rows are embedded, or continued.
    None,
}

impl Targets {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Targets::Classes(classes) => classes.len(),
            Targets::Values(values) => values.len(),
            Targets::Pairs { others, .. } => others.len(),
            Targets::None => 0,
        }
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The given rows of a dataset as the model reads them, with the answers in `outputs`' terms.
///
/// # Errors
/// When a column is missing, a cell cannot be read, or a label is not one that the model knows.
pub fn examples(dataset: &Dataset, rows: &[usize], model: &Checkpoint, outputs: &Outputs) -> Result<Examples> {
    let inputs = read(dataset, rows, model)?;
    let targets = match outputs {
        Outputs::Classify { column, labels } => Targets::Classes(class_numbers(dataset, rows, column, labels)?),
        Outputs::Regress { column, mean, scale } => {
            let values = targets(dataset, rows, column)?;
            Targets::Values(values.into_iter().map(|value| ((value - mean) / scale) as f32).collect())
        }
        Outputs::Embed { pair: Some(pair), score, .. } => pairs(dataset, rows, model, pair, score.as_deref())?,
        Outputs::Embed { .. } | Outputs::Generate { .. } => Targets::None,
    };
    Ok(Examples { inputs, targets })
}

/// The texts of column `pair`, read as the model reads the texts of its own column, and the scores.
fn pairs(dataset: &Dataset, rows: &[usize], model: &Checkpoint, pair: &str, score: Option<&str>) -> Result<Targets> {
    let mut table = dataset.table(&[pair.to_owned()], rows)?;
    let own = model.inputs().and_then(|inputs| inputs.columns.first());
    for (column, own) in table.columns.iter_mut().zip(own) {
        column.name.clone_from(&own.name);
    }
    let scores = score.map(|score| targets(dataset, rows, score)).transpose()?;
    let scores = scores.map(|scores| scores.into_iter().map(|score| score as f32).collect());
    Ok(Targets::Pairs { others: model.read(&table)?, scores })
}

/// The given rows of a dataset as the model reads them.
///
/// # Errors
/// When a column is missing, or a cell cannot be read.
pub fn read(dataset: &Dataset, rows: &[usize], model: &Checkpoint) -> Result<Rows> {
    let columns = model.inputs().map(|inputs| inputs.columns.iter().map(|column| column.name.clone()).collect());
    let columns: Vec<String> = columns.unwrap_or_default();
    Ok(model.read(&dataset.table(&columns, rows)?)?)
}

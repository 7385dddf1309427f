//! Measuring a saved model on raw rows: what `paring eval` does.

use std::path::PathBuf;

use indexmap::IndexMap;
use paring_data::examples::{self, examples};
use paring_data::read::{ReadOptions, read};
use paring_data::{DataError, Dataset};
use paring_model::outputs::Answer;
use paring_model::{Checkpoint, ModelError, Outputs};
use paring_train::TrainError;
use paring_train::measure::{LatencySettings, MEASURES, measure};
use serde::Serialize;

/// What to measure on what.
#[derive(Debug, Clone, Default)]
pub struct EvalOptions {
    /// The model's directory.
    pub model: PathBuf,
    /// The rows.
    pub data: PathBuf,
    /// How the rows are read.
    pub read: ReadOptions,
    /// Measures; all that suit the model's task when empty.
    pub measures: Vec<String>,
}

/// The figures.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// Rows measured.
    pub rows: usize,
    /// Values by measure.
    pub measures: IndexMap<String, f64>,
    /// The model's answer for each row.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub predictions: Vec<String>,
}

/// Why a model could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The model cannot be read or does not run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The rows cannot be read or do not fit the model.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A measure cannot be taken.
    #[error("measure `{name}`: {source}")]
    Measure {
        /// The measure.
        name: String,
        /// Why.
        source: TrainError,
    },
    /// The model carries no inputs or outputs, so raw rows mean nothing to it.
    #[error("`{}` does not say how raw rows become its inputs: it was not written by Paring", .0.display())]
    NoTransforms(PathBuf),
}

/// Measures a saved model on raw rows.
///
/// # Errors
/// When model or rows cannot be read, do not fit each other, or a measure cannot be taken.
pub fn evaluate(options: &EvalOptions) -> Result<Evaluation, EvalError> {
    let model = Checkpoint::open(&options.model)?;
    let (Some(_), Some(outputs)) = (model.inputs(), model.outputs().cloned()) else {
        return Err(EvalError::NoTransforms(options.model.clone()));
    };
    let data = read(&options.data, &options.read)?;
    let rows: Vec<usize> = (0..data.rows()).collect();
    let labelled = data.columns().iter().any(|column| Some(column.as_str()) == outputs.column());
    let measures = measured(&model, &data, &rows, &outputs, labelled, options)?;
    Ok(Evaluation { rows: rows.len(), measures, predictions: predictions(&model, &data, &rows, &outputs)? })
}

fn measured(
    model: &Checkpoint,
    data: &Dataset,
    rows: &[usize],
    outputs: &Outputs,
    labelled: bool,
    options: &EvalOptions,
) -> Result<IndexMap<String, f64>, EvalError> {
    let task = outputs.task();
    let suits = |info: &&paring_train::measure::MeasureInfo| info.tasks.is_empty() || info.tasks.contains(&task);
    let all = MEASURES.iter().filter(suits).filter(|info| !info.needs_baseline && (labelled || !info.needs_rows));
    let names: Vec<String> = if options.measures.is_empty() {
        all.map(|info| info.name.to_owned()).collect()
    } else {
        options.measures.clone()
    };
    let examples = if labelled { Some(examples(data, rows, model, outputs)?) } else { None };
    let mut values = IndexMap::new();
    for name in names {
        let taken = measure(&name, model, examples.as_ref(), None, &LatencySettings::default());
        values.extend(taken.map_err(|source| EvalError::Measure { name, source })?);
    }
    Ok(values)
}

fn predictions(
    model: &Checkpoint,
    data: &Dataset,
    rows: &[usize],
    outputs: &Outputs,
) -> Result<Vec<String>, EvalError> {
    let raw = model.predict(&examples::read(data, rows, model)?, 256)?;
    Ok(outputs.answers(&raw)?.into_iter().map(shown).collect())
}

fn shown(answer: Answer) -> String {
    match answer {
        Answer::Class { label, .. } => label,
        Answer::Number { value } => value.to_string(),
        Answer::Vector { vector } => vector.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

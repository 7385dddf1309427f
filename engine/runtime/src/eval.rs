//! Measuring a saved model on raw rows: what `paring eval` does.

use std::path::PathBuf;

use indexmap::IndexMap;
use paring_data::examples::{self, examples};
use paring_data::read::{ReadOptions, read};
use paring_data::windows::window_rows;
use paring_data::{DataError, Dataset, Examples, Targets};
use paring_model::outputs::Answer;
use paring_model::{Checkpoint, Inputs, ModelError, Outputs, Task};
use paring_train::TrainError;
use paring_train::measure::{Bench, LatencySettings, MEASURES, MeasureInfo};
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
    let data = cut(&model, read(&options.data, &options.read)?)?;
    let rows: Vec<usize> = (0..data.rows()).collect();
    let has = |name: &str| data.columns().iter().any(|column| column == name);
    let labelled = outputs.column().map_or(outputs.task() == Task::Generate, has);
    let examples = if labelled { Some(examples(&data, &rows, &model, &outputs)?) } else { None };
    let measures = measured(&model, examples.as_ref(), outputs.task(), options)?;
    Ok(Evaluation { rows: rows.len(), measures, predictions: predictions(&model, &data, &rows, &outputs)? })
}

/// A running text in windows, for a model that reads windows; other rows as they are.
fn cut(model: &Checkpoint, data: Dataset) -> Result<Dataset, EvalError> {
    let Some((_, size)) = model.inputs().and_then(Inputs::windows) else { return Ok(data) };
    let tokenizer = model.tokenizer()?;
    let encode = |text: &str| tokenizer.encode(text).map_err(DataError::from);
    let columns = data.columns();
    let column = columns.iter().find(|name| *name == "text").or(columns.first()).cloned().unwrap_or_default();
    Ok(window_rows(&data, None, &column, [0.0, 0.0, 0.0, 1.0], size, &encode)?.0)
}

fn measured(
    model: &Checkpoint,
    rows: Option<&Examples>,
    task: Task,
    options: &EvalOptions,
) -> Result<IndexMap<String, f64>, EvalError> {
    let has_scores = rows.is_some_and(|rows| matches!(rows.targets, Targets::Pairs { scores: Some(_), .. }));
    let suits = |info: &&MeasureInfo| {
        let needs = (rows.is_some() || !info.needs_rows) && (has_scores || info.name != "spearman");
        needs && !info.needs_baseline && (info.tasks.is_empty() || info.tasks.contains(&task))
    };
    let names: Vec<String> = if options.measures.is_empty() {
        MEASURES.iter().filter(suits).map(|info| info.name.to_owned()).collect()
    } else {
        options.measures.clone()
    };
    let settings = LatencySettings::default();
    let mut bench = Bench::new(model, rows, None, &settings);
    let mut values = IndexMap::new();
    for name in names {
        let taken = bench.take(&name);
        values.extend(taken.map_err(|source| EvalError::Measure { name, source })?);
    }
    Ok(values)
}

/// The answer for each row; none for a model that continues texts.
fn predictions(
    model: &Checkpoint,
    data: &Dataset,
    rows: &[usize],
    outputs: &Outputs,
) -> Result<Vec<String>, EvalError> {
    if outputs.task() == Task::Generate {
        return Ok(Vec::new());
    }
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

//! How good the answers are: one prediction of all rows, judged by every metric that is asked for.

use candle_core::{DType, Tensor};
use paring_data::{Examples, Targets};
use paring_model::{Checkpoint, Outputs, Task};

use crate::error::{Result, TrainError};
use crate::loss;
use crate::metrics;

/// Rows predicted at once.
const BATCH: usize = 256;

/// Predictions and truth.
pub(super) enum Answers {
    /// Logits, row-major.
    Classes { logits: Vec<f32>, classes: usize, truth: Vec<u32> },
    /// Standardized numbers, and how to get back to the target's unit.
    Numbers { predicted: Vec<f32>, truth: Vec<f32>, mean: f64, scale: f64 },
}

impl Answers {
    /// Runs the model on all rows.
    pub(super) fn predict(model: &Checkpoint, rows: &Examples) -> Result<Self> {
        if rows.targets.is_empty() {
            return Err(TrainError::NoRows { part: "test" });
        }
        let outputs = model.predict(&rows.inputs, BATCH)?.to_dtype(DType::F32)?;
        let (count, width) = outputs.dims2()?;
        let numbers = outputs.flatten_all()?.to_vec1::<f32>()?;
        if count != rows.targets.len() {
            return Err(TrainError::Mismatch(format!("there are {count} predictions for {} rows", rows.targets.len())));
        }
        if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
            let row = at / width.max(1) + 1;
            return Err(TrainError::Mismatch(format!("the model's output for row {row} is not a finite number")));
        }
        Ok(match &rows.targets {
            Targets::Classes(truth) => Answers::Classes { logits: numbers, classes: width, truth: truth.clone() },
            Targets::Values(truth) => {
                let (mean, scale) = unit(model);
                Answers::Numbers { predicted: numbers, truth: truth.clone(), mean, scale }
            }
            Targets::Pairs { .. } | Targets::None => return Err(TrainError::NoRows { part: "test" }),
        })
    }

    /// The measure of that name.
    pub(super) fn score(&self, name: &str) -> Result<f64> {
        match self {
            Answers::Classes { logits, classes, truth } => class_score(name, logits, *classes, truth),
            Answers::Numbers { predicted, truth, mean, scale } => number_score(name, predicted, truth, *mean, *scale),
        }
    }
}

fn class_score(name: &str, logits: &[f32], classes: usize, truth: &[u32]) -> Result<f64> {
    let predicted = || metrics::most_likely(logits, classes);
    match name {
        "accuracy" => metrics::accuracy(&predicted(), truth),
        "balanced_accuracy" => metrics::balanced_accuracy(&predicted(), truth),
        "f1" => metrics::f1_macro(&predicted(), truth),
        "roc_auc" => metrics::roc_auc_one_vs_rest(&metrics::softmax(logits, classes), classes, truth),
        "log_loss" => metrics::log_loss(&metrics::softmax(logits, classes), classes, truth),
        "loss" => {
            let logits = Tensor::from_slice(logits, (truth.len(), classes), &candle_core::Device::Cpu)?;
            let truth = Tensor::from_slice(truth, truth.len(), &candle_core::Device::Cpu)?;
            Ok(loss::cross_entropy(&logits.to_dtype(DType::F64)?, &truth, None, 0.0)?.to_scalar::<f64>()?)
        }
        _ => Err(unsuited(name, Task::Classify)),
    }
}

fn number_score(name: &str, predicted: &[f32], truth: &[f32], mean: f64, scale: f64) -> Result<f64> {
    let in_unit = |numbers: &[f32]| numbers.iter().map(|&number| f64::from(number) * scale + mean).collect::<Vec<_>>();
    let plain = |numbers: &[f32]| numbers.iter().copied().map(f64::from).collect::<Vec<_>>();
    match name {
        "rmse" => metrics::root_mean_squared_error(&in_unit(predicted), &in_unit(truth)),
        "mae" => metrics::mean_absolute_error(&in_unit(predicted), &in_unit(truth)),
        "r2" => metrics::r2(&in_unit(predicted), &in_unit(truth)),
        "loss" => Ok(metrics::root_mean_squared_error(&plain(predicted), &plain(truth))?.powi(2)),
        _ => Err(unsuited(name, Task::Regress)),
    }
}

/// Mean and scale of the target; a model without outputs answers in its own unit.
fn unit(model: &Checkpoint) -> (f64, f64) {
    match model.outputs() {
        Some(Outputs::Regress { mean, scale, .. }) => (*mean, *scale),
        _ => (0.0, 1.0),
    }
}

fn unsuited(name: &str, task: Task) -> TrainError {
    let task = match task {
        Task::Regress => "a regression",
        _ => "a classification",
    };
    TrainError::Mismatch(format!("measure `{name}` does not suit {task}"))
}

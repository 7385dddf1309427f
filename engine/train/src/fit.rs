//! The training loop: its settings, what it tells while it runs, and what it did.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use paring_data::Examples;
use paring_model::Checkpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::fake::{self, FakeQuantization, Method};
use crate::optimizer::OptimizerSpec;
use crate::rng::Stream;
use crate::schedule::Schedule;

mod batches;
mod gradients;
mod objective;
mod rates;
mod run;
mod teacher;

pub use gradients::gradients;
pub use rates::{Rates, problems};
pub use teacher::{Distance, Hidden, Teacher};

/// Everything that decides a training run, but data and model. Shared by every pass that trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitSettings {
    /// Passes over the training rows.
    #[schemars(range(min = 1, max = 100000))]
    pub epochs: usize,
    /// Rows in a batch.
    #[schemars(range(min = 1, max = 65536))]
    pub batch_size: usize,
    /// Batches whose gradients are averaged, each by its rows, before a step: as one batch of that many times the rows
    /// in the memory of one.
    #[schemars(range(min = 1, max = 65536))]
    pub accumulate: usize,
    /// Peak learning rate.
    #[schemars(range(min = 1e-9, max = 100.0))]
    pub learning_rate: f64,
    /// Peak learning rates of weights that have one of their own: globs over the names of weights, of which the first
    /// that matches decides.
    #[schemars(inner(range(min = 1e-9, max = 100.0)), example = rates_example())]
    pub learning_rates: IndexMap<String, f64>,
    /// Weights that stay as they are: globs over the names of weights.
    #[schemars(inner(length(min = 1)), example = freeze_example())]
    pub freeze: Vec<String>,
    /// The optimizer.
    pub optimizer: OptimizerSpec,
    /// How the learning rate changes over the run.
    pub schedule: Schedule,
    /// Epochs of linear rise from zero before the schedule.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub warmup_epochs: f64,
    /// Whether numbers are dropped at random, at the rates that the model names.
    #[schemars(example = false)]
    pub dropout: bool,
    /// Longest gradient (L2 norm over all weights); longer ones are scaled down. Off by default.
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub clip_norm: Option<f64>,
    /// Stop when the loss on the validation rows (with class weights, without smoothing or teacher; of embeddings,
    /// which have no labels, the teacher's) has not improved for this many epochs, and keep the best weights. Needs
    /// validation rows. Off by default.
    #[schemars(range(min = 1, max = 10000))]
    pub early_stopping: Option<usize>,
    /// Label smoothing, from 0 (inclusive) to 1 (exclusive).
    #[schemars(range(min = 0.0, max = 0.999))]
    pub label_smoothing: f64,
    /// How classes are weighted in the loss.
    pub class_weights: ClassWeights,
}

/// How classes are weighted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// Every row counts the same.
    #[default]
    Uniform,
    /// Every class counts the same: weight = rows / (classes * rows of the class).
    Balanced,
}

impl Default for FitSettings {
    fn default() -> Self {
        Self {
            epochs: 30,
            batch_size: 64,
            accumulate: 1,
            learning_rate: 1e-3,
            learning_rates: IndexMap::new(),
            freeze: Vec::new(),
            optimizer: OptimizerSpec::default(),
            schedule: Schedule::default(),
            warmup_epochs: 0.0,
            dropout: true,
            clip_norm: None,
            early_stopping: None,
            label_smoothing: 0.0,
            class_weights: ClassWeights::default(),
        }
    }
}

fn rates_example() -> IndexMap<String, f64> {
    IndexMap::from([("head.*".to_owned(), 0.001)])
}

fn freeze_example() -> [&'static str; 1] {
    ["layers.0.*"]
}

/// What a run learns from.
#[derive(Clone, Copy)]
pub struct Lesson<'a> {
    /// The training rows.
    pub train: &'a Examples,
    /// Rows that early stopping is judged by.
    pub validate: Option<&'a Examples>,
    /// A teacher.
    pub teacher: Option<Teacher<'a>>,
}

/// What the loop tells while it runs, and what can stop it.
pub trait Watch {
    /// After each batch. `done` of `total` batches over the whole run; the present loss.
    fn step(&mut self, done: usize, total: usize, loss: f32, learning_rate: f64);
    /// While a teacher answers rows before training.
    fn taught(&mut self, done: usize, total: usize) {
        let _ = (done, total);
    }
    /// Asked before each batch.
    fn cancelled(&self) -> bool;
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Optimizer steps taken.
    pub steps: usize,
    /// Epochs run (fewer than asked after early stopping).
    pub epochs: usize,
    /// Mean training loss of each epoch.
    pub train_loss: Vec<f32>,
    /// Validation loss after each epoch, where there are validation rows.
    pub validate_loss: Vec<f32>,
    /// The epoch (from 1) whose weights were kept.
    pub best_epoch: usize,
}

/// Trains the model's float weights in place. The same model, rows, settings and stream give the same bits for any
/// number of threads.
///
/// Rows are shuffled anew each epoch; where the last batch would have one row, it joins the batch before. A loss that
/// is not a number, or more than 10,000 times the first batch's (or 1, where that is larger), counts as diverged.
///
/// # Errors
/// When there are no training rows, the loss diverges, the run is cancelled, or the model cannot be trained.
pub fn fit(
    model: &mut Checkpoint,
    train: &Examples,
    validate: Option<&Examples>,
    teacher: Option<Teacher<'_>>,
    settings: &FitSettings,
    stream: &Stream,
    watch: &mut dyn Watch,
) -> Result<FitReport> {
    let lesson = Lesson { train, validate, teacher };
    run::fit(model, lesson, &BTreeMap::new(), settings, stream, watch)
}

/// As [`fit`], while the weights of some sites, by name, are rounded in every forward pass, and their inputs too. At
/// the end these weights are integers, and the model computes what it computed in training, to the rounding of floats.
/// Learned steps are trained as the other weights are; `freeze` and `learning_rates` know them by [`step_names`].
///
/// # Errors
/// As [`fit`], and when a site saw only zeros.
pub fn fit_rounded(
    model: &mut Checkpoint,
    lesson: Lesson<'_>,
    sites: &BTreeMap<String, FakeQuantization>,
    settings: &FitSettings,
    stream: &Stream,
    watch: &mut dyn Watch,
) -> Result<FitReport> {
    run::fit(model, lesson, sites, settings, stream, watch)
}

/// Names of the steps that are learned for a site: that of its weight and that of its input.
pub fn step_names(site: &str, quantization: &FakeQuantization) -> Vec<String> {
    let learned = quantization.method == Method::Lsq;
    let input = quantization.input.map(|_| fake::input_step(site));
    learned.then(|| fake::weight_step(site)).into_iter().chain(input.filter(|_| learned)).collect()
}

#[cfg(test)]
mod tests;

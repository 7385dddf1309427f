//! The training loop: its settings, what it tells while it runs, and what it did.

use std::collections::BTreeMap;

use paring_data::Examples;
use paring_model::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};
use crate::fake::{self, FakeQuantization, Method};
use crate::lora::LowRank;
use crate::rng::Stream;
use crate::sparse::Growth;

mod attention;
mod average;
mod batches;
mod gradients;
mod hidden;
mod inside;
mod judge;
mod likely;
mod objective;
mod rates;
mod run;
mod saved;
mod settings;
mod teacher;
mod variables;

pub use attention::{Attention, AttentionLayer};
pub use gradients::gradients;
pub use hidden::Hidden;
pub(crate) use rates::matches_one;
pub use rates::{Rates, glob_problem, problems};
pub use saved::{Position, SavedRun};
pub use settings::{Budget, ClassWeights, FitSettings, GradualPruning};
pub use teacher::{Distance, Teacher};

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
    /// Asked after each step: the share of the time that the training has which is over, from 0 to 1.
    fn time_used(&mut self) -> f64 {
        0.0
    }
    /// A measure of the model on the validation rows, for early stopping that watches one.
    ///
    /// # Errors
    /// When it cannot be taken.
    fn measure(&mut self, name: &str, model: &Checkpoint) -> Result<f64> {
        let _ = model;
        Err(TrainError::Mismatch(format!("`{name}` cannot be measured here")))
    }
    /// What a run of the same training saved that did not come to its end.
    fn saved(&mut self) -> Option<SavedRun> {
        None
    }
    /// Asked after each step, where no number of steps says it: whether the run should be saved now.
    fn save_is_due(&self) -> bool {
        false
    }
    /// What was kept under that name of a teacher's answers, by this run or by one of the same training that did not come
    /// to its end.
    fn kept_answers(&mut self, name: &str) -> Option<Checkpoint> {
        let _ = name;
        None
    }
    /// Keeps some of a teacher's answers until training is over. What comes back are the same, but may lie in a file
    /// rather than in memory.
    ///
    /// # Errors
    /// When they cannot be written.
    fn keep_answers(&mut self, name: &str, answers: Checkpoint) -> Result<Checkpoint> {
        let _ = name;
        Ok(answers)
    }
    /// Saves the run in the place of what was saved before. Its tensors change as training goes on: they are written,
    /// or copied, before this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save(&mut self, run: &SavedRun) -> Result<()> {
        let _ = run;
        Ok(())
    }
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FitReport {
    /// Optimizer steps taken, but those that were taken back.
    pub steps: usize,
    /// Epochs run (fewer than asked after early stopping).
    pub epochs: usize,
    /// Mean training loss of each epoch.
    pub train_loss: Vec<f32>,
    /// Validation loss after each epoch, where there are validation rows.
    pub validate_loss: Vec<f32>,
    /// The watched measure after each epoch, where early stopping watches one.
    pub monitored: Vec<f64>,
    /// The epoch (from 1) whose weights were kept.
    pub best_epoch: usize,
    /// The share of the targeted weights that became zero, where some did little by little.
    pub sparsity: Option<f64>,
    /// Adapters that are to be kept, once training is over.
    #[serde(skip)]
    pub adapters: Vec<LowRank>,
    /// Steps after which training diverged and went back.
    pub backed_off: Vec<usize>,
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
    fit_with(model, Lesson { train, validate, teacher }, Extras::default(), settings, stream, watch)
}

/// As [`fit`], while more happens to some sites than that their weights move.
///
/// # Errors
/// As [`fit`]; when a rounded site saw only zeros, or a site would lose all its weights.
pub fn fit_with(
    model: &mut Checkpoint,
    lesson: Lesson<'_>,
    extras: Extras<'_>,
    settings: &FitSettings,
    stream: &Stream,
    watch: &mut dyn Watch,
) -> Result<FitReport> {
    run::fit(model, lesson, extras, settings, stream, watch)
}

/// Movement pruning while a model is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Movement {
    /// The sites that lose weights, by name.
    pub sites: Vec<String>,
    /// How the share of zeros grows.
    pub growth: Growth,
    /// Peak learning rate of the scores.
    pub score_learning_rate: f64,
}

/// What a run does to some sites besides moving their weights.
#[derive(Clone, Copy, Default)]
pub struct Extras<'a> {
    /// The weights of these sites, by name, are rounded in every forward pass, and their inputs too. At the end these
    /// weights are integers, and the model computes what it computed in training, to the rounding of floats. Learned
    /// steps are trained as the other weights are; `freeze` and `learning_rates` know them by [`step_names`].
    pub rounded: Option<&'a BTreeMap<String, FakeQuantization>>,
    /// Weights become zero that training moves least away from zero.
    pub movement: Option<&'a Movement>,
    /// Weights that are integers already are trained as floats behind the same grid, and are integers of that grid at
    /// the end.
    pub held: Option<Held>,
}

/// How weights that are integers already are trained.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// Integers that stand for zero stay as they are.
    pub keeps_zeros: bool,
}

/// Names of the steps that are learned for a site: that of its weight and that of its input.
pub fn step_names(site: &str, quantization: &FakeQuantization) -> Vec<String> {
    let learned = quantization.method == Method::Lsq;
    let input = quantization.input.map(|_| fake::input_step(site));
    learned.then(|| fake::weight_step(site)).into_iter().chain(input.filter(|_| learned)).collect()
}

#[cfg(test)]
mod tests;

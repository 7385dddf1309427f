//! What decides a training run.

use indexmap::IndexMap;
use paring_model::{Site, SiteKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rates::matches_one;
use crate::lora::Lora;
use crate::optimizer::OptimizerSpec;
use crate::schedule::Schedule;
use crate::sparse::{Growth, SparsityScope};

/// Everything that decides a training run, but data and model. Shared by every pass that trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FitSettings {
    /// Passes over the training rows; fewer where a `budget` ends the run.
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
    /// The measure, of those that the recipe takes, that early stopping watches in the place of the loss.
    #[schemars(length(min = 1), example = &"accuracy")]
    pub monitor: Option<String>,
    /// Decay of a moving average of the weights, from 0 to 1 (both exclusive): the averages are what is judged and
    /// kept. Off by default.
    #[schemars(range(min = 0.0001, max = 0.999999))]
    pub ema_decay: Option<f64>,
    /// What ends the run before all epochs are over: `{ steps: 1000 }` or `{ time: 10min }`. The schedule of the
    /// learning rate ends with it.
    pub budget: Option<Budget>,
    /// Times that a run whose loss diverges goes back to where it was saved last (or its start) and goes on at half the
    /// learning rate. Without it, a loss that diverges fails the stage.
    #[schemars(range(min = 1, max = 20))]
    pub back_off: Option<usize>,
    /// Steps after which the run is saved, so that one that is killed goes on from there. Without it a run is saved
    /// every five minutes; with `back_off`, at the ends of epochs.
    #[schemars(range(min = 1, max = 1000000))]
    pub checkpoint_steps: Option<usize>,
    /// Trains adapters of low rank, which become part of the weights at the end, in the place of the weights; beside
    /// them only the output layer of a model that answers with classes or numbers is trained. Off by default.
    pub lora: Option<Lora>,
    /// Sets weights to zero little by little while the others are trained, the smallest first. They are masked from
    /// then on. Off by default.
    pub gradual_pruning: Option<GradualPruning>,
    /// Whether batches are of texts of about one length, which saves the work that padding makes.
    pub group_by_length: bool,
    /// Label smoothing, from 0 (inclusive) to 1 (exclusive).
    #[schemars(range(min = 0.0, max = 0.999))]
    pub label_smoothing: f64,
    /// How classes are weighted in the loss.
    pub class_weights: ClassWeights,
}

/// Weights that become zero while the others are trained: how many, when, and which.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GradualPruning {
    /// The fraction of the targeted weights that is zero in the end, from 0 to 1 (both exclusive).
    #[schemars(range(min = 0.0001, max = 0.9999))]
    pub sparsity: f64,
    /// Whether weights compete over all targets or within each.
    #[serde(default)]
    pub scope: SparsityScope,
    /// Where the fraction begins to grow, as a share of the run: 0 is its start.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub begin: f64,
    /// Where it has grown, as a share of the run; what follows is for recovery.
    #[serde(default = "three_quarters")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub end: f64,
    /// Steps from one choice of weights to the next.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1000000))]
    pub every_steps: usize,
    /// Layers that lose weights: globs over the names of sites. All linear layers and convolutions where not given.
    #[serde(default)]
    #[schemars(inner(length(min = 1)), example = freeze_example())]
    pub targets: Vec<String>,
}

fn three_quarters() -> f64 {
    0.75
}

fn ten() -> usize {
    10
}

impl GradualPruning {
    /// How the fraction grows.
    pub fn growth(&self) -> Growth {
        let Self { sparsity, scope, begin, end, every_steps, .. } = *self;
        Growth { sparsity, begin, end, every_steps, scope }
    }

    /// The sites that lose weights.
    pub fn sites(&self, sites: Vec<Site>) -> Vec<Site> {
        let named = |site: &Site| self.targets.is_empty() || matches_one(&self.targets, &site.name);
        let multiplies = |site: &Site| !matches!(site.kind, SiteKind::Embedding { .. });
        sites.into_iter().filter(|site| multiplies(site) && named(site)).collect()
    }
}

/// What ends a run before all epochs are over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Optimizer steps.
    Steps(#[schemars(range(min = 1, max = 100000000))] usize),
    /// A duration, such as `10min`: that of training alone. How far a run comes in it depends on the machine.
    Time(String),
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
            monitor: None,
            ema_decay: None,
            budget: None,
            back_off: None,
            checkpoint_steps: None,
            lora: None,
            gradual_pruning: None,
            group_by_length: false,
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

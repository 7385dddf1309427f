//! What a running pass is given. It reads no file, clock, environment or other pass: all comes through here.

use indexmap::IndexMap;
use paring_data::{Dataset, Examples, Part, Parts};
use paring_model::{Checkpoint, Site};
use paring_train::Stream;
use paring_train::fit::Watch;
use serde_json::Value;

use crate::error::PassError;

/// One trial of a sweep.
#[derive(Debug, Clone)]
pub struct Trial {
    /// Measures on the validation rows (and size, params, ...) of the model the nested stages made.
    pub measures: IndexMap<String, f64>,
    /// The model.
    pub model: Checkpoint,
    /// Every nested stage came from the cache.
    pub cached: bool,
}

/// What the engine does for a pass.
pub trait Services {
    /// Progress: `done` of `total`, and a short text (loss, layer, trial).
    fn progress(&self, done: usize, total: usize, what: &str);

    /// Whether the person pressed ctrl-C.
    fn cancelled(&self) -> bool;

    /// Runs the nested stages with these bindings on `model`; `number` is the trial's number, from 0.
    ///
    /// # Errors
    /// Why the trial failed. Only an interruption is fatal to a sweep.
    fn trial(&self, number: usize, model: &Checkpoint, bindings: &IndexMap<String, Value>) -> Result<Trial, PassError>;

    /// Measures a model on a part by the recipe's measure names (`accuracy`, `size`, ...).
    ///
    /// # Errors
    /// When a measure cannot be taken.
    fn measure(&self, name: &str, model: &Checkpoint, part: Part) -> Result<f64, PassError>;
}

/// What a running pass is given.
pub struct Cx<'a> {
    /// The stage's id.
    pub stage: &'a str,
    /// Sites that the stage's `targets` and `ignore` leave, in forward order; empty for an unbuilt model.
    pub sites: &'a [Site],
    /// The recipe's data.
    pub data: Option<(&'a Dataset, &'a Parts)>,
    /// The stage's randomness.
    pub stream: Stream,
    /// The engine.
    pub services: &'a dyn Services,
}

impl Cx<'_> {
    /// A part of the data through the model's inputs. `None` when the recipe has no such rows.
    ///
    /// # Errors
    /// When the rows do not fit the model's inputs.
    pub fn examples(&self, part: Part, model: &Checkpoint) -> Result<Option<Examples>, PassError> {
        let _ = (part, model);
        todo!()
    }

    /// An error if the person pressed ctrl-C.
    ///
    /// # Errors
    /// [`PassError::Interrupted`].
    pub fn check_cancelled(&self) -> Result<(), PassError> {
        if self.services.cancelled() { Err(PassError::Interrupted) } else { Ok(()) }
    }

    /// A training watch that reports progress with loss and learning rate.
    pub fn watch(&self) -> impl Watch + '_ {
        StageWatch { services: self.services }
    }
}

struct StageWatch<'a> {
    services: &'a dyn Services,
}

impl Watch for StageWatch<'_> {
    fn step(&mut self, done: usize, total: usize, loss: f32, learning_rate: f64) {
        self.services.progress(done, total, &format!("loss {loss:.4}, learning rate {learning_rate:.2e}"));
    }

    fn cancelled(&self) -> bool {
        self.services.cancelled()
    }
}

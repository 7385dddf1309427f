//! What a running pass is given. It reads no file, clock, environment or other pass: all comes through here.

use indexmap::IndexMap;
use paring_data::{Dataset, Examples, Part, Parts, Targets};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Rows, Site};
use paring_train::Stream;
use paring_train::fit::{FitSettings, Watch};
use serde_json::Value;

use crate::error::PassError;
use crate::watch::StageWatch;

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

    /// Runs the nested stages, as they are written, on `model`.
    ///
    /// # Errors
    /// Why one of them failed.
    fn nested(&self, model: &Checkpoint) -> Result<Checkpoint, PassError> {
        let _ = model;
        Err(PassError::Failed("there are no nested stages".to_owned()))
    }

    /// Measures a model on a part by the recipe's measure names (`accuracy`, `size`, ...).
    ///
    /// # Errors
    /// When a measure cannot be taken.
    fn measure(&self, name: &str, model: &Checkpoint, part: Part) -> Result<f64, PassError>;

    /// Keeps a unit of the stage's work (some of the weights, and a note) where a crash does not lose it, until the
    /// stage is done. The weights that come back are the same, but lie in a file rather than in memory.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep(&self, unit: &str, part: &Checkpoint, note: &Value) -> Result<Checkpoint, PassError> {
        let _ = (unit, note);
        Ok(part.clone())
    }

    /// The unit of that name, if an earlier run of the same stage kept it and did not come to its end.
    fn kept(&self, unit: &str) -> Option<(Checkpoint, Value)> {
        let _ = unit;
        None
    }

    /// Lets a unit go that is not needed any more.
    fn discard(&self, unit: &str) {
        let _ = unit;
    }
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
    /// A part of the data through the model's inputs. Where a recipe has no validation rows the calibration rows stand
    /// in, and the training rows for calibration rows. `None` when there are no such rows at all.
    ///
    /// # Errors
    /// When the rows do not fit the model's inputs.
    pub fn examples(&self, part: Part, model: &Checkpoint) -> Result<Option<Examples>, PassError> {
        let Some((dataset, parts)) = self.data else { return Ok(None) };
        let rows = parts.rows(stand_in(parts, part));
        if rows.is_empty() {
            return Ok(None);
        }
        let unknown = || PassError::Failed("the model does not say what its answers mean".to_owned());
        let outputs = model.outputs().ok_or_else(unknown)?;
        Ok(Some(paring_data::examples::examples(dataset, rows, model, outputs)?))
    }

    /// As [`Cx::examples`], where the pass cannot do without.
    ///
    /// # Errors
    /// When there are no such rows, or they do not fit the model's inputs.
    pub fn required_examples(&self, part: Part, model: &Checkpoint) -> Result<Examples, PassError> {
        let missing = || PassError::Failed(format!("there are no {} rows", part_name(part)));
        self.examples(part, model)?.ok_or_else(missing)
    }

    /// The features of the training rows, for a pass that works on columns.
    ///
    /// # Errors
    /// As [`Cx::required_examples`], and when the model reads texts.
    pub(crate) fn training_features(&self, model: &Checkpoint) -> Result<(Matrix, Targets), PassError> {
        let Examples { inputs, targets } = self.required_examples(Part::Train, model)?;
        match inputs {
            Rows::Features(matrix) => Ok((matrix, targets)),
            Rows::Tokens(_) => Err(PassError::Failed("the model reads texts, expected columns of features".to_owned())),
        }
    }

    /// An error if the person pressed ctrl-C.
    ///
    /// # Errors
    /// [`PassError::Interrupted`].
    pub fn check_cancelled(&self) -> Result<(), PassError> {
        if self.services.cancelled() { Err(PassError::Interrupted) } else { Ok(()) }
    }

    /// A training watch: reports progress, keeps the time, takes measures, and saves the run in the stage's journal.
    pub fn watch(&self, settings: &FitSettings) -> impl Watch + '_ {
        StageWatch::new(self.services, settings)
    }
}

/// The part whose rows are used when `part` is asked for: itself, or the one that stands in where it has no rows.
pub fn stand_in(parts: &Parts, part: Part) -> Part {
    match part {
        Part::Validate if parts.validate.is_empty() && !parts.calibrate.is_empty() => Part::Calibrate,
        Part::Calibrate if parts.calibrate.is_empty() => Part::Train,
        part => part,
    }
}

/// A part as messages name it.
pub fn part_name(part: Part) -> &'static str {
    match part {
        Part::Train => "training",
        Part::Validate => "validation",
        Part::Calibrate => "calibration",
        Part::Test => "test",
    }
}

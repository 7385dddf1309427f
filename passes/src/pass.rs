//! The Pass trait: the same, object-safe, for built-ins and plugins; and `Definition`, what a built-in's file writes.
//!
//! A built-in's file holds a unit type that implements [`Definition`] and the type of its parameter block. The doc
//! comment of the parameter type is the manual page: a sentence, then the headings of [`HEADINGS`], each as
//! `# Heading`, in that order. [`crate::builtin`] turns the definition into a [`Pass`].

use paring_model::Checkpoint;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::receipt::Outcome;

/// What a pass needs to run, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Training rows with labels.
    TrainRows,
    /// Calibration rows.
    CalibrateRows,
    /// Validation rows.
    ValidateRows,
    /// A model whose weights exist.
    BuiltModel,
    /// Float weights at its targets.
    FloatWeights,
    /// Inputs that are a flat list of features (not images).
    FlatInputs,
    /// A known model family.
    Family,
    /// Nested stages.
    NestedStages,
}

/// What a pass leaves behind, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Leaves {
    /// Weights exist.
    BuiltModel,
    /// Weights at its targets are quantized.
    QuantizedWeights,
    /// Zeros that later stages keep.
    Masks,
    /// Other shapes.
    Shapes,
    /// Other inputs.
    Inputs,
    /// Dense weights anew: masks and structure of the model before are gone (a student).
    NewModel,
}

/// A pass as data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PassInfo {
    /// `kind/name`, equal to its file.
    pub id: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Raised when results change: part of every cache key.
    pub version: u32,
    /// What it needs.
    pub needs: &'static [Needs],
    /// What it leaves.
    pub leaves: &'static [Leaves],
}

/// The headings of a pass's manual page, in order.
pub const HEADINGS: [&str; 6] =
    ["What it does", "When to use", "When not to", "Parameters", "Cost and limits", "Source"];

/// A pass, not yet configured.
pub trait Pass: Send + Sync {
    /// The pass as data.
    fn info(&self) -> PassInfo;

    /// JSON Schema of its parameter block; its `description` is the manual page.
    fn schema(&self) -> Value;

    /// Whether a stage's `targets` and `ignore` mean anything to it. A pass that works on the whole model takes none.
    fn takes_targets(&self) -> bool {
        true
    }

    /// Parameters to a step that can run. After this no parameter can be wrong.
    ///
    /// # Errors
    /// All problems of the block.
    fn configure(&self, parameters: &Value) -> Result<Box<dyn Step>, Vec<Problem>>;
}

/// A configured pass.
pub trait Step: Send + Sync {
    /// Every parameter with its value, defaults filled in. Part of the cache key.
    fn resolved(&self) -> Value;

    /// Files that its parameters name. It plans and runs once each was given to [`Step::supply`].
    fn files(&self) -> Vec<NamedFile> {
        Vec::new()
    }

    /// What a file that its parameters name holds.
    ///
    /// # Errors
    /// What is wrong with it.
    fn supply(&mut self, pointer: &str, bytes: &[u8]) -> Result<(), Problem> {
        let _ = (pointer, bytes);
        Ok(())
    }

    /// Models that its parameters name. It plans and runs once each was given to [`Step::supply_model`].
    fn models(&self) -> Vec<NamedModel> {
        Vec::new()
    }

    /// A model that its parameters name.
    fn supply_model(&mut self, pointer: &str, model: Checkpoint) {
        let _ = (pointer, model);
    }

    /// What it will do, from the outline alone.
    ///
    /// # Errors
    /// Why it cannot do it to this model.
    fn plan(&self, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>>;

    /// Does it.
    ///
    /// # Errors
    /// Why it failed; the model before stays as it was.
    fn run(&self, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError>;
}

/// A file that a parameter names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// JSON Pointer of the parameter in its block.
    pub pointer: &'static str,
    /// The path as the recipe writes it.
    pub path: String,
}

/// A model that a parameter names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedModel {
    /// JSON Pointer of the parameter in its block.
    pub pointer: String,
    /// The path as the recipe writes it, or the address of a hub.
    pub path: String,
}

/// A built-in pass: what its file says.
pub trait Definition: Send + Sync + 'static {
    /// Its parameter block: unknown fields denied, every field with a doc, a range and a default that a practitioner
    /// would choose. The doc comment of this type is the manual page.
    type Parameters: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static;

    /// The pass as data.
    const INFO: PassInfo;

    /// See [`Pass::takes_targets`].
    const TAKES_TARGETS: bool = true;

    /// Problems that the JSON Schema cannot state (two fields that do not go together).
    fn check(parameters: &Self::Parameters) -> Vec<Problem> {
        let _ = parameters;
        Vec::new()
    }

    /// See [`Step::files`].
    fn files(parameters: &Self::Parameters) -> Vec<NamedFile> {
        let _ = parameters;
        Vec::new()
    }

    /// See [`Step::supply`]: what the file holds becomes part of the parameters, but not of [`Step::resolved`].
    ///
    /// # Errors
    /// See [`Step::supply`].
    fn supply(parameters: &mut Self::Parameters, pointer: &str, bytes: &[u8]) -> Result<(), Problem> {
        let _ = (parameters, pointer, bytes);
        Ok(())
    }

    /// See [`Step::models`].
    fn models(parameters: &Self::Parameters) -> Vec<NamedModel> {
        let _ = parameters;
        Vec::new()
    }

    /// See [`Step::supply_model`]: the model becomes part of the parameters, but not of [`Step::resolved`].
    fn supply_model(parameters: &mut Self::Parameters, pointer: &str, model: Checkpoint) {
        let _ = (parameters, pointer, model);
    }

    /// See [`Step::plan`].
    ///
    /// # Errors
    /// See [`Step::plan`].
    fn plan(parameters: &Self::Parameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>>;

    /// See [`Step::run`].
    ///
    /// # Errors
    /// See [`Step::run`].
    fn run(parameters: &Self::Parameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError>;
}

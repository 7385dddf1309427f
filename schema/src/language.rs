//! The typed recipe, version 1. The JSON Schema is generated from these types; every field's doc is an editor's hover.

mod data;
mod gate;
mod print;
pub(crate) mod shape;
mod typed;

pub use data::{DataSpec, FileSpec, Missing, MixSpec, Scale, SplitSpec};
pub use gate::Gate;
pub(crate) use gate::{UnitKind, parse_quantity};
pub(crate) use print::{escape_text, to_yaml};
pub(crate) use typed::{STAGE_KEYS, stages_from_json};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A recipe after `extends` and variables are resolved. Pass parameters and family settings stay JSON values here:
/// their types belong to the passes and families, which parse them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recipe {
    /// Language version: 1.
    pub paring: u32,
    /// Name: `[a-z0-9-]`.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Seed of all randomness.
    pub seed: u64,
    /// Where the model comes from.
    pub model: ModelSource,
    /// What the model is for.
    pub task: Task,
    /// Data, if the recipe has any.
    pub data: Option<DataSpec>,
    /// Measures, taken before and after every stage.
    pub measure: Vec<String>,
    /// Stages in order.
    pub stages: Vec<Stage>,
    /// Gates on the finished model, against the model the recipe started from.
    pub require: IndexMap<String, Gate>,
    /// What to do when a stage fails or a gate is not met.
    pub on_fail: OnFail,
    /// What to write.
    pub export: Vec<Export>,
}

/// Where the model comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ModelSource {
    /// A path (relative to the recipe), `hf://org/name@rev` or `hf://org/name@rev#FILE`.
    Load(String),
    /// From nothing: the family's name and its settings.
    Family(String, Value),
}

/// What the model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Predict one of several classes.
    Classify,
    /// Predict a number.
    Regress,
    /// Turn an input into a vector.
    Embed,
    /// Continue a text.
    Generate,
}

/// One stage: exactly one pass, and what all stages may have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stage {
    /// Its id: given, or `kind-name` made unique with a number.
    pub id: String,
    /// The pass: `prune/magnitude`.
    pub pass: String,
    /// The pass's parameter block.
    pub parameters: Value,
    /// Selectors of sites; all sites when empty.
    pub targets: Vec<String>,
    /// Selectors of sites to leave alone.
    pub ignore: Vec<String>,
    /// Gates on this stage, against the model before it.
    pub require: IndexMap<String, Gate>,
    /// Nested stages (sweeps), raw: variables of the sweep are still in them. [`crate::Loaded::bind`] types them.
    pub nested: Vec<Value>,
    /// JSON pointer of the stage in the merged recipe: `/stages/2`.
    pub pointer: String,
}

/// What to do when a stage fails or a gate is not met.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnFail {
    /// End the run there and export nothing.
    #[default]
    Stop,
    /// Undo the stage, go on from the best model so far, and export that. The exit code still tells.
    KeepBest,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Export {
    /// The format: `safetensors`.
    pub format: String,
    /// Its settings.
    pub settings: Value,
}

//! The typed recipe, version 1. The JSON Schema is generated from these types; every field's doc is an editor's hover.

use std::path::PathBuf;

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
    /// A path (relative to the recipe) or `hf://org/name@rev`.
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

/// A gate on one measure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Smallest value allowed (inclusive).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Largest value allowed (inclusive). Sizes and times may carry units: `20MB`, `5ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// How far it may fall (before - after).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_drop: Option<f64>,
    /// How far it may rise (after - before).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rise: Option<f64>,
    /// Largest after / before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ratio: Option<f64>,
    /// Smallest after / before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_ratio: Option<f64>,
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

/// Where rows come from and how they are read, split and prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// The rows that are split; or, where `test` is a file of its own, the rows for everything but the test.
    pub train: FileSpec,
    /// A separate file of test rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<FileSpec>,
    /// How rows are divided.
    #[serde(default)]
    pub split: SplitSpec,
    /// What to do with missing cells.
    #[serde(default)]
    pub missing: Missing,
    /// How features are scaled; fitted on the training rows.
    #[serde(default)]
    pub scale: Scale,
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// csv, tsv, jsonl, parquet, npy, npz or IDX, relative to the recipe.
    pub path: PathBuf,
    /// The column that holds the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// A second file that holds the answers (IDX, npy); its column is called `label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// Feature columns in order; every column but the label when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Columns of numbers that are categories all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categorical: Vec<String>,
    /// CSV: whether the first line names the columns; found out by looking when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// CSV: the character between cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// CSV: cells that count as missing, besides the empty cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_values: Vec<String>,
    /// Use only the first rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
}

/// How rows are divided: fractions, or k folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitSpec {
    /// Fraction of rows for training.
    pub train: Option<f64>,
    /// Fraction of rows that early stopping and sweeps judge by.
    pub validate: Option<f64>,
    /// Fraction of rows that quantization and pruning look at.
    pub calibrate: Option<f64>,
    /// Fraction of rows that are measured; nothing is ever chosen by them.
    pub test: Option<f64>,
    /// K folds instead of fractions.
    pub folds: Option<usize>,
    /// Which fold is the test part, from 0.
    pub fold: Option<usize>,
    /// Keep each class's share in every part. On by default for classification.
    pub stratify: Option<bool>,
}

impl Default for SplitSpec {
    fn default() -> Self {
        Self {
            train: Some(0.6),
            validate: Some(0.1),
            calibrate: Some(0.1),
            test: Some(0.2),
            folds: None,
            fold: None,
            stratify: None,
        }
    }
}

/// What to do with missing cells in feature columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Refuse the data, naming column and row.
    #[default]
    Error,
    /// Leave out rows with a missing cell.
    DropRows,
    /// The training rows' mean, or most frequent category.
    Mean,
    /// The training rows' median, or most frequent category.
    Median,
    /// Zero, or a category of its own.
    Constant,
}

/// How features are scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Mean 0, standard deviation 1.
    #[default]
    Standard,
    /// Smallest 0, largest 1.
    MinMax,
    /// As they are.
    None,
}

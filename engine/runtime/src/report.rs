//! The report: what a run did, as data. The same run gives the same bytes; what differs from run to run (timings, cache
//! hits) is kept apart.

use indexmap::IndexMap;
use paring_passes::Receipt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gates::Verdict;
use crate::ledger::LedgerLine;

/// Version of the report's own shape.
pub const REPORT_VERSION: u32 = 1;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// Version of this shape: 1.
    pub report: u32,
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's description.
    pub description: Option<String>,
    /// The recipe's seed.
    pub seed: u64,
    /// `done`, `stage_failed`, `gate_not_met` or `interrupted`.
    pub ending: String,
    /// Digest of rows and parts.
    pub data: Option<String>,
    /// Measures of the model that gates compare with: the one loaded, or the first one trained.
    pub baseline: Option<IndexMap<String, f64>>,
    /// The stages, in order.
    pub stages: Vec<StageReport>,
    /// The recipe's own gates, judged on the finished model.
    pub gates: Vec<Verdict>,
    /// Digest of the finished model.
    pub model: Option<String>,
    /// What was written.
    pub exports: Vec<ExportReport>,
    /// Things a person should know.
    pub notes: Vec<String>,
}

/// What one stage did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageReport {
    /// Its id.
    pub id: String,
    /// Its pass.
    pub pass: String,
    /// The pass's version.
    pub version: u32,
    /// Every parameter with its value.
    pub parameters: Value,
    /// A line a selector.
    pub ledger: Vec<LedgerLine>,
    /// Sites among its targets that it left alone, with the reason.
    pub skips: Vec<(String, String)>,
    /// What the pass says it did.
    #[schemars(with = "Value")]
    pub receipt: Receipt,
    /// Files that it left in the output directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What the engine found.
    pub engine: EngineReceipt,
    /// Measures before; none for a model from nothing.
    pub before: Option<IndexMap<String, f64>>,
    /// Measures after; none when the stage failed or left a model without weights.
    pub after: Option<IndexMap<String, f64>>,
    /// The stage's gates, judged.
    pub gates: Vec<Verdict>,
    /// `kept`, `undone` or `failed`.
    pub outcome: String,
    /// Why it failed.
    pub failure: Option<String>,
}

/// What the engine itself found after a stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EngineReceipt {
    /// Tensors with other numbers, shape or storage than before, or that are new.
    pub changed: Vec<String>,
    /// Tensors that are gone.
    pub removed: Vec<String>,
    /// Whether the inputs (raw rows to network) are other than before.
    pub inputs_changed: bool,
    /// Bytes of the weights file before; 0 for a model from nothing.
    pub size_before: u64,
    /// Bytes of the weights file after; 0 while nothing is trained.
    pub size_after: u64,
    /// What is wrong with how a model that continues texts goes on; none when nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degenerate: Option<String>,
    /// Every tensor afterwards: shape, storage, exact zeros, smallest and largest value.
    pub tensors: Vec<TensorReport>,
}

/// One tensor after a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// The float tensor's shape.
    pub shape: Vec<usize>,
    /// `F32`, `F32 masked`, `int8`, ...
    pub storage: String,
    /// Exact zeros.
    pub zeros: u64,
    /// Smallest value.
    pub min: f32,
    /// Largest value.
    pub max: f32,
}

/// One export.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExportReport {
    /// The format.
    pub format: String,
    /// Where, below the output directory.
    pub path: String,
    /// Bytes of the weights file.
    pub bytes: u64,
    /// Loaders that opened it.
    pub opened_by: Vec<String>,
    /// Tensors that the stock loader found.
    pub tensors: usize,
    /// Rows that were predicted with both models.
    pub parity_rows: usize,
    /// Largest difference of any output between the model and its reopened export.
    pub parity_difference: f64,
    /// What else was found when it was opened again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What differs from run to run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Version of this shape: 1.
    pub timings: u32,
    /// Wall-clock seconds of the whole run.
    pub seconds: f64,
    /// How latency was measured.
    pub latency: String,
    /// A line a stage, in order.
    pub stages: Vec<StageTimings>,
}

/// What differs from run to run, of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageTimings {
    /// The stage's id.
    pub id: String,
    /// Whether the result was in the cache.
    pub cached: bool,
    /// Wall-clock seconds in this run.
    pub seconds: f64,
    /// Timing measures before.
    pub before: IndexMap<String, f64>,
    /// Timing measures after.
    pub after: IndexMap<String, f64>,
}

/// JSON Schema of the report.
pub fn report_schema() -> Value {
    schemars::schema_for!(Report).to_value()
}

//! Receipts: what a stage did, measured.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use paring_model::Checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The model a stage made, and its receipt.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The new model.
    pub model: Checkpoint,
    /// What was done.
    pub receipt: Receipt,
}

/// What a stage says it did. The engine adds what it measures itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// One line: "kept 32 of 64 features".
    pub summary: String,
    /// Per site (or feature, or trial group): figures by name (`zeros`, `error`, `bits`, ...).
    pub sites: IndexMap<String, IndexMap<String, f64>>,
    /// Figures of the whole stage (`epochs`, `best_epoch`, `explained_variance`, ...).
    pub figures: IndexMap<String, f64>,
    /// Anything with more structure: rankings, trials, curves.
    pub details: IndexMap<String, Value>,
    /// Files that it leaves beside the model, by name.
    #[serde(skip)]
    pub files: BTreeMap<String, Vec<u8>>,
}

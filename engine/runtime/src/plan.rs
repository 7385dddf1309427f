//! The plan: what every stage would do, from headers alone.

mod walk;

use paring_passes::Effect;
use serde::Serialize;
use serde_json::Value;

use crate::cache::Cache;
use crate::key::CacheState;
use crate::ledger::LedgerLine;
use crate::project::Project;

pub use walk::plan;

/// What a run of a recipe would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The recipe's name.
    pub recipe: String,
    /// Bytes of the weights file before the first stage; `None` for a model from nothing.
    pub size: Option<u64>,
    /// Multiply-accumulate operations for one row before the first stage.
    pub macs: Option<u64>,
    /// Rows of each part: training, validation, calibration, test.
    pub rows: Option<[usize; 4]>,
    /// The stages, in order.
    pub stages: Vec<PlannedStage>,
    /// Export formats.
    pub exports: Vec<String>,
    /// Largest peak memory of any stage, in bytes, the model included.
    pub peak_memory: u64,
    /// Bytes that the output directory and the cache would take.
    pub disk: u64,
    /// Things a person should know.
    pub notes: Vec<String>,
}

/// What one stage would do.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStage {
    /// Its id.
    pub id: String,
    /// Its pass.
    pub pass: String,
    /// Every parameter with its value.
    pub parameters: Value,
    /// A line a selector.
    pub ledger: Vec<LedgerLine>,
    /// Sites that it changes.
    pub touches: Vec<String>,
    /// Sites among its targets that it leaves alone, with the reason.
    pub skips: Vec<(String, String)>,
    /// Bytes of the weights file afterwards.
    pub size: u64,
    /// Multiply-accumulate operations for one row afterwards.
    pub macs: Option<u64>,
    /// Peak memory in bytes, the model included.
    pub memory: u64,
    /// Whether size and shapes are certain.
    pub exact: bool,
    /// Nested stages, as planned with the first values that the sweep may bind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<PlannedStage>,
    /// What the cache holds, when it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheState>,
    /// Things a person should know.
    pub notes: Vec<String>,
    /// What the pass itself predicts.
    #[serde(skip)]
    pub effect: Effect,
}

impl Plan {
    /// Asks the cache, stage by stage, whether it holds the result. Reads the weights of a loaded model once, for their
    /// digest.
    ///
    /// # Errors
    /// When a weight or the cache cannot be read.
    pub fn ask_cache(&mut self, project: &Project, cache: &Cache) -> Result<(), crate::stage::StageError> {
        let mut digest = Some(project.model.digest()?);
        for (planned, configured) in self.stages.iter_mut().zip(&project.checked.stages) {
            let parts =
                digest.as_ref().map(|digest| crate::key::parts(project, configured, &[], digest)).transpose()?;
            let state = crate::key::state(cache, &project.loaded().recipe.name, configured, parts.as_ref());
            digest = state.result.clone();
            planned.cache = Some(state);
        }
        Ok(())
    }
}

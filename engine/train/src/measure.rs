//! Measures: what every stage is judged by, before and after. Named, with direction and unit.

use paring_data::Examples;
use paring_model::Checkpoint;
use serde::Serialize;

use crate::error::Result;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// A measure as data: for the schema, for help, for gates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeasureInfo {
    /// Its name in a recipe.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// "", "bytes", "ms", "bits", ...
    pub unit: &'static str,
    /// A timing: differs from run to run, kept apart from results.
    pub timing: bool,
    /// Needs test rows.
    pub needs_rows: bool,
    /// Tasks it makes sense for; empty for all.
    pub tasks: &'static [paring_model::Task],
}

/// Every measure.
pub const MEASURES: &[MeasureInfo] = &[];

/// Latency settings: stated, so that figures can stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencySettings {
    /// Rows in a batch.
    pub batch: usize,
    /// Warm-up runs.
    pub warmup: usize,
    /// Timed runs.
    pub runs: usize,
}

/// One measured value. `latency` gives `latency` (p50) and `latency_p95`.
///
/// # Errors
/// When the name is unknown, rows are missing, or the model does not run.
pub fn measure(
    name: &str,
    model: &Checkpoint,
    rows: Option<&Examples>,
    latency: &LatencySettings,
) -> Result<Vec<(String, f64)>> {
    let _ = (name, model, rows, latency);
    todo!()
}

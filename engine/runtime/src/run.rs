//! Running a recipe: stages in the order written, each measured and gated, then the export and the report.

mod finish;
mod stages;

use std::path::PathBuf;

use paring_schema::Diagnostics;

use crate::cache::Cache;
use crate::report::{Report, Timings};

pub use stages::run;

/// Where results go.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The output directory.
    pub out: PathBuf,
    /// The stage cache.
    pub cache: Cache,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Everything worked and every gate was met.
    Done,
    /// A stage or an export failed.
    StageFailed,
    /// A gate was not met.
    GateNotMet,
    /// The person pressed ctrl-C; the next run goes on from the last finished stage.
    Interrupted,
}

impl Ending {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Ending::Done => 0,
            Ending::StageFailed => 1,
            Ending::GateNotMet => 3,
            Ending::Interrupted => 130,
        }
    }

    /// As the report names it.
    pub fn name(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::StageFailed => "stage_failed",
            Ending::GateNotMet => "gate_not_met",
            Ending::Interrupted => "interrupted",
        }
    }
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct RunResult {
    /// How it ended.
    pub ending: Ending,
    /// What it did, the same in every run.
    pub report: Report,
    /// What differs from run to run.
    pub timings: Timings,
    /// What went wrong, with its places in the recipe.
    pub problems: Box<Diagnostics>,
}

//! What a run tells while it goes on, and how it is stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::report::StageReport;

/// Told what happens. Called on the thread that runs.
pub trait Events {
    /// A stage begins: its number from 0, how many there are, its id and pass.
    fn stage_started(&self, index: usize, total: usize, id: &str, pass: &str);

    /// Work goes on: `done` of `total` units, and what is going on.
    fn progress(&self, done: usize, total: usize, what: &str);

    /// A stage is done; `cached` when its result was there already, `seconds` what it took this time.
    fn stage_finished(&self, report: &StageReport, cached: bool, seconds: f64);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Events for Quiet {
    fn stage_started(&self, _index: usize, _total: usize, _id: &str, _pass: &str) {}
    fn progress(&self, _done: usize, _total: usize, _what: &str) {}
    fn stage_finished(&self, _report: &StageReport, _cached: bool, _seconds: f64) {}
}

/// A flag that ends a run at the next safe point. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the run to end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether that was asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

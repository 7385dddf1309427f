//! Progress of a run: a bar on a terminal, a line a stage elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use paring_engine::Events;
use paring_engine::report::StageReport;

use crate::terminal::Terminal;

/// Tells a person what runs, how far it is, and how long it will take.
pub struct Progress {
    terminal: Terminal,
    bar: ProgressBar,
}

impl Progress {
    /// A bar where a person watches, hidden elsewhere.
    pub fn new(terminal: Terminal) -> Self {
        let bar = if terminal.interactive { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let shape = "{prefix} [{bar:24}] {pos}/{len} {wide_msg} {elapsed} (left: {eta})";
        if let Ok(style) = ProgressStyle::with_template(shape) {
            bar.set_style(style.progress_chars("=> "));
        }
        if terminal.interactive {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { terminal, bar }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| self.terminal.say(line));
    }
}

impl Events for Progress {
    fn stage_started(&self, index: usize, total: usize, id: &str, pass: &str) {
        self.bar.reset();
        self.bar.set_length(0);
        self.bar.set_prefix(format!("{}/{total} {id}", index + 1));
        self.bar.set_message(pass.to_owned());
    }

    fn progress(&self, done: usize, total: usize, what: &str) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
        self.bar.set_message(what.to_owned());
    }

    fn stage_finished(&self, report: &StageReport, cached: bool, _seconds: f64) {
        let origin = if cached { " (from the cache)" } else { "" };
        let what = match report.outcome.as_str() {
            "failed" => "failed",
            "undone" => "undone: a gate was not met",
            _ => report.receipt.summary.as_str(),
        };
        self.say(&format!("{}: {what}{origin}", report.id));
        if let Some(wrong) = &report.engine.degenerate {
            self.say(&format!("{}: warning: the model {wrong}", report.id));
        }
    }
}

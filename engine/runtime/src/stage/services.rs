//! What the engine does for a running pass: progress, cancellation, trials, measures, and keeping what is finished.

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::Checkpoint;
use paring_passes::{PassError, Services, Trial};
use serde_json::Value;

use super::{Runner, StageError};
use crate::cache::Journal;
use crate::events::Events;
use crate::measures;
use crate::project::ConfiguredStage;
use crate::report::StageReport;

/// The engine, as one stage sees it.
pub struct StageServices<'a> {
    pub(super) runner: &'a Runner<'a>,
    pub(super) configured: &'a ConfiguredStage,
    pub(super) around: &'a [String],
    pub(super) journal: &'a Journal,
}

impl Services for StageServices<'_> {
    fn progress(&self, done: usize, total: usize, what: &str) {
        self.runner.events.progress(done, total, what);
    }

    fn cancelled(&self) -> bool {
        self.runner.cancel.is_cancelled()
    }

    fn trial(&self, number: usize, model: &Checkpoint, bindings: &IndexMap<String, Value>) -> Result<Trial, PassError> {
        let (mut trial, digest) = self.bound_run(&format!("trial {}: ", number + 1), model, bindings)?;
        let names = &self.runner.project.loaded().recipe.measure;
        let measured =
            measures::take(self.runner.project, self.runner.cache, names, &trial.model, &digest, Part::Validate)
                .map_err(|error| as_pass_error(&self.configured.stage.id, error))?;
        trial.measures = measured.all();
        Ok(trial)
    }

    fn nested(&self, model: &Checkpoint) -> Result<Checkpoint, PassError> {
        let (trial, _) = self.bound_run("", model, &IndexMap::new())?;
        Ok(trial.model)
    }

    fn measure(&self, name: &str, model: &Checkpoint, part: Part) -> Result<f64, PassError> {
        let digest = model.digest()?;
        let names = [name.to_owned()];
        let measured = measures::take(self.runner.project, self.runner.cache, &names, model, &digest, part)
            .map_err(|error| as_pass_error(&self.configured.stage.id, error))?;
        let value = measured.all().get(name).copied();
        value.ok_or_else(|| PassError::Failed(format!("there is no measure `{name}`")))
    }

    fn keep(&self, unit: &str, part: &Checkpoint, note: &Value) -> Result<Checkpoint, PassError> {
        self.journal.keep(unit, part, note).map_err(|error| PassError::Failed(error.to_string()))
    }

    fn kept(&self, unit: &str) -> Option<(Checkpoint, Value)> {
        self.journal.kept(unit)
    }

    fn discard(&self, unit: &str) {
        self.journal.discard(unit);
    }
}

impl StageServices<'_> {
    /// Runs the nested stages with these bindings; the digest of what they leave, too. `prefix` goes before what they
    /// tell of their progress.
    fn bound_run(
        &self,
        prefix: &str,
        model: &Checkpoint,
        bindings: &IndexMap<String, Value>,
    ) -> Result<(Trial, String), PassError> {
        let stages = self.bound(bindings)?;
        let around: Vec<String> = self.around.iter().chain([&self.configured.stage.id]).cloned().collect();
        let events = NestedEvents { outer: self.runner.events, prefix };
        let runner = Runner { events: &events, ..*self.runner };
        let mut trial = Trial { measures: IndexMap::new(), model: model.clone(), cached: true };
        let mut digest = model.digest()?;
        for stage in &stages {
            let failed = |error| as_pass_error(&stage.stage.id, error);
            let result = runner.run(stage, &around, &trial.model, &digest).map_err(failed)?;
            trial.cached &= result.hit;
            trial.model = result.cached.model;
            digest = result.cached.digest;
        }
        Ok((trial, digest))
    }

    /// The nested stages with a trial's bindings, configured.
    fn bound(&self, bindings: &IndexMap<String, Value>) -> Result<Vec<ConfiguredStage>, PassError> {
        let checked = &self.runner.project.checked;
        let words = |found: Vec<paring_schema::Diagnostic>| {
            let messages: Vec<String> = found.into_iter().map(|problem| problem.message).collect();
            PassError::Failed(messages.join("; "))
        };
        let stages = checked.loaded.bind(&self.configured.stage, bindings, &checked.catalog).map_err(words)?;
        stages.iter().map(|stage| self.runner.project.configure(stage).map_err(words)).collect()
    }
}

fn as_pass_error(stage: &str, error: StageError) -> PassError {
    match error {
        StageError::Interrupted => PassError::Interrupted,
        other => PassError::Failed(format!("stage `{stage}`: {other}")),
    }
}

/// Progress of nested stages is progress of the stage around them.
struct NestedEvents<'a> {
    outer: &'a dyn Events,
    prefix: &'a str,
}

impl Events for NestedEvents<'_> {
    fn stage_started(&self, _index: usize, _total: usize, _id: &str, _pass: &str) {}

    fn progress(&self, done: usize, total: usize, what: &str) {
        self.outer.progress(done, total, &format!("{}{what}", self.prefix));
    }

    fn stage_finished(&self, _report: &StageReport, _cached: bool, _seconds: f64) {}
}

//! The loop over stages.

use std::path::Path;
use std::time::Instant;

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::Checkpoint;
use paring_schema::language::OnFail;
use paring_schema::{Diagnostic, Diagnostics};

use super::finish::finish;
use super::{Ending, RunOptions, RunResult};
use crate::events::{Cancel, Events};
use crate::gates::{Verdict, judge};
use crate::measures::{self, Measured};
use crate::output::{OutputDirectory, OutputError};
use crate::plan::{Plan, PlannedStage};
use crate::problems;
use crate::project::{ConfiguredStage, Project};
use crate::report::{EngineReceipt, StageReport, StageTimings};
use crate::stage::{Runner, StageError, StageResult, failure_message};

/// A model with its digest and its measures, where it has weights.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub model: Checkpoint,
    pub digest: String,
    pub measured: Option<Measured>,
}

/// A run under way.
pub(super) struct Run<'a> {
    pub project: &'a Project,
    pub plan: &'a Plan,
    pub options: &'a RunOptions,
    pub runner: Runner<'a>,
    pub output: OutputDirectory,
    pub started: Instant,
    /// The model now.
    pub state: State,
    /// Measures that the recipe's gates compare with.
    pub baseline: Option<Measured>,
    /// The last model that met all of the recipe's gates.
    pub best: Option<State>,
    pub stages: Vec<StageReport>,
    pub timings: Vec<StageTimings>,
    pub problems: Vec<Diagnostic>,
    /// The first thing that went wrong.
    pub ending: Ending,
}

/// Runs a recipe that was planned.
///
/// # Errors
/// When the output directory cannot be used, or the model that the recipe starts from cannot be read or measured. What
/// goes wrong later is told by the result.
pub fn run(
    project: &Project,
    plan: &Plan,
    options: &RunOptions,
    events: &dyn Events,
    cancel: &Cancel,
) -> Result<RunResult, Box<Diagnostics>> {
    let started = Instant::now();
    let output = open(project, &options.out).map_err(|error| project.diagnostics(vec![unusable(&error)]))?;
    let unmeasured = |error: StageError| project.diagnostics(vec![Diagnostic::new("E006", error.to_string())]);
    let digest = project.model.digest().map_err(|error| unmeasured(error.into()))?;
    let runner = Runner { project, cache: &options.cache, events, cancel };
    let mut state = State { model: project.model.clone(), digest, measured: None };
    state.measured = measured(&runner, &state.model, &state.digest).map_err(unmeasured)?;
    let mut run = Run {
        project,
        plan,
        options,
        runner,
        output,
        started,
        baseline: state.measured.clone(),
        state,
        best: None,
        stages: Vec::new(),
        timings: Vec::new(),
        problems: Vec::new(),
        ending: Ending::Done,
    };
    run.note_best();
    run.stages();
    Ok(finish(run))
}

fn open(project: &Project, out: &Path) -> Result<OutputDirectory, OutputError> {
    let output = OutputDirectory::open(out)?;
    output.check_replaced(project.loaded().recipe.export.len(), project.source.as_deref())?;
    Ok(output)
}

fn unusable(error: &OutputError) -> Diagnostic {
    let problem = match error {
        OutputError::Locked(_) => Diagnostic::new("E007", error.to_string()),
        _ => Diagnostic::new("E001", error.to_string()),
    };
    problem.help("choose another directory with `--out DIR`")
}

fn measured(runner: &Runner<'_>, model: &Checkpoint, digest: &str) -> Result<Option<Measured>, StageError> {
    if !model.is_built() {
        return Ok(None);
    }
    let names = &runner.project.loaded().recipe.measure;
    measures::take(runner.project, runner.cache, names, model, digest, Part::Test).map(Some)
}

impl Run<'_> {
    fn stages(&mut self) {
        let total = self.project.checked.stages.len();
        let (project, plan) = (self.project, self.plan);
        for (index, (configured, planned)) in project.checked.stages.iter().zip(&plan.stages).enumerate() {
            self.runner.events.stage_started(index, total, &configured.stage.id, &configured.stage.pass);
            if !self.stage(configured, planned) {
                return;
            }
        }
    }

    /// Runs one stage; whether to go on.
    fn stage(&mut self, configured: &ConfiguredStage, planned: &PlannedStage) -> bool {
        let started = Instant::now();
        match self.attempt(configured) {
            Ok((result, state)) => self.judge(configured, planned, &result, state),
            Err(StageError::Interrupted) => {
                self.ending = Ending::Interrupted;
                false
            }
            Err(error) => {
                let place = self.project.loaded().key_span(&problems::pass_key(&configured.stage));
                let message = failure_message(&configured.stage, &error);
                self.problems.push(Diagnostic::new(code(&error), message).label(place, ""));
                let mut report = self.blank(configured, planned, "failed");
                report.failure = Some(error.to_string());
                self.record(report, false, started.elapsed().as_secs_f64(), None);
                self.failed(Ending::StageFailed)
            }
        }
    }

    fn attempt(&self, configured: &ConfiguredStage) -> Result<(StageResult, State), StageError> {
        let result = self.runner.run(configured, &[], &self.state.model, &self.state.digest)?;
        let (model, digest) = (result.cached.model.clone(), result.cached.digest.clone());
        let measured = measured(&self.runner, &model, &digest)?;
        Ok((result, State { model, digest, measured }))
    }

    /// Judges the stage's gates; keeps its model or undoes it. Whether to go on.
    fn judge(
        &mut self,
        configured: &ConfiguredStage,
        planned: &PlannedStage,
        result: &StageResult,
        state: State,
    ) -> bool {
        let after = state.measured.as_ref().map(Measured::all).unwrap_or_default();
        let before = self.state.measured.as_ref().map(Measured::all);
        let verdicts = judge(&configured.stage.require, before.as_ref(), &after);
        let met = verdicts.iter().all(|verdict| verdict.met);
        let mut report = self.blank(configured, planned, if met { "kept" } else { "undone" });
        report.receipt = result.cached.receipt.clone();
        report.files = report.receipt.files.keys().map(|name| stage_file(&report.id, name)).collect();
        report.engine = result.cached.engine.clone();
        report.after = state.measured.as_ref().map(|measured| measured.results.clone());
        report.gates.clone_from(&verdicts);
        self.record(report, result.hit, result.seconds, state.measured.as_ref());
        if met {
            self.keep(state);
            return true;
        }
        self.gates_not_met(&verdicts, &configured.stage.pointer, &format!("stage `{}`: ", configured.stage.id));
        self.failed(Ending::GateNotMet)
    }

    fn keep(&mut self, state: State) {
        if self.baseline.is_none() {
            self.baseline.clone_from(&state.measured);
        }
        self.state = state;
        self.note_best();
    }

    /// Takes note of the model now where it meets all of the recipe's gates: a later one may not.
    fn note_best(&mut self) {
        if self.state.measured.is_some() && self.recipe_verdicts(&self.state).iter().all(|verdict| verdict.met) {
            self.best = Some(self.state.clone());
        }
    }

    /// The recipe's gates, judged on a model.
    pub fn recipe_verdicts(&self, state: &State) -> Vec<Verdict> {
        let after = state.measured.as_ref().map(Measured::all).unwrap_or_default();
        let before = self.baseline.as_ref().map(Measured::all);
        judge(&self.project.loaded().recipe.require, before.as_ref(), &after)
    }

    /// Notes a failure; whether the recipe goes on all the same.
    fn failed(&mut self, ending: Ending) -> bool {
        if self.ending == Ending::Done {
            self.ending = ending;
        }
        self.project.loaded().recipe.on_fail == OnFail::KeepBest
    }

    /// A problem for each gate that is not met. `pointer` is the stage's, or empty for the recipe.
    pub fn gates_not_met(&mut self, verdicts: &[Verdict], pointer: &str, whose: &str) {
        for verdict in verdicts.iter().filter(|verdict| !verdict.met) {
            let place = format!("{pointer}/require/{}/{}", problems::escape(&verdict.measure), verdict.bound);
            let message = format!("{whose}{}", verdict.sentence());
            let place = self.project.loaded().span(&place);
            self.problems.push(Diagnostic::new("E005", message).label(place, "not met"));
        }
    }

    fn blank(&self, configured: &ConfiguredStage, planned: &PlannedStage, outcome: &str) -> StageReport {
        StageReport {
            id: configured.stage.id.clone(),
            pass: configured.stage.pass.clone(),
            version: configured.info.version,
            parameters: planned.parameters.clone(),
            ledger: planned.ledger.clone(),
            skips: planned.skips.clone(),
            receipt: paring_passes::Receipt::default(),
            files: Vec::new(),
            engine: EngineReceipt::default(),
            before: self.state.measured.as_ref().map(|measured| measured.results.clone()),
            after: None,
            gates: Vec::new(),
            outcome: outcome.to_owned(),
            failure: None,
        }
    }

    fn record(&mut self, report: StageReport, cached: bool, seconds: f64, after: Option<&Measured>) {
        let timings = |measured: Option<&Measured>| -> IndexMap<String, f64> {
            measured.map(|measured| measured.timings.clone()).unwrap_or_default()
        };
        self.timings.push(StageTimings {
            id: report.id.clone(),
            cached,
            seconds,
            before: timings(self.state.measured.as_ref()),
            after: timings(after),
        });
        self.runner.events.stage_finished(&report, cached, seconds);
        self.stages.push(report);
    }
}

/// The name in the output directory of a file that a stage leaves beside the model.
pub(super) fn stage_file(stage: &str, name: &str) -> String {
    format!("{stage}.{name}")
}

fn code(error: &StageError) -> &'static str {
    match error {
        StageError::NoChange => "E003",
        StageError::Broken(_) => "E004",
        StageError::Measure { .. } => "E006",
        StageError::Cache(_) => "E009",
        _ => "E002",
    }
}

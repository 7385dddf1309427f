//! Running one stage: from the cache, or by its pass with the engine's checks behind it. Sweeps run their nested stages
//! through the same runner, so trials share what they have in common.

mod degenerate;
mod receipt;
mod services;

use std::time::Instant;

use paring_data::Part;
use paring_model::{Checkpoint, Outputs, Rows, Task};
use paring_passes::{Cx, Effect, PassError, PlanCx};
use paring_schema::{Diagnostic, Stage};
use paring_train::{Stream, TrainError};

use crate::cache::{Cache, CacheError, Cached, Journal};
use crate::events::{Cancel, Events};
use crate::invariants::{self, Broken};
use crate::key;
use crate::ledger::{Selection, select};
use crate::masks;
use crate::measures::rows_of;
use crate::memory;
use crate::project::{ConfiguredStage, Project};

pub use services::StageServices;

/// Rows that a model must run on after every stage.
const PROBE_ROWS: usize = 16;

/// Runs stages of one project.
pub struct Runner<'a> {
    /// The recipe and everything it names.
    pub project: &'a Project,
    /// Where results are kept.
    pub cache: &'a Cache,
    /// Who is told.
    pub events: &'a dyn Events,
    /// What ends the run early.
    pub cancel: &'a Cancel,
}

/// What a stage left, and where it came from.
#[derive(Debug, Clone)]
pub struct StageResult {
    /// The model, its digest, the receipts.
    pub cached: Cached,
    /// It was in the cache.
    pub hit: bool,
    /// Wall-clock seconds in this run.
    pub seconds: f64,
}

/// Why a stage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The pass failed.
    #[error(transparent)]
    Pass(PassError),
    /// The person pressed ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The pass said it worked, and changed nothing.
    #[error("it reports success but changed nothing: the model is the same as before")]
    NoChange,
    /// Something that must hold after every stage does not.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The pass cannot do this to the model that it was given.
    #[error("{}", .0.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Diagnostic>),
    /// A measure cannot be taken.
    #[error("measure `{name}` cannot be taken: {source}")]
    Measure {
        /// The measure.
        name: String,
        /// Why.
        source: TrainError,
    },
    /// Rows do not fit the model.
    #[error(transparent)]
    Data(#[from] paring_data::DataError),
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] paring_model::ModelError),
    /// The cache cannot be written.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl From<PassError> for StageError {
    fn from(error: PassError) -> Self {
        match error {
            PassError::Interrupted | PassError::Train(TrainError::Interrupted) => StageError::Interrupted,
            other => StageError::Pass(other),
        }
    }
}

impl Runner<'_> {
    /// Runs a stage on a model. `around` holds the ids of the stages that it is nested in.
    ///
    /// # Errors
    /// Why it failed; nothing is cached then.
    pub fn run(
        &self,
        configured: &ConfiguredStage,
        around: &[String],
        model: &Checkpoint,
        digest: &str,
    ) -> Result<StageResult, StageError> {
        let started = Instant::now();
        if self.cancel.is_cancelled() {
            return Err(StageError::Interrupted);
        }
        let parts = key::parts(self.project, configured, around, digest)?;
        let recipe = &self.project.loaded().recipe.name;
        let (cached, hit) = match self.cache.load(&parts) {
            Some(cached) => (cached, true),
            None => {
                let journal = self.cache.journal(&parts.digest());
                let mut cached = self.work(configured, around, (model, digest), &journal)?;
                cached.model = self.cache.store(&parts, &cached)?;
                journal.finish();
                (cached, false)
            }
        };
        self.cache.remember(recipe, &parts);
        Ok(StageResult { cached, hit, seconds: started.elapsed().as_secs_f64() })
    }

    /// Does the work of a stage and checks what came of it.
    fn work(
        &self,
        configured: &ConfiguredStage,
        around: &[String],
        (model, digest): (&Checkpoint, &str),
        journal: &Journal,
    ) -> Result<Cached, StageError> {
        let span = tracing::info_span!("stage", id = %configured.stage.id, pass = %configured.stage.pass);
        let _entered = span.enter();
        let (selection, effect) = self.effect(configured, model)?;
        let services = StageServices { runner: self, configured, around, journal };
        let mut stream = Stream::new(self.project.loaded().recipe.seed).split("stage");
        for id in around.iter().chain([&configured.stage.id]) {
            stream = stream.split(id);
        }
        let mut cx = Cx {
            stage: &configured.stage.id,
            sites: &selection.sites,
            data: self.project.data.as_ref().map(|data| (&data.dataset, &data.parts)),
            stream,
            services: &services,
        };
        let outcome = configured.step.run(&mut cx, model.clone())?;
        memory::give_back();
        let new_digest = outcome.model.digest()?;
        if new_digest == digest {
            return Err(StageError::NoChange);
        }
        let probe = self.probe(&outcome.model)?;
        let (tensors, not_finite) = receipt::look(&outcome.model)?;
        invariants::check(&effect, &outcome.model, &not_finite, probe.as_ref())?;
        let mut engine = receipt::compare(model, &outcome.model, tensors)?;
        engine.degenerate = degenerate::look(&outcome.model, probe.as_ref())?;
        invariants::check_targets(&effect, &selection.sites, &model.outline(), &engine)?;
        masks::check(&configured.info, model, &outcome.model)??;
        invariants::check_receipt(&outcome.receipt, &outcome.model.outline().sites()?, &engine)?;
        Ok(Cached { model: outcome.model, digest: new_digest, receipt: outcome.receipt, engine })
    }

    /// What the stage hits in this model, and what its pass predicts.
    fn effect(&self, configured: &ConfiguredStage, model: &Checkpoint) -> Result<(Selection, Effect), StageError> {
        let loaded = self.project.loaded();
        let outline = model.outline();
        let selection = select(loaded, &configured.stage, &outline.sites()?).map_err(StageError::Refused)?;
        let cx = PlanCx {
            outline: &outline,
            sites: &selection.sites,
            parts: self.project.data.as_ref().map(|data| &data.parts),
            nested: None,
            nested_stages: configured.stage.nested.len(),
            measures: &loaded.recipe.measure,
        };
        let effect = configured.step.plan(&cx).map_err(|found| {
            let of_pass = |problem| crate::problems::of_pass("P006", loaded, &configured.stage, problem);
            StageError::Refused(found.iter().map(of_pass).collect())
        })?;
        Ok((selection, effect))
    }

    /// The first rows that there are, as the model's inputs.
    pub(crate) fn probe(&self, model: &Checkpoint) -> Result<Option<Rows>, StageError> {
        let rows = match rows_of(self.project, model, Part::Test)? {
            Some(rows) => Some(rows),
            None => rows_of(self.project, model, Part::Train)?,
        };
        // A model that continues texts gives a number a token of the vocabulary for every token of a row.
        let continues = model.outputs().map(Outputs::task) == Some(Task::Generate);
        Ok(rows.map(|rows| rows.inputs.head(if continues { 1 } else { PROBE_ROWS })))
    }
}

/// Message of a failed stage: `stage `x`, pass `kind/name`: why`.
pub fn failure_message(stage: &Stage, error: &StageError) -> String {
    format!("stage `{}`, pass `{}` failed: {error}", stage.id, stage.pass)
}

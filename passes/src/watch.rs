//! What a running stage tells of its training, and where it saves it.

use std::time::{Duration, Instant};

use paring_data::Part;
use paring_model::Checkpoint;
use paring_train::TrainError;
use paring_train::fit::{Budget, FitSettings, Position, SavedRun, Watch};
use serde_json::{Value, json};

use crate::context::Services;
use crate::error::PassError;

/// A run is saved this often, where its settings do not say it.
const SAVED_EVERY: Duration = Duration::from_secs(300);

/// The unit of the stage's journal that holds a training run.
const UNIT: &str = "training";

/// Training, as the engine watches it.
pub(crate) struct StageWatch<'a> {
    services: &'a dyn Services,
    /// When training began; that is when it is first asked for the time.
    started: Option<Instant>,
    saved: Instant,
    /// The time that it has, in seconds.
    seconds: Option<f64>,
    /// Rows of a batch.
    rows: f64,
    /// Batches so far.
    batches: usize,
}

impl<'a> StageWatch<'a> {
    pub(crate) fn new(services: &'a dyn Services, settings: &FitSettings) -> Self {
        let seconds = match &settings.budget {
            Some(Budget::Time(time)) => paring_schema::units::parse_seconds(time).ok(),
            _ => None,
        };
        let rows = settings.batch_size as f64;
        Self { services, started: None, saved: Instant::now(), seconds, rows, batches: 0 }
    }
}

impl Watch for StageWatch<'_> {
    fn step(&mut self, done: usize, total: usize, loss: f32, learning_rate: f64) {
        let passed = self.started.get_or_insert_with(Instant::now).elapsed().as_secs_f64();
        self.batches += 1;
        // The first batch began before the clock did.
        let speed = (self.batches - 1) as f64 * self.rows / passed.max(1e-9);
        let speed = if self.batches > 1 { format!(", {speed:.0} rows/s") } else { String::new() };
        self.services.progress(done, total, &format!("loss {loss:.4}, learning rate {learning_rate:.2e}{speed}"));
    }

    fn taught(&mut self, done: usize, total: usize) {
        self.services.progress(done, total, "the teacher answers");
    }

    fn cancelled(&self) -> bool {
        self.services.cancelled()
    }

    fn time_used(&mut self) -> f64 {
        let passed = self.started.get_or_insert_with(Instant::now).elapsed().as_secs_f64();
        self.seconds.map_or(0.0, |seconds| passed / seconds)
    }

    fn measure(&mut self, name: &str, model: &Checkpoint) -> Result<f64, TrainError> {
        self.services.measure(name, model, Part::Validate).map_err(|error| match error {
            PassError::Interrupted => TrainError::Interrupted,
            error => TrainError::Mismatch(error.to_string()),
        })
    }

    fn saved(&mut self) -> Option<SavedRun> {
        let (part, note) = self.services.kept(UNIT)?;
        let tensors = part.names().into_iter().map(|name| Some((name.clone(), part.tensor(&name).ok()?)));
        let position: Position = serde_json::from_value(note).ok()?;
        let run = SavedRun { tensors: tensors.collect::<Option<_>>()?, position };
        let Position { done, report, .. } = &run.position;
        self.services.progress(*done, *done, &format!("going on from step {}", report.steps));
        Some(run)
    }

    fn save_is_due(&self) -> bool {
        self.saved.elapsed() >= SAVED_EVERY
    }

    fn kept_answers(&mut self, name: &str) -> Option<Checkpoint> {
        Some(self.services.kept(name)?.0)
    }

    fn keep_answers(&mut self, name: &str, answers: Checkpoint) -> Result<Checkpoint, TrainError> {
        let kept = self.services.keep(name, &answers, &Value::Null);
        kept.map_err(|error| TrainError::Unkept(error.to_string()))
    }

    fn save(&mut self, run: &SavedRun) -> Result<(), TrainError> {
        let tensors = run.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone()));
        let position: Value = json!(run.position);
        let kept = self.services.keep(UNIT, &Checkpoint::of_tensors(tensors), &position);
        self.saved = Instant::now();
        kept.map(drop).map_err(|error| TrainError::Unsaved(error.to_string()))
    }
}

//! Where a run stands, and how it goes on from there bit for bit.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::run::Run;
use super::{FitReport, Watch};
use crate::error::{Result, TrainError};
use crate::optimizer::OptimizerState;
use crate::sparse::Thinning;
use crate::trainable::Snapshot;

/// A run that is not at its end: everything it needs to go on, to the same bits as if it had never stopped.
#[derive(Debug, Clone)]
pub struct SavedRun {
    /// By name: weights (`weights.*`), moments of the optimizer (`moments.*`), the moving average (`average.*`),
    /// the best weights so far (`best.*`), and masks that grow (`masks.*`).
    pub tensors: BTreeMap<String, Tensor>,
    /// The rest.
    pub position: Position,
}

/// How far a run has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Position {
    /// What it has to tell so far.
    pub report: FitReport,
    /// The epoch it is in, from 1.
    pub epoch: usize,
    /// Rows of that epoch behind it.
    pub rows: usize,
    /// The sum of their losses.
    pub sum: f64,
    /// Where the epoch's stream of dropout stands.
    pub dropout: u64,
    /// Batches behind it, over all epochs.
    pub done: usize,
    /// The loss of the first batch.
    pub first_loss: Option<f32>,
    /// What the best epoch was judged by.
    pub best: Option<f64>,
    /// The share of its learning rate that is left after backing off.
    pub rate: f64,
    /// The share of its time that it has used.
    pub time_used: f64,
}

impl Default for Position {
    fn default() -> Self {
        Self {
            report: FitReport::default(),
            epoch: 1,
            rows: 0,
            sum: 0.0,
            dropout: 0,
            done: 0,
            first_loss: None,
            best: None,
            rate: 1.0,
            time_used: 0.0,
        }
    }
}

impl SavedRun {
    /// The tensors of one kind, without their prefix.
    fn of(&self, kind: &str) -> BTreeMap<String, Tensor> {
        let named = |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(kind)?.to_owned(), tensor.clone()));
        self.tensors.iter().filter_map(named).collect()
    }

    /// With tensors of its own, which training does not change.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn copied(&self) -> Result<Self> {
        let copy = |(name, tensor): (&String, &Tensor)| Ok::<_, TrainError>((name.clone(), tensor.copy()?));
        Ok(Self { tensors: self.tensors.iter().map(copy).collect::<Result<_>>()?, position: self.position.clone() })
    }
}

impl Run<'_> {
    /// Where it stands now; the tensors are those that training goes on to change.
    fn saved(&self) -> Result<SavedRun> {
        let mut tensors = BTreeMap::new();
        let mut add = |kind: &str, name: &str, tensor: &Tensor| tensors.insert(format!("{kind}{name}"), tensor.clone());
        for (name, variable) in self.trainable.state() {
            add(WEIGHTS, name, &variable.as_detached_tensor());
        }
        let moments = self.optimizer.state()?.tensors;
        let average = self.average.as_ref().map(|average| &average.mean.tensors);
        let best = self.best.as_ref().map(|best| &best.tensors);
        for (name, mask) in self.trainable.thinning().into_iter().flat_map(Thinning::masks) {
            add(MASKS, name, &mask.as_detached_tensor());
        }
        for (kind, of_kind) in [(MOMENTS, Some(&moments)), (AVERAGE, average), (BEST, best)] {
            of_kind.into_iter().flatten().for_each(|(name, tensor)| drop(add(kind, name, tensor)));
        }
        Ok(SavedRun { tensors, position: self.position.clone() })
    }

    /// Goes on from where a run of the same training stood.
    pub(super) fn go_on_from(&mut self, saved: &SavedRun) -> Result<()> {
        self.trainable.restore(&Snapshot { tensors: saved.of(WEIGHTS) })?;
        let steps = saved.position.report.steps as u64;
        self.optimizer.restore(&OptimizerState { steps, tensors: saved.of(MOMENTS) })?;
        if let Some(average) = &mut self.average {
            average.mean.tensors = saved.copied()?.of(AVERAGE);
        }
        for (name, mask) in self.trainable.thinning().into_iter().flat_map(Thinning::masks) {
            if let Some(saved) = saved.tensors.get(&format!("{MASKS}{name}")) {
                mask.set(saved)?;
            }
        }
        self.best = saved.position.best.map(|_| Snapshot { tensors: saved.of(BEST) });
        self.position = saved.position.clone();
        Ok(())
    }

    /// After a step: saves the run if it is time.
    pub(super) fn save_in_time(&mut self, watch: &mut dyn Watch) -> Result<()> {
        match self.settings.checkpoint_steps {
            Some(steps) if self.position.report.steps.is_multiple_of(steps.max(1)) => {
                self.mark()?;
                self.save(watch)
            }
            None if self.settings.back_off.is_none() && watch.save_is_due() => self.save(watch),
            _ => Ok(()),
        }
    }

    /// Between two steps, when the person has asked to stop: saves what was done since it was saved last. A run that may
    /// go back is not saved, because it would then go back to this place.
    pub(super) fn save_before_leaving(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let steps = self.position.report.steps;
        match self.settings.back_off {
            None if steps > 0 && self.last_saved != Some(steps) => self.save(watch),
            _ => Ok(()),
        }
    }

    pub(super) fn save(&mut self, watch: &mut dyn Watch) -> Result<()> {
        watch.save(&self.saved()?)?;
        self.last_saved = Some(self.position.report.steps);
        Ok(())
    }

    /// Remembers this place as the one to go back to, if the run may go back.
    pub(super) fn mark(&mut self) -> Result<()> {
        if self.settings.back_off.is_some() {
            self.mark = Some(self.saved()?.copied()?);
        }
        Ok(())
    }

    /// Whether a run that diverged may go back once more.
    pub(super) fn can_back_off(&self) -> bool {
        self.position.report.backed_off.len() < self.settings.back_off.unwrap_or(0)
    }

    /// Goes back to the place that was marked last, to go on at half the rate.
    pub(super) fn back_off(&mut self, step: usize) -> Result<()> {
        let Some(mark) = self.mark.take() else { return Ok(()) };
        let mut backed_off = std::mem::take(&mut self.position.report.backed_off);
        let time_used = self.position.time_used;
        self.go_on_from(&mark)?;
        self.mark = Some(mark);
        backed_off.push(step);
        self.position.rate = 0.5_f64.powi(backed_off.len() as i32);
        self.position.report.backed_off = backed_off;
        self.position.time_used = time_used;
        Ok(())
    }
}

/// Weights.
const WEIGHTS: &str = "weights.";
/// Moments of the optimizer.
const MOMENTS: &str = "moments.";
/// The moving average.
const AVERAGE: &str = "average.";
/// Masks of weights that become zero little by little.
const MASKS: &str = "masks.";
/// The best weights.
const BEST: &str = "best.";

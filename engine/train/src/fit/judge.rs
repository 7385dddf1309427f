//! How an epoch is judged, and which weights are kept.

use candle_core::Tensor;
use paring_model::Forward;

use super::Watch;
use super::batches::Part;
use super::run::Run;
use crate::error::Result;
use crate::measure::{self, Direction};

/// Validation rows run at once.
const VALIDATION_BATCH: usize = 256;

impl Run<'_> {
    /// Judges the epoch on the validation rows; keeps its weights if they are the best so far and may be wanted.
    pub(super) fn judge(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let epoch = self.position.epoch;
        if self.validate.is_none() {
            self.position.report.best_epoch = epoch;
            return Ok(());
        }
        // Weights with fewer zeros than are wanted are no candidates.
        let is_candidate = self.trainable.thinning().is_none_or(|thinning| thinning.is_grown(self.progress()));
        let chooses = self.settings.early_stopping.is_some() && is_candidate;
        let now = self.average.is_some().then(|| self.trainable.snapshot()).transpose()?;
        self.put_averages()?;
        let judged = self.judged(watch);
        let better = |value: f64| self.position.best.is_none_or(|best| value < best);
        let kept = match &judged {
            Ok(value) if chooses && better(*value) => Some(self.trainable.snapshot()?),
            _ => None,
        };
        now.map_or(Ok(()), |now| self.trainable.restore(&now))?;
        let value = judged?;
        if !chooses {
            self.position.report.best_epoch = epoch;
        } else if kept.is_some() {
            (self.best, self.position.best) = (kept, Some(value));
            self.position.report.best_epoch = epoch;
        }
        Ok(())
    }

    /// What an epoch is judged by, the less the better.
    fn judged(&mut self, watch: &mut dyn Watch) -> Result<f64> {
        let Some(rows) = &self.validate else { return Ok(0.0) };
        let loss = self.validation_loss(rows)?;
        self.position.report.validate_loss.push(loss);
        let Some(name) = &self.settings.monitor else { return Ok(loss.into()) };
        let mut model = self.model.clone();
        self.trainable.store(&mut model)?;
        let value = watch.measure(name, &model)?;
        self.position.report.monitored.push(value);
        let higher = measure::info(name).is_some_and(|measure| measure.direction == Direction::Higher);
        Ok(if higher { -value } else { value })
    }

    fn validation_loss(&self, rows: &Part<'_>) -> Result<f32> {
        if self.continues {
            return self.loss_of_windows(rows);
        }
        let mut outputs = Vec::new();
        let all: Vec<usize> = (0..rows.count).collect();
        for batch in all.chunks(VALIDATION_BATCH) {
            outputs.push(self.network.forward(&rows.inputs.batch(batch)?, &mut Forward::inference())?.detach());
        }
        self.objective.validation(&Tensor::cat(&outputs, 0)?, rows)
    }

    /// Batch by batch, because the logits of all windows would fill the memory.
    fn loss_of_windows(&self, rows: &Part<'_>) -> Result<f32> {
        let mut sum = 0.0;
        let all: Vec<u32> = (0..rows.count as u32).collect();
        for batch in all.chunks(self.settings.batch_size.max(1)) {
            let count = batch.len();
            let batch = rows.batch(batch)?;
            let outputs = self.network.forward(&batch.input, &mut Forward::inference())?.detach();
            let loss = self.objective.labels(&outputs, &batch, 0.0)?;
            sum += f64::from(loss.to_scalar::<f32>()?) * count as f64;
        }
        Ok((sum / rows.count as f64) as f32)
    }

    /// Puts the averages in the place of the weights, where there are averages.
    pub(super) fn put_averages(&self) -> Result<()> {
        let Some(average) = &self.average else { return Ok(()) };
        self.trainable.restore(&average.mean)?;
        self.trainable.constrain()
    }
}

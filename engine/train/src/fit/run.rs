//! The loop itself.

use std::collections::BTreeMap;

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use paring_data::Targets;
use paring_model::{Checkpoint, Forward, Network, Task};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::batches::{self, Part};
use super::objective::{Objective, known_classes};
use super::teacher::{self, Taught};
use super::{FitReport, FitSettings, Lesson, Rates, Watch};
use crate::error::{Result, TrainError};
use crate::fake::FakeQuantization;
use crate::optimizer::{Optimizer, OptimizerSpec};
use crate::rng::Stream;
use crate::trainable::{Snapshot, Trainable};

/// Validation rows run at once.
const VALIDATION_BATCH: usize = 256;

/// A loss above this many times the first one has diverged.
const DIVERGED: f32 = 1e4;

/// See [`super::fit_rounded`].
pub(super) fn fit(
    model: &mut Checkpoint,
    lesson: Lesson<'_>,
    sites: &BTreeMap<String, FakeQuantization>,
    settings: &FitSettings,
    stream: &Stream,
    watch: &mut dyn Watch,
) -> Result<FitReport> {
    let rates = Rates::new(settings)?;
    let is_frozen = |name: &str| rates.is_frozen(name);
    let trainable = Trainable::new(model, is_frozen)?.rounded(sites, is_frozen)?;
    let mut run = Run::new(model, &trainable, lesson, settings, (stream, watch))?;
    for epoch in 1..=settings.epochs {
        run.epoch(epoch, watch)?;
        if run.patience_is_over(epoch) {
            break;
        }
    }
    let report = run.finish()?;
    trainable.store(model)?;
    Ok(report)
}

/// A run in progress.
struct Run<'a> {
    network: Box<dyn Network>,
    trainable: &'a Trainable,
    optimizer: Optimizer,
    objective: Objective<'a>,
    settings: &'a FitSettings,
    /// Whether the model continues texts.
    continues: bool,
    stream: &'a Stream,
    train: Part<'a>,
    validate: Option<Part<'a>>,
    batches: Vec<usize>,
    first_loss: Option<f32>,
    /// Batches so far, over all epochs.
    done: usize,
    best: Option<(f32, Snapshot)>,
    report: FitReport,
}

impl<'a> Run<'a> {
    fn new(
        model: &Checkpoint,
        trainable: &'a Trainable,
        rows: Lesson<'a>,
        settings: &'a FitSettings,
        (stream, watch): (&'a Stream, &mut dyn Watch),
    ) -> Result<Self> {
        let outline = model.outline();
        let continues = outline.outputs.as_ref().is_some_and(|outputs| outputs.task() == Task::Generate);
        let part = |examples, name| Part::new(examples, name, continues);
        let mut validate = rows.validate.map(|examples| part(examples, "validation")).transpose()?;
        if settings.early_stopping.is_some() && validate.is_none() {
            return Err(TrainError::NoRows { part: "validation" });
        }
        let train = part(rows.train, "training")?;
        let width = outline.config.map_or(0, |config| config.output);
        if let Some(Targets::Classes(classes)) = rows.validate.map(|examples| &examples.targets) {
            known_classes(classes, width)?;
        }
        let network = model.network_from(trainable)?;
        let batches = batches::sizes(train.count, settings.batch_size);
        if trainable.is_rounded() {
            let first = batches::order(train.count, 1, stream).into_iter().take(batches.first().copied().unwrap_or(0));
            let first = train.inputs.batch(&first.map(|row| row as usize).collect::<Vec<_>>())?;
            network.forward(&first, &mut Forward::inference())?;
        }
        let optimizer = optimizer(trainable, settings)?;
        let taught = rows.teacher.map(|teacher| Taught::new(teacher, train.inputs, continues, watch)).transpose()?;
        let objective = Objective::new(&rows.train.targets, (width, continues), taught, settings)?;
        if let (Some(part), Some(taught)) = (&mut validate, objective.teacher())
            && objective.is_judged_by_teacher()
        {
            part.answers = Some(taught.teacher.answers(part.inputs, watch)?);
        }
        Ok(Self {
            network,
            trainable,
            optimizer,
            objective,
            settings,
            continues,
            stream,
            batches,
            train,
            validate,
            first_loss: None,
            done: 0,
            best: None,
            report: FitReport::default(),
        })
    }

    /// One pass over the training rows, then the validation rows.
    fn epoch(&mut self, epoch: usize, watch: &mut dyn Watch) -> Result<()> {
        let order = batches::order(self.train.count, epoch, self.stream);
        let mut dropout = self.stream.split("dropout").split(&epoch.to_string()).rng();
        let (mut rest, mut sum) = (order.as_slice(), 0.0);
        let batches = self.batches.clone();
        for group in batches.chunks(self.settings.accumulate.max(1)) {
            let (rows, after) = rest.split_at(group.iter().sum());
            sum += self.step(epoch, rows, group, &mut dropout, watch)?;
            rest = after;
        }
        self.report.train_loss.push((sum / self.train.count as f64) as f32);
        self.report.epochs = epoch;
        self.check_finite(epoch)?;
        self.judge(epoch)
    }

    /// One optimizer step on these rows, in batches of these sizes; the sum of the rows' losses before it.
    fn step(
        &mut self,
        epoch: usize,
        rows: &[u32],
        sizes: &[usize],
        dropout: &mut ChaCha8Rng,
        watch: &mut dyn Watch,
    ) -> Result<f64> {
        let rate = self.learning_rate();
        self.report.steps += 1;
        let (mut rest, mut sum, mut gradients) = (rows, 0.0, None);
        for &size in sizes {
            if watch.cancelled() {
                return Err(TrainError::Interrupted);
            }
            let (batch, after) = rest.split_at(size);
            rest = after;
            let (loss, of_batch) = self.batch(epoch, batch, rate, dropout)?;
            sum += f64::from(loss) * size as f64;
            gradients = Some(match sizes.len() {
                1 => of_batch,
                _ => self.optimizer.accumulate(gradients, of_batch, size as f64 / rows.len() as f64)?,
            });
            self.done += 1;
            watch.step(self.done, self.batches.len() * self.settings.epochs, loss, rate);
        }
        if let Some(gradients) = gradients {
            self.move_weights(&gradients, rate)?;
        }
        Ok(sum)
    }

    /// The loss of a batch, and its gradients.
    fn batch(&mut self, epoch: usize, rows: &[u32], rate: f64, dropout: &mut ChaCha8Rng) -> Result<(f32, GradStore)> {
        let batch = self.train.batch(rows)?;
        let mut uniform = |buffer: &mut [f32]| buffer.iter_mut().for_each(|number| *number = dropout.random());
        let mut forward = Forward::training(self.trainable, &mut uniform);
        forward.uniform = forward.uniform.filter(|_| self.settings.dropout);
        let said = teacher::run(self.network.as_ref(), &batch.input, &self.objective.blocks(), &mut forward)?;
        let loss = self.objective.loss(&said, &batch)?;
        let value = loss.to_scalar::<f32>()?;
        let limit = DIVERGED * self.first_loss.get_or_insert(value).max(1.0);
        if !value.is_finite() || value > limit {
            return Err(self.diverged(epoch, value, rate));
        }
        Ok((value, loss.backward()?))
    }

    fn move_weights(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        let scale = match self.settings.clip_norm {
            Some(longest) => clip(self.optimizer.gradient_norm(gradients)?, longest),
            None => 1.0,
        };
        self.optimizer.step(gradients, rate, scale)?;
        self.trainable.constrain()
    }

    fn learning_rate(&self) -> f64 {
        let steps = self.batches.len().div_ceil(self.settings.accumulate.max(1));
        let total = steps * self.settings.epochs;
        let warmup = ((self.settings.warmup_epochs * steps as f64).round() as usize).min(total.saturating_sub(1));
        self.settings.learning_rate * self.settings.schedule.factor(self.report.steps, total, warmup)
    }

    /// A loss can look well while the weights no longer are.
    fn check_finite(&self, epoch: usize) -> Result<()> {
        match self.trainable.first_not_finite()? {
            Some(_) => Err(self.diverged(epoch, f32::NAN, self.learning_rate())),
            None => Ok(()),
        }
    }

    fn diverged(&self, epoch: usize, loss: f32, learning_rate: f64) -> TrainError {
        TrainError::Diverged { step: self.report.steps, epoch, loss, learning_rate }
    }

    /// Judges the epoch on the validation rows; keeps its weights if they are the best so far and may be wanted.
    fn judge(&mut self, epoch: usize) -> Result<()> {
        let loss = match &self.validate {
            Some(rows) => self.validation_loss(rows)?,
            None => {
                self.report.best_epoch = epoch;
                return Ok(());
            }
        };
        self.report.validate_loss.push(loss);
        if self.settings.early_stopping.is_none() {
            self.report.best_epoch = epoch;
        } else if self.best.as_ref().is_none_or(|(best, _)| loss < *best) {
            self.best = Some((loss, self.trainable.snapshot()?));
            self.report.best_epoch = epoch;
        }
        Ok(())
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

    fn patience_is_over(&self, epoch: usize) -> bool {
        self.settings.early_stopping.is_some_and(|patience| epoch - self.report.best_epoch >= patience)
    }

    /// Puts the best weights back.
    fn finish(self) -> Result<FitReport> {
        if let Some((_, snapshot)) = &self.best {
            self.trainable.restore(snapshot)?;
        }
        Ok(self.report)
    }
}

/// Over all that is trained, each at its own rate.
fn optimizer(trainable: &Trainable, settings: &FitSettings) -> Result<Optimizer> {
    let parameters = trainable.parameters().into_iter().map(|(name, variable)| (name.to_owned(), variable.clone()));
    let optimizer = Optimizer::new(settings.optimizer, parameters.collect())?;
    let rates = Rates::new(settings)?;
    let sizes = match settings.optimizer {
        OptimizerSpec::Adamw(_) => trainable.relative_sizes()?,
        OptimizerSpec::Sgd(_) => BTreeMap::new(),
    };
    Ok(optimizer.with_factors(|name| rates.factor(name) * sizes.get(name).copied().unwrap_or(1.0)))
}

/// The factor that brings a gradient of this norm down to the longest allowed.
fn clip(norm: f64, longest: f64) -> f64 {
    if norm > longest { longest / norm } else { 1.0 }
}

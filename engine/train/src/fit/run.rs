//! The loop itself.

use candle_core::backprop::GradStore;
use paring_data::Targets;
use paring_model::{Checkpoint, Forward, Network, Task};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::average::Average;
use super::batches::{self, Part};
use super::inside;
use super::objective::{Objective, known_classes};
use super::saved::{Position, SavedRun};
use super::teacher::Taught;
use super::{Budget, Extras, FitReport, FitSettings, Lesson, Watch, variables};
use crate::error::{Result, TrainError};
use crate::optimizer::Optimizer;
use crate::rng::Stream;
use crate::sparse::Thinning;
use crate::trainable::{Snapshot, Trainable};

/// A loss above this many times the first one has diverged.
const DIVERGED: f32 = 1e4;

/// See [`super::fit_with`].
pub(super) fn fit(
    model: &mut Checkpoint,
    lesson: Lesson<'_>,
    extras: Extras<'_>,
    settings: &FitSettings,
    stream: &Stream,
    watch: &mut dyn Watch,
) -> Result<FitReport> {
    let trainable = variables::trainable(model, (lesson, extras), settings, stream)?;
    let mut run = Run::new(model, (&trainable, extras), lesson, settings, (stream, watch))?;
    if let Some(saved) = watch.saved() {
        run.go_on_from(&saved)?;
        run.earlier = saved.position.time_used;
    }
    run.mark()?;
    while !run.is_over() {
        match run.epoch(watch) {
            Err(TrainError::Diverged { step, .. }) if run.can_back_off() => run.back_off(step)?,
            result => result?,
        }
    }
    let report = run.finish()?;
    trainable.store(model)?;
    Ok(report)
}

/// A run in progress.
pub(super) struct Run<'a> {
    /// The model before training.
    pub(super) model: Checkpoint,
    pub(super) network: Box<dyn Network>,
    pub(super) trainable: &'a Trainable,
    pub(super) optimizer: Optimizer,
    pub(super) objective: Objective<'a>,
    pub(super) settings: &'a FitSettings,
    /// Whether the model continues texts.
    pub(super) continues: bool,
    stream: &'a Stream,
    train: Part<'a>,
    pub(super) validate: Option<Part<'a>>,
    batches: Vec<usize>,
    pub(super) average: Option<Average>,
    pub(super) best: Option<Snapshot>,
    pub(super) position: Position,
    /// The share of its time that it had used when it went on.
    earlier: f64,
    /// Where a run that backs off goes back to.
    pub(super) mark: Option<SavedRun>,
    /// The step after which it was saved last.
    pub(super) last_saved: Option<usize>,
}

impl<'a> Run<'a> {
    fn new(
        model: &Checkpoint,
        (trainable, extras): (&'a Trainable, Extras<'_>),
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
        let optimizer = variables::optimizer(trainable, extras, settings)?;
        let outputs = outline.outputs.as_ref();
        let taught = rows.teacher.map(|teacher| Taught::new(teacher, trainable, train.inputs, outputs, watch));
        let taught = taught.transpose()?;
        let objective = Objective::new(&rows.train.targets, (width, continues), taught, settings)?;
        if let (Some(part), Some(taught)) = (&mut validate, objective.teacher())
            && objective.is_judged_by_teacher()
        {
            part.answers = Some(taught.answers(part.inputs, watch)?);
        }
        let average = settings.ema_decay.map(|decay| Average::new(decay, trainable)).transpose()?;
        Ok(Self {
            model: model.clone(),
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
            average,
            best: None,
            position: Position::default(),
            earlier: 0.0,
            mark: None,
            last_saved: None,
        })
    }

    /// The rest of an epoch over the training rows, then the validation rows.
    fn epoch(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let epoch = self.position.epoch;
        let order = self.train.order(epoch, self.stream, (self.settings.group_by_length, &self.batches));
        let mut dropout = self.stream.split("dropout").split(&epoch.to_string()).rng();
        dropout.set_word_pos(self.position.dropout.into());
        let (batches, mut start) = (self.batches.clone(), 0);
        for group in batches.chunks(self.settings.accumulate.max(1)) {
            let rows = start..start + group.iter().sum::<usize>();
            start = rows.end;
            if rows.start < self.position.rows || self.budget_is_used(watch) {
                continue;
            }
            if watch.cancelled() {
                self.save_before_leaving(watch)?;
                return Err(TrainError::Interrupted);
            }
            self.position.rows = rows.end;
            let loss = self.step(order.get(rows).unwrap_or_default(), group, &mut dropout, watch)?;
            self.position.sum += loss;
            self.position.dropout = dropout.get_word_pos() as u64;
            self.save_in_time(watch)?;
        }
        let position = &mut self.position;
        position.report.train_loss.push((position.sum / position.rows.max(1) as f64) as f32);
        position.report.epochs = epoch;
        self.check_finite()?;
        self.trainable.thin(self.progress())?;
        self.judge(watch)?;
        (self.position.epoch, self.position.rows) = (epoch + 1, 0);
        (self.position.sum, self.position.dropout) = (0.0, 0);
        if self.settings.back_off.is_some() && self.settings.checkpoint_steps.is_none() {
            self.mark()?;
            if watch.save_is_due() {
                self.save(watch)?;
            }
        }
        Ok(())
    }

    /// One optimizer step on these rows, in batches of these sizes; the sum of the rows' losses before it.
    fn step(&mut self, rows: &[u32], sizes: &[usize], dropout: &mut ChaCha8Rng, watch: &mut dyn Watch) -> Result<f64> {
        let rate = self.learning_rate();
        if self.trainable.thinning().is_some_and(|thinning| thinning.is_due(self.position.report.steps)) {
            self.trainable.thin(self.progress())?;
        }
        self.position.report.steps += 1;
        let (mut rest, mut sum, mut gradients) = (rows, 0.0, None);
        for &size in sizes {
            if watch.cancelled() {
                return Err(TrainError::Interrupted);
            }
            let (batch, after) = rest.split_at(size);
            rest = after;
            let (loss, of_batch) = self.batch(batch, rate, dropout)?;
            sum += f64::from(loss) * size as f64;
            gradients = Some(match sizes.len() {
                1 => of_batch,
                _ => self.optimizer.accumulate(gradients, of_batch, size as f64 / rows.len() as f64)?,
            });
            self.position.done += 1;
            watch.step(self.position.done, self.batches_at_most(), loss, rate);
        }
        if let Some(gradients) = gradients {
            self.move_weights(&gradients, rate)?;
        }
        Ok(sum)
    }

    /// The loss of a batch, and its gradients.
    fn batch(&mut self, rows: &[u32], rate: f64, dropout: &mut ChaCha8Rng) -> Result<(f32, GradStore)> {
        let batch = self.train.batch(rows)?;
        let mut uniform = |buffer: &mut [f32]| buffer.iter_mut().for_each(|number| *number = dropout.random());
        let mut forward = Forward::training(self.trainable, &mut uniform);
        forward.uniform = forward.uniform.filter(|_| self.settings.dropout);
        let said = inside::run(self.network.as_ref(), &batch.input, &self.objective.inside(), &mut forward)?;
        let loss = self.objective.loss(&said, &batch)?;
        let value = loss.to_scalar::<f32>()?;
        let limit = DIVERGED * self.position.first_loss.get_or_insert(value).max(1.0);
        if !value.is_finite() || value > limit {
            return Err(self.diverged(value, rate));
        }
        Ok((value, loss.backward()?))
    }

    fn move_weights(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        let scale = match self.settings.clip_norm {
            Some(longest) => clip(self.optimizer.gradient_norm(gradients)?, longest),
            None => 1.0,
        };
        self.optimizer.step(gradients, rate, scale)?;
        self.trainable.constrain()?;
        let step = self.position.report.steps;
        self.average.as_mut().map_or(Ok(()), |average| average.follow(self.trainable, step))
    }

    /// Steps of the whole run, if nothing but a number of steps ends it early.
    fn steps_at_most(&self) -> usize {
        let all = self.batches.len().div_ceil(self.settings.accumulate.max(1)) * self.settings.epochs;
        match self.settings.budget {
            Some(Budget::Steps(steps)) => steps.min(all),
            _ => all,
        }
    }

    fn batches_at_most(&self) -> usize {
        (self.steps_at_most() * self.settings.accumulate.max(1)).min(self.batches.len() * self.settings.epochs)
    }

    /// The share of the run that is over.
    pub(super) fn progress(&self) -> f64 {
        let by_steps = self.position.report.steps as f64 / self.steps_at_most().max(1) as f64;
        by_steps.max(self.position.time_used).min(1.0)
    }

    fn learning_rate(&self) -> f64 {
        let steps = self.batches.len().div_ceil(self.settings.accumulate.max(1));
        let total = self.steps_at_most();
        let warmup = ((self.settings.warmup_epochs * steps as f64).round() as usize).min(total.saturating_sub(1));
        // Where time is shorter than the epochs, the schedule ends with it.
        let by_time = (self.position.time_used * total as f64) as usize;
        let step = self.position.report.steps.max(by_time.min(total.saturating_sub(1)));
        self.settings.learning_rate * self.position.rate * self.settings.schedule.factor(step, total, warmup)
    }

    fn budget_is_used(&mut self, watch: &mut dyn Watch) -> bool {
        if matches!(self.settings.budget, Some(Budget::Time(_))) {
            self.position.time_used = self.earlier + watch.time_used();
        }
        let used = self.position.report.steps >= self.steps_at_most() || self.position.time_used >= 1.0;
        used && self.position.report.steps > 0
    }

    fn is_over(&self) -> bool {
        let Position { epoch, report, time_used, .. } = &self.position;
        let out_of_budget = report.steps >= self.steps_at_most() || *time_used >= 1.0;
        let patience = self.settings.early_stopping.unwrap_or(usize::MAX);
        *epoch > self.settings.epochs
            || (out_of_budget && report.steps > 0)
            || report.epochs - report.best_epoch >= patience
    }

    /// A loss can look well while the weights no longer are.
    fn check_finite(&self) -> Result<()> {
        match self.trainable.first_not_finite()? {
            Some(_) => Err(self.diverged(f32::NAN, self.learning_rate())),
            None => Ok(()),
        }
    }

    fn diverged(&self, loss: f32, learning_rate: f64) -> TrainError {
        let Position { report, epoch, .. } = &self.position;
        let (step, saved) = (report.steps, self.last_saved);
        TrainError::Diverged { step, epoch: *epoch, loss, learning_rate, saved }
    }

    /// Puts the best weights back, or the averages; what was to become zero is zero then.
    fn finish(mut self) -> Result<FitReport> {
        match &self.best {
            Some(best) => self.trainable.restore(best)?,
            None => self.put_averages()?,
        }
        self.trainable.thin(1.0)?;
        self.position.report.sparsity = self.trainable.thinning().map(Thinning::zeros).transpose()?;
        if self.settings.lora.as_ref().is_some_and(|lora| lora.keep_adapters) {
            self.position.report.adapters = self.trainable.adapters()?;
        }
        Ok(self.position.report)
    }
}

/// The factor that brings a gradient of this norm down to the longest allowed.
fn clip(norm: f64, longest: f64) -> f64 {
    if norm > longest { longest / norm } else { 1.0 }
}

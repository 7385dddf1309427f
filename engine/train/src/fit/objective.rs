//! What training minimizes: the labels' loss, the teacher's loss, or a mixture.

use candle_core::{Device, Tensor};
use paring_data::Targets;
use paring_model::Input;

use super::batches::{Batch, Part, nothing_to_learn};
use super::inside::{Inside, Said};
use super::teacher::{Distance, Taught};
use super::{ClassWeights, FitSettings};
use crate::error::{Result, TrainError};
use crate::loss;

/// The loss of a batch.
pub(super) struct Objective<'a> {
    task: Task,
    smoothing: f64,
    taught: Option<Taught<'a>>,
}

enum Task {
    Classes {
        weights: Option<Tensor>,
    },
    Values,
    /// Every token of a window, after those before it.
    Following,
    /// Rows without labels: a teacher says what they are.
    Embeddings {
        distance: Distance,
    },
}

impl<'a> Objective<'a> {
    /// For these training targets of a model with `width` outputs, or, where it `continues` texts, for the texts.
    pub(super) fn new(
        targets: &Targets,
        (width, continues): (usize, bool),
        taught: Option<Taught<'a>>,
        settings: &FitSettings,
    ) -> Result<Self> {
        let task = match targets {
            _ if continues => Task::Following,
            Targets::Classes(classes) => {
                known_classes(classes, width)?;
                Task::Classes { weights: class_weights(classes, width, settings.class_weights)? }
            }
            Targets::Values(_) => Task::Values,
            Targets::Pairs { .. } | Targets::None => match &taught {
                Some(taught) => Task::Embeddings { distance: taught.teacher.distance },
                None => return Err(nothing_to_learn()),
            },
        };
        if let Some(found) = taught.as_ref().and_then(Taught::known).map(Tensor::dims)
            && found.get(1) != Some(&width)
        {
            let message = format!("the teacher's outputs have shape {found:?}, expected {width} for each row");
            return Err(TrainError::Mismatch(message));
        }
        Ok(Self { task, smoothing: settings.label_smoothing, taught })
    }

    /// What the loss reads within the model, besides its outputs.
    pub(super) fn inside(&self) -> Inside {
        self.taught.as_ref().map(Taught::inside).unwrap_or_default()
    }

    /// Whether parts are judged by the teacher, for want of labels.
    pub(super) fn is_judged_by_teacher(&self) -> bool {
        matches!(self.task, Task::Embeddings { .. })
    }

    /// The teacher, where there is one.
    pub(super) fn teacher(&self) -> Option<&Taught<'a>> {
        self.taught.as_ref()
    }

    /// The training loss of a batch.
    pub(super) fn loss(&self, said: &Said, batch: &Batch) -> Result<Tensor> {
        let Some(taught) = &self.taught else { return self.labels(&said.outputs, batch, self.smoothing) };
        let teacher = &taught.teacher;
        let (soft, wanted) = match taught.likely_tokens(&batch.rows)? {
            Some(likely) => (likely.divergence(&said.outputs, teacher.temperature)?, None),
            None => {
                let wanted = taught.says(&batch.input, &batch.rows)?;
                (self.answers(&said.outputs, &wanted.outputs, teacher.temperature)?, Some(wanted))
            }
        };
        let mut sum = if teacher.alpha >= 1.0 || self.is_judged_by_teacher() {
            soft
        } else {
            let hard = self.labels(&said.outputs, batch, self.smoothing)?;
            ((soft * teacher.alpha)? + (hard * (1.0 - teacher.alpha))?)?
        };
        let Some(wanted) = wanted else { return Ok(sum) };
        let weight = teacher.hidden.map_or(0.0, |hidden| hidden.weight / hidden.pairs.len().max(1) as f64);
        let mask = mask(&batch.input);
        for (own, wanted) in said.hidden.iter().zip(&wanted.hidden) {
            let difference = loss::squared_difference(&taught.projected(own)?, wanted, mask)?;
            sum = (sum + (difference * weight)?)?;
        }
        if let Some(attention) = teacher.attention
            && let Some(loss) = attention.loss(&said.sites, &wanted.sites, mask)?
        {
            sum = (sum + loss)?;
        }
        Ok(sum)
    }

    /// How far the outputs are from a teacher's.
    fn answers(&self, outputs: &Tensor, wanted: &Tensor, temperature: f64) -> Result<Tensor> {
        match &self.task {
            Task::Classes { .. } => loss::soft_cross_entropy(outputs, wanted, temperature),
            Task::Values => loss::mean_squared_error(outputs, &wanted.squeeze(1)?),
            Task::Following => {
                let followed = outputs.dim(1)?.saturating_sub(1);
                let [outputs, wanted] = [outputs, wanted].map(|logits| logits.narrow(1, 0, followed)?.flatten_to(1));
                loss::soft_cross_entropy(&outputs?, &wanted?, temperature)
            }
            Task::Embeddings { distance: Distance::Cosine } => loss::cosine_distance(outputs, wanted),
            Task::Embeddings { distance: Distance::SquaredError } => loss::squared_difference(outputs, wanted, None),
        }
    }

    /// The loss that validation rows are judged by: that of the labels, or of the teacher where there are none.
    pub(super) fn validation(&self, outputs: &Tensor, part: &Part<'_>) -> Result<f32> {
        let loss = match (&part.answers, &part.targets) {
            (Some(answers), _) => self.answers(outputs, answers, 1.0)?,
            (None, Some(targets)) => self.hard(outputs, targets, 0.0)?,
            (None, None) => return Err(nothing_to_learn()),
        };
        Ok(loss.to_scalar::<f32>()?)
    }

    /// The labels' loss of a batch.
    pub(super) fn labels(&self, outputs: &Tensor, batch: &Batch, smoothing: f64) -> Result<Tensor> {
        self.hard(outputs, batch.targets.as_ref().ok_or_else(nothing_to_learn)?, smoothing)
    }

    /// The labels' loss.
    fn hard(&self, outputs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
        match &self.task {
            Task::Classes { weights } => loss::cross_entropy(outputs, targets, weights.as_ref(), smoothing),
            Task::Values => loss::mean_squared_error(outputs, targets),
            Task::Following => {
                let logits = outputs.narrow(1, 0, targets.dim(1)?)?.flatten_to(1)?;
                loss::cross_entropy(&logits, &targets.flatten_all()?, None, smoothing)
            }
            Task::Embeddings { .. } => Err(nothing_to_learn()),
        }
    }
}

/// Which tokens of a batch are not padding, [rows, length].
fn mask(input: &Input) -> Option<&Tensor> {
    match input {
        Input::Tokens(tokens) => tokens.mask.as_ref(),
        _ => None,
    }
}

/// Every class number has an output.
pub(super) fn known_classes(classes: &[u32], width: usize) -> Result<()> {
    match classes.iter().max() {
        Some(&largest) if largest as usize >= width => {
            Err(TrainError::Mismatch(format!("class number {largest} is unknown; the model has {width} classes")))
        }
        _ => Ok(()),
    }
}

/// rows / (classes that occur * rows of the class); nothing for uniform weights.
fn class_weights(classes: &[u32], width: usize, which: ClassWeights) -> Result<Option<Tensor>> {
    if which == ClassWeights::Uniform {
        return Ok(None);
    }
    let mut counts = vec![0_usize; width];
    for &class in classes {
        if let Some(count) = counts.get_mut(class as usize) {
            *count += 1;
        }
    }
    let present = counts.iter().filter(|&&count| count > 0).count();
    let weight = |&count: &usize| if count == 0 { 0.0 } else { classes.len() as f32 / (present * count) as f32 };
    let weights: Vec<f32> = counts.iter().map(weight).collect();
    Ok(Some(Tensor::from_vec(weights, width, &Device::Cpu)?))
}

#[cfg(test)]
mod tests {
    use super::{ClassWeights, class_weights};

    /// scikit-learn 1.9.1: `compute_class_weight("balanced", ...)` gives 0.6666... and 2.0 here.
    #[test]
    fn balanced_weights_are_inverse_to_the_counts() {
        let weights = class_weights(&[0, 0, 0, 2], 3, ClassWeights::Balanced).unwrap().unwrap();
        assert_eq!(weights.to_vec1::<f32>().unwrap(), [2.0 / 3.0, 0.0, 2.0]);
    }
}

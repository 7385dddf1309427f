//! What training minimizes: the labels' loss, the teacher's loss, or a mixture.

use candle_core::{Device, Tensor};
use paring_data::Targets;

use super::batches::nothing_to_learn;
use super::{ClassWeights, FitSettings, Teacher};
use crate::error::{Result, TrainError};
use crate::loss;

/// The loss of a batch.
pub(super) struct Objective<'a> {
    task: Task,
    smoothing: f64,
    teacher: Option<&'a Teacher>,
}

enum Task {
    Classes {
        weights: Option<Tensor>,
    },
    Values,
    /// Every token of a window, after those before it.
    Following,
}

impl<'a> Objective<'a> {
    /// For these training targets of a model with `width` outputs, or, where it `continues` texts, for the texts.
    pub(super) fn new(
        targets: &Targets,
        (width, continues): (usize, bool),
        teacher: Option<&'a Teacher>,
        settings: &FitSettings,
    ) -> Result<Self> {
        let task = match targets {
            _ if continues => Task::Following,
            Targets::Classes(classes) => {
                known_classes(classes, width)?;
                Task::Classes { weights: class_weights(classes, width, settings.class_weights)? }
            }
            Targets::Values(_) => Task::Values,
            Targets::Pairs { .. } | Targets::None => return Err(nothing_to_learn()),
        };
        if let Some(teacher) = teacher {
            let (found, expected) = (teacher.outputs.dims(), [targets.len(), width]);
            if found != expected {
                let message = format!("the teacher's outputs have shape {found:?}, expected {expected:?}");
                return Err(TrainError::Mismatch(message));
            }
        }
        Ok(Self { task, smoothing: settings.label_smoothing, teacher })
    }

    /// The training loss; `rows` are the batch's row numbers.
    pub(super) fn loss(&self, outputs: &Tensor, targets: &Tensor, rows: &Tensor) -> Result<Tensor> {
        let Some(teacher) = self.teacher else { return self.labels(outputs, targets, self.smoothing) };
        let wanted = teacher.outputs.index_select(rows, 0)?;
        let soft = match &self.task {
            Task::Classes { .. } => loss::soft_cross_entropy(outputs, &wanted, teacher.temperature)?,
            Task::Values => loss::mean_squared_error(outputs, &wanted.squeeze(1)?)?,
            Task::Following => {
                let message = "a model that continues texts learns from no teacher".to_owned();
                return Err(TrainError::Mismatch(message));
            }
        };
        if teacher.alpha >= 1.0 {
            return Ok(soft);
        }
        let hard = self.labels(outputs, targets, self.smoothing)?;
        Ok(((soft * teacher.alpha)? + (hard * (1.0 - teacher.alpha))?)?)
    }

    /// The loss that validation rows are judged by.
    pub(super) fn validation(&self, outputs: &Tensor, targets: &Tensor) -> Result<f32> {
        Ok(self.labels(outputs, targets, 0.0)?.to_scalar::<f32>()?)
    }

    fn labels(&self, outputs: &Tensor, targets: &Tensor, smoothing: f64) -> Result<Tensor> {
        match &self.task {
            Task::Classes { weights } => loss::cross_entropy(outputs, targets, weights.as_ref(), smoothing),
            Task::Values => loss::mean_squared_error(outputs, targets),
            Task::Following => {
                let logits = outputs.narrow(1, 0, targets.dim(1)?)?.flatten_to(1)?;
                loss::cross_entropy(&logits, &targets.flatten_all()?, None, smoothing)
            }
        }
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

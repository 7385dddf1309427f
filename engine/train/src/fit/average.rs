//! A moving average of the weights.

use crate::error::Result;
use crate::optimizer::blend;
use crate::trainable::{Snapshot, Trainable};

/// An exponential moving average of everything that training changes (Polyak & Juditsky 1992, with decay as in
/// TensorFlow's `ExponentialMovingAverage`: the first steps count for less, so that the first weights are soon
/// forgotten).
pub(super) struct Average {
    decay: f64,
    pub(super) mean: Snapshot,
}

impl Average {
    /// That starts from the present weights.
    pub(super) fn new(decay: f64, trainable: &Trainable) -> Result<Self> {
        Ok(Self { decay, mean: trainable.snapshot()? })
    }

    /// Takes in the weights after a step, the number of which counts from 1.
    pub(super) fn follow(&mut self, trainable: &Trainable, step: usize) -> Result<()> {
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        for (name, variable) in trainable.state() {
            if let Some(mean) = self.mean.tensors.get_mut(name) {
                blend(mean, &variable.as_detached_tensor(), decay)?;
            }
        }
        Ok(())
    }
}

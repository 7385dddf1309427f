//! A checkpoint's weights as variables: what the optimizer moves.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use paring_model::Checkpoint;
use paring_model::tap::{TapWeight, WeightSource};

use crate::error::Result;

/// Variables by tensor name, with masks where zeros must stay.
pub struct Trainable {
    variables: BTreeMap<String, Var>,
    masks: BTreeMap<String, Tensor>,
}

impl Trainable {
    /// Copies of the checkpoint's float weights. Masked weights keep their zeros.
    ///
    /// # Errors
    /// When the model is not built or a weight is quantized.
    pub fn new(model: &Checkpoint) -> Result<Self> {
        let _ = model;
        todo!()
    }

    /// The variables that the optimizer moves (running statistics of batch norm are not among them), by name.
    pub fn parameters(&self) -> Vec<(&str, &Var)> {
        todo!()
    }

    /// Sets masked entries to exactly zero again (weight decay touches them).
    ///
    /// # Errors
    /// When candle refuses.
    pub fn apply_masks(&self) -> Result<()> {
        let _ = &self.masks;
        todo!()
    }

    /// Writes the variables' present values into a checkpoint.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn store(&self, model: &mut Checkpoint) -> Result<()> {
        let _ = (model, &self.variables);
        todo!()
    }
}

impl WeightSource for Trainable {
    fn site(&self, name: &str) -> paring_model::Result<TapWeight> {
        let _ = name;
        todo!()
    }

    fn tensor(&self, name: &str) -> paring_model::Result<Tensor> {
        let _ = name;
        todo!()
    }
}

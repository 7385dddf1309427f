//! Weights that are read when they are first used: a pass that walks a model block by block holds one block at a time,
//! and replaces what it has worked on before the block goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use super::{TapWeight, WeightSource};
use crate::checkpoint::Checkpoint;
use crate::error::{ModelError, Result};

/// One such weight.
#[derive(Debug)]
pub struct LateWeight {
    site: String,
    model: Checkpoint,
    now: Mutex<Option<TapWeight>>,
}

impl LateWeight {
    /// The weight, read now if it was not.
    pub(crate) fn now(&self) -> Result<TapWeight> {
        let mut now = lock(&self.now);
        if let Some(weight) = now.as_ref() {
            return Ok(weight.clone());
        }
        let weight = WeightSource::site(&self.model, &self.site)?;
        *now = Some(weight.clone());
        Ok(weight)
    }
}

/// A model's weights, each read from the model when it is first used. Plain tensors (biases, norms) are read when the
/// network is built.
#[derive(Debug)]
pub struct LateWeights {
    model: Checkpoint,
    sites: Mutex<BTreeMap<String, Arc<LateWeight>>>,
}

impl LateWeights {
    /// The weights of a model.
    pub fn new(model: Checkpoint) -> Self {
        Self { model, sites: Mutex::default() }
    }

    /// What the site `name` multiplies with from now on.
    pub fn replace(&self, name: &str, weight: TapWeight) {
        *lock(&self.late(name).now) = Some(weight);
    }

    /// Lets the weight of the site `name` go; used again, it is read from the model as it was.
    pub fn forget(&self, name: &str) {
        *lock(&self.late(name).now) = None;
    }

    fn late(&self, name: &str) -> Arc<LateWeight> {
        let mut sites = lock(&self.sites);
        let new = || LateWeight { site: name.to_owned(), model: self.model.clone(), now: Mutex::default() };
        Arc::clone(sites.entry(name.to_owned()).or_insert_with(|| Arc::new(new())))
    }
}

impl WeightSource for LateWeights {
    fn site(&self, name: &str) -> Result<TapWeight> {
        Ok(TapWeight::Late(self.late(name)))
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        WeightSource::tensor(&self.model, name)
    }
}

/// The error for a weight that was replaced by one that has to be read itself.
pub(super) fn nested(site: &str) -> ModelError {
    ModelError::Unsupported(format!("the weight of `{site}` was replaced by one that is not read yet"))
}

/// What is behind a lock; a thread that panicked with it left it whole, since it is set in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

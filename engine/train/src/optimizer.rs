//! Optimizers whose whole state can be saved and restored: AdamW and SGD.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};

mod adamw;
mod inplace;
mod sgd;

pub(crate) use adamw::blend;

/// Which optimizer, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerSpec {
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2).
    Adamw(AdamwSpec),
    /// Stochastic gradient descent (Sutskever et al. 2013 for momentum and Nesterov).
    Sgd(SgdSpec),
}

/// Settings of AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamwSpec {
    /// Decay of the mean of gradients, from 0 (inclusive) to 1 (exclusive).
    #[schemars(range(min = 0.0, max = 0.9999999))]
    pub beta1: f64,
    /// Decay of the mean of squared gradients, from 0 (inclusive) to 1 (exclusive).
    #[schemars(range(min = 0.0, max = 0.9999999))]
    pub beta2: f64,
    /// Added to the divisor.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub epsilon: f64,
    /// Decoupled weight decay, per unit of learning rate. Only weights of layers shrink: biases and norms do not.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub weight_decay: f64,
}

/// Settings of SGD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgdSpec {
    /// Momentum, from 0 (inclusive) to 1 (exclusive).
    #[schemars(range(min = 0.0, max = 0.9999999))]
    pub momentum: f64,
    /// Nesterov's look-ahead; needs momentum.
    pub nesterov: bool,
    /// L2 penalty added to the gradient of the layers' weights; biases and norms have none.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub weight_decay: f64,
}

impl Default for AdamwSpec {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 }
    }
}

impl Default for SgdSpec {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

impl Default for OptimizerSpec {
    fn default() -> Self {
        OptimizerSpec::Adamw(AdamwSpec::default())
    }
}

/// An optimizer over named variables. Weight decay acts on tensors of two or more dimensions (the weights of layers);
/// biases and norms, which have one, are left out of it.
pub struct Optimizer {
    spec: OptimizerSpec,
    parameters: Vec<Parameter>,
    steps: u64,
}

/// Everything an optimizer knows besides the weights: restored into a fresh one, it goes on bit for bit.
#[derive(Debug, Clone)]
pub struct OptimizerState {
    /// Steps taken.
    pub steps: u64,
    /// Moments by name: `{variable}.mean` and `{variable}.mean_square` (AdamW), `{variable}.velocity` (SGD).
    pub tensors: BTreeMap<String, Tensor>,
}

/// One variable and its moments.
struct Parameter {
    name: String,
    variable: Var,
    moments: Vec<Tensor>,
    /// Its learning rate over that of the step.
    factor: f64,
    /// Whether weight decay acts on it.
    decays: bool,
}

impl OptimizerSpec {
    /// Names of the moments that each variable has.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            OptimizerSpec::Adamw(_) => &["mean", "mean_square"],
            OptimizerSpec::Sgd(_) => &["velocity"],
        }
    }
}

impl Parameter {
    fn new(name: String, variable: Var, moments: usize) -> Result<Self> {
        let moments = (0..moments).map(|_| variable.zeros_like()).collect::<candle_core::Result<_>>()?;
        let decays = variable.rank() >= 2;
        Ok(Self { name, variable, moments, factor: 1.0, decays })
    }

    /// The weight decay that acts on this variable.
    fn decay(&self, weight_decay: f64) -> f64 {
        if self.decays { weight_decay } else { 0.0 }
    }
}

impl Optimizer {
    /// An optimizer that has taken no step.
    ///
    /// # Errors
    /// When candle cannot make the moments.
    pub fn new(spec: OptimizerSpec, variables: Vec<(String, Var)>) -> Result<Self> {
        let count = spec.moments().len();
        let parameters = variables
            .into_iter()
            .map(|(name, variable)| Parameter::new(name, variable, count))
            .collect::<Result<_>>()?;
        Ok(Self { spec, parameters, steps: 0 })
    }

    /// Gives each variable a learning rate of its own: that of the step times what `factor` says of its name.
    #[must_use]
    pub fn with_factors(mut self, factor: impl Fn(&str) -> f64) -> Self {
        for parameter in &mut self.parameters {
            parameter.factor = factor(&parameter.name);
        }
        self
    }

    /// Leaves variables out of weight decay, by name.
    #[must_use]
    pub fn without_decay(mut self, is_spared: impl Fn(&str) -> bool) -> Self {
        for parameter in &mut self.parameters {
            parameter.decays &= !is_spared(&parameter.name);
        }
        self
    }

    /// Adds gradients of another batch to those of the batches before it, each multiplied by `scale`.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn accumulate(&self, sum: Option<GradStore>, mut gradients: GradStore, scale: f64) -> Result<GradStore> {
        for parameter in &self.parameters {
            let gradient = (gradient_of(&gradients, &parameter.name, &parameter.variable)?.detach() * scale)?;
            let total = match &sum {
                Some(sum) => (gradient_of(sum, &parameter.name, &parameter.variable)? + gradient)?,
                None => gradient,
            };
            gradients.insert(&parameter.variable, total);
        }
        Ok(gradients)
    }

    /// Moves every variable one step. Each gradient is multiplied by `scale` first (below 1 after clipping).
    ///
    /// # Errors
    /// When a variable has no gradient: the loss does not depend on it, or an op without gradient cut the graph.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64, scale: f64) -> Result<()> {
        self.steps += 1;
        for parameter in &mut self.parameters {
            let gradient = gradient_of(gradients, &parameter.name, &parameter.variable)?;
            let gradient = gradient.detach();
            let rate = learning_rate * parameter.factor;
            let scaled = if scale == 1.0 { gradient } else { (gradient * scale)? };
            match &self.spec {
                OptimizerSpec::Adamw(spec) => adamw::step(spec, parameter, &scaled, rate, self.steps)?,
                OptimizerSpec::Sgd(spec) => sgd::step(spec, parameter, &scaled, rate)?,
            }
        }
        Ok(())
    }

    /// L2 norm of all gradients together.
    ///
    /// # Errors
    /// As [`Optimizer::step`].
    pub fn gradient_norm(&self, gradients: &GradStore) -> Result<f64> {
        let mut squares = 0.0;
        for parameter in &self.parameters {
            let gradient = gradient_of(gradients, &parameter.name, &parameter.variable)?;
            squares += gradient.detach().sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        }
        Ok(squares.sqrt())
    }

    /// A copy of the whole state.
    ///
    /// # Errors
    /// When candle refuses.
    pub fn state(&self) -> Result<OptimizerState> {
        let mut tensors = BTreeMap::new();
        for parameter in &self.parameters {
            for (moment, tensor) in self.spec.moments().iter().zip(&parameter.moments) {
                tensors.insert(format!("{}.{moment}", parameter.name), tensor.copy()?);
            }
        }
        Ok(OptimizerState { steps: self.steps, tensors })
    }

    /// Goes on from a saved state.
    ///
    /// # Errors
    /// When a moment is missing or has another shape than its variable.
    pub fn restore(&mut self, state: &OptimizerState) -> Result<()> {
        for parameter in &mut self.parameters {
            for (moment, tensor) in self.spec.moments().iter().zip(&mut parameter.moments) {
                let name = format!("{}.{moment}", parameter.name);
                let saved = state.tensors.get(&name);
                let saved = saved.ok_or_else(|| mismatch(format!("the optimizer's state has no tensor `{name}`")))?;
                if saved.dims() != tensor.dims() {
                    let (found, expected) = (saved.dims(), tensor.dims());
                    return Err(mismatch(format!(
                        "the optimizer's state `{name}` has shape {found:?}, expected {expected:?}"
                    )));
                }
                *tensor = saved.copy()?;
            }
        }
        self.steps = state.steps;
        Ok(())
    }
}

fn mismatch(message: String) -> TrainError {
    TrainError::Mismatch(message)
}

fn gradient_of<'a>(gradients: &'a GradStore, name: &str, variable: &Var) -> Result<&'a Tensor> {
    gradients.get(variable).ok_or_else(|| mismatch(format!("the loss has no gradient for `{name}`")))
}

#[cfg(test)]
mod tests;

//! Optimizers whose whole state can be saved and restored: AdamW and SGD.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Decoupled weight decay, per unit of learning rate.
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
    /// L2 penalty added to the gradient.
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

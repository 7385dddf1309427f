//! Learning-rate schedules: a factor for each optimizer step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same all the way.
    Constant,
    /// Half a cosine from the full rate to zero (Loshchilov & Hutter 2017, without restarts).
    #[default]
    Cosine,
    /// A straight line from the full rate to zero.
    Linear,
    /// Up from a 25th to the full rate over the first 30%, then down to a 250,000th, both by cosine (Smith & Topin
    /// 2018, as PyTorch's OneCycleLR sets it).
    OneCycle,
}

impl Schedule {
    /// The factor on the learning rate at `step` (from 0) of `total`, with `warmup` steps of linear rise before.
    pub fn factor(self, step: usize, total: usize, warmup: usize) -> f64 {
        let _ = (step, total, warmup);
        todo!()
    }
}

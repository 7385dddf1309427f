//! The integers that weights become as the others are pruned.

use paring_model::{Granularity, QuantizedWeight, WeightScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::quantize::scales::{self, Scales, WeightObserver};
use crate::quantize::{groups, scheme};
use crate::walk::multiplying;
use crate::weights::FloatWeight;

/// How the weights that stay are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantize {
    /// Bits of one weight.
    #[serde(default = "four")]
    #[schemars(range(min = 2, max = 8), example = 4)]
    pub bits: u8,
    /// Zero in the middle of the integers, and no zero points. Otherwise each scale has a zero point.
    #[serde(default = "yes")]
    pub symmetric: bool,
    /// Inputs of one output channel that share a scale; all of them where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576), example = 64)]
    pub group_size: Option<usize>,
}

fn four() -> u8 {
    4
}

fn yes() -> bool {
    true
}

impl Quantize {
    pub(super) fn scheme(self) -> WeightScheme {
        scheme::of(self.bits, self.symmetric, None, self.group_size)
    }

    /// Makes integers of what the plan prunes.
    ///
    /// # Errors
    /// When groups do not divide the inputs of a target.
    pub(super) fn apply(self, cx: &PlanCx<'_>, effect: &mut Effect) -> Result<(), Problem> {
        let (sites, scheme) = (multiplying(cx.sites), self.scheme());
        if let Granularity::Group(size) = scheme.granularity {
            let within = |problem: Problem| Problem { pointer: format!("/quantize{}", problem.pointer), ..problem };
            groups::check(cx, &sites, size).map_err(within)?;
        }
        for site in &sites {
            if let Some(weight) = effect.outline.weights.get_mut(&site.weight()) {
                let shape = weight.shape().to_vec();
                *weight = paring_model::WeightOutline::Quantized { shape, scheme, activation: None };
            }
        }
        Ok(())
    }
}

/// The integers of one weight, with scales chosen before any of it is pruned.
pub(crate) struct Grid {
    scheme: WeightScheme,
    scales: Scales,
    inputs: usize,
}

impl Grid {
    /// For a weight [out, inputs], row-major.
    pub(super) fn new(weights: &[f32], inputs: usize, scheme: WeightScheme) -> Self {
        Self { scheme, scales: scales::choose(weights, inputs, scheme, WeightObserver::default()), inputs }
    }

    /// What the integer nearest to the weight of a row and column stands for.
    pub(super) fn nearest(&self, row: usize, column: usize, weight: f32) -> f32 {
        let index = match self.scheme.granularity {
            Granularity::Tensor => 0,
            Granularity::Channel => row,
            Granularity::Group(size) => row * self.inputs.div_ceil(size) + column / size,
        };
        let step = (self.scales.scales[index], self.scales.zero_points.get(index).copied().unwrap_or(0));
        scales::nearest(weight, step, self.scheme)
    }

    /// The integers of numbers that lie on the grid.
    pub(super) fn integers(&self, weight: &FloatWeight, numbers: &[f32]) -> Result<QuantizedWeight, PassError> {
        let Scales { scales, zero_points } = &self.scales;
        Ok(QuantizedWeight::round_numbers(numbers, &weight.shape, self.scheme, scales, zero_points)?)
    }
}

//! `quantize/rtn`: weights rounded to the nearest integer.

use paring_model::{Checkpoint, Granularity, Weight, WeightScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::each::each;
use super::groups;
use super::rounding::{self, describe};
use super::scales::WeightObserver;
use super::scheme::{self, Sharing};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::wording::counted;

/// Rounds weights to integers of 2 to 8 bits with the nearest value, and leaves activations in floating point.
///
/// # What it does
/// Each targeted weight becomes a packed integer and a shared scale. The integers run from -2^(b-1) to 2^(b-1) - 1.
/// Symmetric: scale = max |w| / ((2^b - 1) / 2), q = round(w / scale). Asymmetric: the range from min to max, widened
/// to include zero, is cut into 2^b - 1 steps, scale = (max - min) / (2^b - 1), zero point = round(-2^(b-1) - min /
/// scale), q = round(w / scale) + zero point. No weight moves by more than half a step, unless `mse` clips it. Zero is always an integer of
/// its own, so that pruned weights stay exactly zero. Weights that share a scale and are all zero get scale 1. Biases
/// and norms stay as they are.
///
/// # When to use
/// To make the file smaller in seconds, with no data. 8 bits with a scale an output channel hardly ever change a
/// prediction; 4 bits want small groups.
///
/// # When not to
/// Below 4 bits, where rounding to nearest loses accuracy that calibrated methods keep. Before training or pruning, which
/// need float weights.
///
/// # Parameters
/// `bits` sets the size and the error: one bit less doubles the step. Where `symmetric` is false each scale has a zero
/// point, which pays where weights lie on one side of zero. `granularity` says which weights share a scale: `tensor`,
/// `channel` (an output channel) or `group` (`group_size` consecutive inputs of one output channel; the height and
/// width of a convolution's kernel count as inputs). `group_size` must divide the inputs of every target. The
/// `observer` `mse` tries smaller ranges than from the smallest to the largest weight, 0.30 to 1.00 of it, and takes
/// that of least squared error: outliers are clipped so that the steps between all others are smaller. It pays below 8
/// bits.
///
/// # Cost and limits
/// Reads each weight once and holds one layer at a time; of a model of 268 million weights or more what is done is kept
/// every 33 million, so that a run that was cut off goes on after it. A scale takes 32 bits: groups of 32 add one bit a
/// weight. Layers multiply integers: while the model runs each row of their inputs becomes integers of 16 bits, whose
/// rounding is far below that of the weights.
///
/// # Source
/// Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
/// section 2.1, for the affine scheme; Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 2.2;
/// section 3.1, for `mse`; the choice of scales is that of the compressed-tensors format.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RtnParameters {
    /// Bits of one weight.
    #[serde(default = "eight")]
    #[schemars(range(min = 2, max = 8), example = 4)]
    pub bits: u8,
    /// Zero in the middle of the integers, and no zero points. Otherwise each scale has a zero point.
    #[serde(default = "yes")]
    pub symmetric: bool,
    /// Which weights share a scale. `group` where `group_size` is given, otherwise `channel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Sharing>,
    /// Inputs of one output channel that share a scale; 128 where `granularity` is `group` and this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576), example = 64)]
    pub group_size: Option<usize>,
    /// How the range of the weights that share a scale is chosen.
    #[serde(default)]
    pub observer: WeightObserver,
}

fn eight() -> u8 {
    8
}

fn yes() -> bool {
    true
}

impl RtnParameters {
    fn scheme(&self) -> WeightScheme {
        scheme::of(self.bits, self.symmetric, self.granularity, self.group_size)
    }
}

/// The pass.
pub struct Rtn;

impl Definition for Rtn {
    type Parameters = RtnParameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/rtn",
        summary: "round weights to the nearest integer of 2 to 8 bits",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn check(parameters: &RtnParameters) -> Vec<Problem> {
        scheme::problems(parameters.granularity, parameters.group_size)
    }

    fn plan(parameters: &RtnParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let scheme = parameters.scheme();
        let mut effect = rounding::plan(cx, scheme, None)?;
        if let Granularity::Group(size) = scheme.granularity {
            groups::check(cx, cx.sites, size).map_err(|problem| vec![problem])?;
        }
        effect.notes.push(describe(scheme));
        Ok(effect)
    }

    fn run(parameters: &RtnParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let scheme = parameters.scheme();
        let (model, sites) = each(cx, model, cx.sites, &|model, site| {
            let (weight, figures) = rounding::round(model, site, scheme, parameters.observer, None)?;
            Ok((Weight::Quantized(weight), figures))
        })?;
        let summary = format!("rounded {}: {}", counted(cx.sites.len(), "site"), describe(scheme));
        Ok(Outcome { model, receipt: Receipt { summary, sites, ..Receipt::default() } })
    }
}

#[cfg(test)]
mod tests;

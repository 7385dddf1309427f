//! `prune/channels`: channels of convolutions removed for good.

use paring_model::Checkpoint;
use paring_train::sparse::SparsityScope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gradients::Answers;
use super::share::Share;
use super::structured::{Importance, Kind, Structure};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Removes the least important channels of convolutions, so that they become smaller.
///
/// # What it does
/// Scores each channel of each targeted convolution and keeps the best. The filter that produces a removed channel, its
/// bias, its batch norm, and everything that reads it are cut out of the tensors; channels that residual additions tie
/// together go together. Widths in the configuration follow. All layers are scored on the model as it comes; of equally
/// important channels the earlier stays.
///
/// # When to use
/// Where a convolutional network must be smaller and faster on any machine: cost falls with the product of the widths
/// on both sides. Train for an epoch or more after it.
///
/// # When not to
/// Where every channel matters (a width that is small already): `prune/magnitude` takes single weights and loses less
/// at equal counts. After quantization, which leaves no float weights. `prune/neurons` cuts fully connected layers.
///
/// # Parameters
/// Either `ratio`, the fraction of channels that goes (rounded to the nearest whole number), with `scope`: `per_site`
/// takes it from each layer, `global` ranks the channels of all targets together, each importance over the mean of its
/// layer, but for `taylor`, which is comparable from layer to layer as it is. Or `keep`, the number that stays in each
/// layer. `importance`: `magnitude` is the sum of |w| over the filters that produce a channel and needs no data;
/// `activation` is its mean absolute value as the next layer reads it, over `calibration_rows` rows, drawn at random
/// from the calibration part of the data, or from the training part where there is none; `taylor` is the mean over the
/// same rows of the squared change of the loss without the channel, to the first order, and needs labels, unless
/// `answers` is `own`: then answers are drawn from what the model itself says, as in `prune/taylor`. `round_to` rounds
/// widths up to a multiple, which fast kernels like (8 or 16); at least one channel always stays. With `reconstruct`,
/// the matrices that read what is removed are fitted anew to what stays, by least squares over the calibration rows,
/// layer after layer, so that their outputs move least.
///
/// # Cost and limits
/// One pass over the weights, and one of the calibration rows through the model for `activation` and `reconstruct`
/// each. A layer that has no more channels than are kept stays as it is; if that is so for all targets, the plan is
/// refused. With `global`, how much each layer loses is found by running, and the plan tells the size of equal shares.
///
/// # Source
/// Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1, for `magnitude`; Fang et al. 2023, "DepGraph:
/// Towards Any Structural Pruning", section 3, for what goes together and for importances over their mean; Muralidharan
/// et al. 2024, "Compact Language Models via Pruning and Knowledge Distillation", section 2.2, for `activation`;
/// Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", section 3, for `taylor`; He et al. 2017,
/// "Channel Pruning for Accelerating Very Deep Neural Networks", section 3.1, for `reconstruct`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelsParameters {
    /// Fraction of channels that goes, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Fraction>,
    /// Whether channels compete over all targets or within each layer; goes with `ratio`. `per_site` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<SparsityScope>,
    /// Channels that stay in each layer. Instead of `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536), example = 32)]
    pub keep: Option<usize>,
    /// What makes a channel important.
    #[serde(default)]
    pub importance: Importance,
    /// Whose answers `taylor` takes the loss of: those of the `labels`, or the model's `own`. `labels` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// What reads the units is fitted anew, by least squares, to those that are left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reconstruct: bool,
    /// Counts are rounded up to a multiple of this.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024), example = 8)]
    pub round_to: usize,
    /// At most this many rows are looked at for the importances `activation` and `taylor`, and to `reconstruct`.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn one() -> usize {
    1
}

fn rows() -> usize {
    512
}

impl ChannelsParameters {
    fn structure(&self) -> Structure {
        let Self { ratio, scope, keep, importance, answers, reconstruct, round_to, calibration_rows } = *self;
        let kind = Kind { tables: &["channels"], one: "channel", lacking: "channels of its own" };
        let share = Share { ratio, scope, keep, round_to };
        Structure { kind, share, importance, answers, reconstruct, calibration_rows }
    }
}

/// The pass.
pub struct Channels;

impl Definition for Channels {
    type Parameters = ChannelsParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/channels",
        summary: "remove the least important channels of convolutions, so that they become smaller",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::Shapes],
    };

    fn check(parameters: &ChannelsParameters) -> Vec<Problem> {
        parameters.structure().problems()
    }

    fn plan(parameters: &ChannelsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.structure().plan(cx)
    }

    fn run(parameters: &ChannelsParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        parameters.structure().run(cx, model)
    }
}

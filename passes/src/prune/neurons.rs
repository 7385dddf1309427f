//! `prune/neurons`: hidden neurons removed for good.

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

/// Removes the least important neurons of fully connected hidden layers, so that the matrices become smaller.
///
/// # What it does
/// Scores each neuron of each targeted hidden layer and keeps the best. The row that produces a removed neuron, its
/// bias, and the columns that read it are cut out of the tensors, and the widths in the configuration follow. Nothing
/// is masked: the model is a smaller one of the same family. All layers are scored on the model as it comes; of equally
/// important neurons the earlier stays.
///
/// # When to use
/// Where the model must be smaller and faster on any machine with no sparse kernels. Train for a few epochs after it.
///
/// # When not to
/// Where every neuron matters (a width that is small already): `prune/magnitude` takes single weights and loses less at
/// equal counts. After quantization, which leaves no float weights. `prune/channels` and `prune/heads` remove other
/// units.
///
/// # Parameters
/// Either `ratio`, the fraction of neurons that goes (rounded to the nearest whole number), with `scope`: `per_site`
/// takes it from each layer, `global` ranks the neurons of all targets together, each importance over the mean of its
/// layer, but for `taylor`, which is comparable from layer to layer as it is. Or `keep`, the number that stays in each
/// layer. `importance`: `magnitude` is the sum of |w| over the weights that produce a neuron and needs no data;
/// `activation` is its mean absolute value after the nonlinearity over `calibration_rows` rows, drawn at random from
/// the calibration part of the data, or from the training part where there is none; `taylor` is the mean over the same
/// rows of the squared change of the loss without the neuron, to the first order, and needs labels, unless `answers` is
/// `own`: then answers are drawn from what the model itself says, as in `prune/taylor`. `round_to` rounds widths up to
/// a multiple, which fast kernels like (8 or 16); at least one neuron always stays. With `reconstruct`, the matrices
/// that read what is removed are fitted anew to what stays, by least squares over the calibration rows, layer after
/// layer, so that their outputs move least.
///
/// # Cost and limits
/// One pass over the weights, and one of the calibration rows through the model for `activation` and `reconstruct`
/// each. A layer that has no more neurons than are kept stays as it is; if that is so for all targets, the plan is
/// refused. With `global`, how much each layer loses is found by running, and the plan tells the size of equal shares.
///
/// # Source
/// Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1, for `magnitude`; Muralidharan et al. 2024,
/// "Compact Language Models via Pruning and Knowledge Distillation", section 2.2, for `activation`; Molchanov et al.
/// 2019, "Importance Estimation for Neural Network Pruning", section 3, for `taylor`; He et al. 2017, "Channel Pruning
/// for Accelerating Very Deep Neural Networks", section 3.1, for `reconstruct`; Fang et al. 2023, "DepGraph: Towards
/// Any Structural Pruning", section 3.3, for importances over their mean.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeuronsParameters {
    /// Fraction of neurons that goes, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Fraction>,
    /// Whether neurons compete over all targets or within each layer; goes with `ratio`. `per_site` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<SparsityScope>,
    /// Neurons that stay in each layer. Instead of `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536), example = 32)]
    pub keep: Option<usize>,
    /// What makes a neuron important.
    #[serde(default)]
    pub importance: Importance,
    /// Whose answers `taylor` takes the loss of: those of the `labels`, or the model's `own`. `labels` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// What reads the units is fitted anew, by least squares, to those that are left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reconstruct: bool,
    /// Widths are rounded up to a multiple of this.
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

impl NeuronsParameters {
    fn structure(&self) -> Structure {
        let Self { ratio, scope, keep, importance, answers, reconstruct, round_to, calibration_rows } = *self;
        let kind = Kind { tables: &["neurons"], one: "neuron", lacking: "hidden neurons" };
        let share = Share { ratio, scope, keep, round_to };
        Structure { kind, share, importance, answers, reconstruct, calibration_rows }
    }
}

/// The pass.
pub struct Neurons;

impl Definition for Neurons {
    type Parameters = NeuronsParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/neurons",
        summary: "remove the least important hidden neurons, so that matrices become smaller",
        version: 2,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::Shapes],
    };

    fn check(parameters: &NeuronsParameters) -> Vec<Problem> {
        parameters.structure().problems()
    }

    fn plan(parameters: &NeuronsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.structure().plan(cx)
    }

    fn run(parameters: &NeuronsParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        parameters.structure().run(cx, model)
    }
}

#[cfg(test)]
mod tests;

//! `prune/heads`: attention heads removed for good.

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

/// Removes the least important attention heads, so that the matrices around them become smaller.
///
/// # What it does
/// Scores each head of each targeted attention and keeps the best. The rows of query, key and value that make a removed
/// head, their biases, and the columns of the attention output that read it are cut out of the tensors. Where several
/// heads of queries share one of keys and values (Llama, Qwen), they go as a whole. A target is the query matrix of a
/// layer. All layers are scored on the model as it comes; of equally important heads the earlier stays.
///
/// # When to use
/// To make encoders and decoders smaller and faster with ordinary dense kernels; together with `prune/neurons`, and
/// with training or distillation after both.
///
/// # When not to
/// Where few heads are left: each does more work then. After quantization, which leaves no float weights. MPNet's
/// layers share one bias a head, so that none of its heads can go. With `global`, layers come to have different numbers
/// of heads, which GGUF files do not hold.
///
/// # Parameters
/// Either `ratio`, the fraction of heads that goes (rounded to the nearest whole number), with `scope`: `per_site`
/// takes it from each layer, `global` ranks the heads of all targets together, each importance over the mean of its
/// layer, but for `taylor`, which is comparable from layer to layer as it is. Or `keep`, the number that stays in each
/// layer. `importance`: `magnitude` is the sum of |w| over the rows of query, key and value that make a head and needs
/// no data; `activation` is the mean absolute value of what the attention output reads of it, over `calibration_rows`
/// rows, drawn at random from the calibration part of the data, or from the training part where there is none; `taylor`
/// is the mean over the same rows of the squared change of the loss without the head, to the first order, and needs
/// labels, unless `answers` is `own`: then answers are drawn from what the model itself says, as in `prune/taylor`.
/// `round_to` rounds counts up to a multiple; at least one head always stays. With `reconstruct`, the matrices that
/// read what is removed are fitted anew to what stays, by least squares over the calibration rows, layer after layer,
/// so that their outputs move least.
///
/// # Cost and limits
/// One pass over the weights, and one of the calibration rows through the model for `activation` and `reconstruct`
/// each. A layer that has no more heads than are kept stays as it is; if that is so for all targets, the plan is
/// refused. With `global`, how much each layer loses is found by running, and the plan tells the size of equal shares.
///
/// # Source
/// Michel et al. 2019, "Are Sixteen Heads Really Better than One?", section 2.2, for heads as units; Muralidharan et
/// al. 2024, "Compact Language Models via Pruning and Knowledge Distillation", section 2.2, for `activation`; Molchanov
/// et al. 2019, "Importance Estimation for Neural Network Pruning", section 3, for `taylor`; He et al. 2017, "Channel
/// Pruning for Accelerating Very Deep Neural Networks", section 3.1, for `reconstruct`; Fang et al. 2023, "DepGraph:
/// Towards Any Structural Pruning", section 3.3, for importances over their mean.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeadsParameters {
    /// Fraction of heads that goes, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Fraction>,
    /// Whether heads compete over all targets or within each layer; goes with `ratio`. `per_site` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<SparsityScope>,
    /// Heads that stay in each layer. Instead of `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536), example = 8)]
    pub keep: Option<usize>,
    /// What makes a head important.
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
    #[schemars(range(min = 1, max = 1024), example = 2)]
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

impl HeadsParameters {
    fn structure(&self) -> Structure {
        let Self { ratio, scope, keep, importance, answers, reconstruct, round_to, calibration_rows } = *self;
        let kind = Kind { tables: &["heads", "kv_groups"], one: "head", lacking: "attention heads of its own" };
        let share = Share { ratio, scope, keep, round_to };
        Structure { kind, share, importance, answers, reconstruct, calibration_rows }
    }
}

/// The pass.
pub struct Heads;

impl Definition for Heads {
    type Parameters = HeadsParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/heads",
        summary: "remove the least important attention heads, so that matrices become smaller",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::Shapes],
    };

    fn check(parameters: &HeadsParameters) -> Vec<Problem> {
        parameters.structure().problems()
    }

    fn plan(parameters: &HeadsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.structure().plan(cx)
    }

    fn run(parameters: &HeadsParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        parameters.structure().run(cx, model)
    }
}

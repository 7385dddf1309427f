//! `prune/wanda`: the weights set to zero that matter least to what calibration inputs make of them.

use candle_core::Tensor;
use paring_model::{Checkpoint, Site, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calibrated::{Amount, Rule, Rules};
use super::lengths::Lengths;
use super::mask::{zero_least, zeros_of};
use super::owl::Owl;
use super::pattern::Pattern;
use super::told::{figures, refuse_everything, summarize};
use crate::calibration::Calibration;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::walk::{Figures, Group, Visitor, walk};
use crate::weights::FloatWeight;

/// Sets the weights to zero whose product with their calibration inputs is smallest, and keeps them there.
///
/// # What it does
/// The score of a weight is |w| times the length of its input over all calibration rows, sqrt(sum of x^2). Each output
/// channel loses the weights of its lowest scores: round(`sparsity` x inputs) of them, halves up; of equal scores the
/// earlier one goes first. Layers are worked on in the order in which they run, and each sees the inputs that the
/// layers before it make once they are pruned. The zeros become a mask: later training leaves them at zero, and
/// quantization represents them exactly. The other weights, biases and norms stay as they are.
///
/// # When to use
/// For language models and encoders that are not trained afterwards, or only briefly: where some inputs are far larger
/// than others, magnitude alone removes weights that matter.
///
/// # When not to
/// To make a dense multiplication faster by itself: zeros are multiplied as any other number, and stored as such unless
/// an export has a `layout` (`prune/neurons` removes rows and columns for good). After quantization, which leaves no
/// float weights.
///
/// # Parameters
/// Either `sparsity`, the fraction of each output channel's weights that are zero afterwards, or `pattern`, such as
/// `"2:4"`: at most 2 of each 4 consecutive inputs of an output channel are not zero. The height and width of a
/// convolution's kernel count as inputs, as in the flattened matrix. The pattern's group must divide the inputs of
/// every target. With `owl`, such as `owl: {}`, layers in which more weights stand out lose fewer: a weight stands out
/// when its score is more than `outlier` times the mean of its layer, and the sparsities of layers lie at most twice
/// `lambda` apart. `calibration_rows` are drawn at random.
///
/// # Cost and limits
/// One pass of the calibration rows through the model, and one more with `owl`. It holds one block of the model and the
/// calibration activations at one place. Each block is kept as it is done: a run that was cut off goes on after the
/// last one. Fewer than 8 rows, inputs that are not finite, and a layer that sees only zeros are refused. Lookup tables
/// multiply nothing and stay as they are.
///
/// # Source
/// Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models", section 3 and algorithm 1;
/// Yin et al. 2024, "Outlier Weighed Layerwise Sparsity (OWL)", section 3, for `owl`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WandaParameters {
    /// Fraction of each output channel's weights that are zero afterwards, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Fraction>,
    /// `n:m`: at most n of each m consecutive inputs of an output channel are not zero. Instead of `sparsity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Layers where more weights stand out lose fewer. Goes with `sparsity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owl: Option<Owl>,
    /// At most this many rows are looked at.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn rows() -> usize {
    128
}

/// Bytes that pruning holds for each weight of the largest site: before, after, and what candle makes of it.
const BYTES_PER_WEIGHT: usize = 4 + 4 + 4;

impl WandaParameters {
    fn amount(&self) -> Amount {
        Amount { sparsity: self.sparsity, pattern: self.pattern, owl: self.owl }
    }
}

/// The pass.
pub struct Wanda;

impl Definition for Wanda {
    type Parameters = WandaParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/wanda",
        summary: "set the weights to zero that matter least to their calibration inputs",
        version: 2,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[Leaves::Masks],
    };

    fn check(parameters: &WandaParameters) -> Vec<Problem> {
        parameters.amount().problems()
    }

    fn plan(parameters: &WandaParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.amount().plan(cx, parameters.calibration_rows, BYTES_PER_WEIGHT)
    }

    fn run(parameters: &WandaParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let rules = parameters.amount().rules(cx, &model, &calibration)?;
        let mut visitor = Scoring { rules, lengths: Lengths::default() };
        let (model, sites) = walk(cx, model, &calibration, &mut visitor)?;
        let mut receipt = Receipt { sites, ..Receipt::default() };
        summarize(&mut receipt);
        receipt.figures.insert("calibration_rows".to_owned(), calibration.rows as f64);
        Ok(Outcome { model, receipt })
    }
}

/// Sums up the squares of a group's inputs, then prunes its weights.
struct Scoring {
    rules: Rules,
    lengths: Lengths,
}

impl Visitor for Scoring {
    fn see(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError> {
        self.lengths.add(group, input)
    }

    fn settle(&mut self, group: &Group, model: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let lengths = self.lengths.take(group)?;
        group.sites.iter().map(|site| self.prune(model, site, &lengths)).collect()
    }
}

impl Scoring {
    fn prune(&self, model: &Checkpoint, site: &Site, lengths: &[f32]) -> Result<(Weight, Figures), PassError> {
        let weight = FloatWeight::read(model, site)?;
        let inputs = weight.inputs().max(1);
        // What a row is cut into, and how many weights of each part become zero.
        let (part, zeros) = match self.rules.of(&site.name) {
            Rule::Share(share) => (inputs, zeros_of(inputs, share)),
            Rule::Pattern(Pattern { keep, of }) => (of, of - keep),
        };
        let mut numbers = weight.numbers.clone();
        for row in numbers.chunks_mut(inputs) {
            let scores: Vec<f32> = row.iter().zip(lengths).map(|(weight, length)| weight.abs() * length).collect();
            for (weights, scores) in row.chunks_mut(part).zip(scores.chunks(part)) {
                zero_least(weights, scores, zeros);
            }
        }
        refuse_everything(site, &numbers)?;
        let figures = figures(&weight, &numbers);
        Ok((Weight::Dense { tensor: weight.tensor_of(numbers)?, masked: true }, figures))
    }
}

#[cfg(test)]
mod tests;

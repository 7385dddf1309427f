//! `prune/wanda`: the weights set to zero that matter least to what calibration inputs make of them.

use candle_core::{DType, Tensor};
use paring_data::Part;
use paring_model::{Checkpoint, Site, Weight, WeightOutline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amount;
use super::mask::{zero_least, zeros_of};
use super::pattern::Pattern;
use super::told::{figures, refuse_everything, summarize};
use crate::calibration::{self, Calibration, never_active, not_finite};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::walk::{Figures, Group, Visitor, columns, multiplying, untouched, walk};
use crate::weights::{self, FloatWeight};
use crate::wording::counted;

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
/// To make a file smaller or a dense multiplication faster by itself: zeros are stored and multiplied as any other
/// number (`prune/neurons` removes rows and columns for good). After quantization, which leaves no float weights.
///
/// # Parameters
/// Either `sparsity`, the fraction of each output channel's weights that are zero afterwards, or `pattern`, such as
/// `"2:4"`: at most 2 of each 4 consecutive inputs of an output channel are not zero. The height and width of a
/// convolution's kernel count as inputs, as in the flattened matrix. The pattern's group must divide the inputs of
/// every target. `calibration_rows` are drawn at random.
///
/// # Cost and limits
/// One pass of the calibration rows through the model. It holds one block of the model and the calibration activations
/// at one place. Each block is kept as it is done: a run that was cut off goes on after the last one. Fewer than 8
/// rows, inputs that are not finite, and a layer that sees only zeros are refused. Lookup tables multiply nothing and
/// stay as they are.
///
/// # Source
/// Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models", section 3 and algorithm 1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WandaParameters {
    /// Fraction of each output channel's weights that are zero afterwards, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Fraction>,
    /// `n:m`: at most n of each m consecutive inputs of an output channel are not zero. Instead of `sparsity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
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
    /// What a row of that many weights is cut into, and how many of each part become zero.
    fn parts(&self, inputs: usize) -> (usize, usize) {
        match (self.pattern, self.sparsity) {
            (Some(Pattern { keep, of }), _) => (of, of - keep),
            (None, sparsity) => (inputs, zeros_of(inputs, sparsity.map_or(0.0, Fraction::value))),
        }
    }
}

/// The pass.
pub struct Wanda;

impl Definition for Wanda {
    type Parameters = WandaParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/wanda",
        summary: "set the weights to zero that matter least to their calibration inputs",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[Leaves::Masks],
    };

    fn check(parameters: &WandaParameters) -> Vec<Problem> {
        amount::problems(parameters.sparsity, parameters.pattern)
    }

    fn plan(parameters: &WandaParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let sites = multiplying(cx.sites);
        let mut problems = weights::problems(&PlanCx { sites: &sites, ..*cx });
        problems.extend(calibration::problem(cx));
        problems.extend(sites.iter().filter_map(|site| misfit(parameters, cx, site)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        for site in &sites {
            if let Some(WeightOutline::Dense { shape, masked, .. }) = effect.outline.weights.get_mut(&site.weight()) {
                *masked = true;
                effect.memory = effect.memory.max((shape.iter().product::<usize>() * BYTES_PER_WEIGHT) as u64);
            }
            effect.touches.push(site.name.clone());
        }
        effect.skips = untouched(cx, "`prune/magnitude` prunes it");
        let rows = calibration::planned_rows(cx, parameters.calibration_rows);
        effect.notes.push(format!("inputs are those of {}", counted(rows, "calibration row")));
        effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        Ok(effect)
    }

    fn run(parameters: &WandaParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let mut visitor = Scoring { parameters, squares: Vec::new() };
        let (model, sites) = walk(cx, model, &calibration, &mut visitor)?;
        let mut receipt = Receipt { sites, ..Receipt::default() };
        summarize(&mut receipt);
        receipt.figures.insert("calibration_rows".to_owned(), calibration.rows as f64);
        Ok(Outcome { model, receipt })
    }
}

/// Why a target does not fit the pattern, or would lose every weight.
fn misfit(parameters: &WandaParameters, cx: &PlanCx<'_>, site: &Site) -> Option<Problem> {
    let inputs = weights::inputs(weights::shape(cx, site));
    match (parameters.pattern, parameters.sparsity) {
        (Some(pattern), _) => amount::uneven(cx, site, pattern),
        (None, Some(sparsity)) if zeros_of(inputs, sparsity.value()) == inputs => {
            let (sparsity, name) = (sparsity.value(), &site.name);
            let message = format!("is `{sparsity}`, which leaves none of the {inputs} inputs of `{name}`");
            Some(Problem::new("/sparsity", message))
        }
        _ => None,
    }
}

/// Sums up the squares of a group's inputs, then prunes its weights.
struct Scoring<'a> {
    parameters: &'a WandaParameters,
    squares: Vec<f64>,
}

impl Visitor for Scoring<'_> {
    fn see(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError> {
        let squares = columns(group, input)?.to_dtype(DType::F32)?.sqr()?.sum(0)?.to_vec1::<f32>()?;
        self.squares.resize(squares.len(), 0.0);
        self.squares.iter_mut().zip(squares).for_each(|(sum, square)| *sum += f64::from(square));
        Ok(())
    }

    fn settle(&mut self, group: &Group, model: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let squares = std::mem::take(&mut self.squares);
        let name = group.sites.first().map(|site| site.name.as_str()).unwrap_or_default();
        if squares.iter().any(|square| !square.is_finite()) {
            return Err(not_finite(name));
        }
        if squares.iter().all(|square| *square == 0.0) {
            return Err(never_active(name));
        }
        let lengths: Vec<f32> = squares.iter().map(|square| square.sqrt() as f32).collect();
        group.sites.iter().map(|site| self.prune(model, site, &lengths)).collect()
    }
}

impl Scoring<'_> {
    fn prune(&self, model: &Checkpoint, site: &Site, lengths: &[f32]) -> Result<(Weight, Figures), PassError> {
        let weight = FloatWeight::read(model, site)?;
        let (part, zeros) = self.parameters.parts(weight.inputs());
        let mut numbers = weight.numbers.clone();
        for row in numbers.chunks_mut(weight.inputs().max(1)) {
            let scores: Vec<f32> = row.iter().zip(lengths).map(|(weight, length)| weight.abs() * length).collect();
            for (weights, scores) in row.chunks_mut(part.max(1)).zip(scores.chunks(part.max(1))) {
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

//! `prune/magnitude`: the smallest weights set to zero.

mod ratios;

use paring_model::{Checkpoint, Site, Weight, WeightOutline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amount;
use super::mask::{count_zeros, zero_pattern, zero_smallest, zeros_of};
use super::pattern::Pattern;
use super::told::{figures, refuse_everything, summarize};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::weights::{self, FloatWeight};
use ratios::{erk, zero_by_lamp};

/// Sets the weights of least magnitude to zero and keeps them there.
///
/// # What it does
/// Ranks weights by |w| and sets the smallest to zero: round(`sparsity` x weights) of them, halves up. Of equal weights
/// the earlier one goes first, so the count is exact. Zeros that are there already are the smallest and count. The
/// zeros become a mask: later training leaves them at zero, and quantization represents them exactly. Biases and norms
/// are not pruned.
///
/// # When to use
/// Before fine-tuning, which recovers most of what is lost. For more than about half of the weights, prune in two or
/// three stages with training between them.
///
/// # When not to
/// To make a dense multiplication faster by itself: zeros are multiplied as any other number, and stored as such unless
/// an export has a `layout` (`prune/neurons` removes rows and columns for good). After quantization, which leaves no
/// float weights.
///
/// # Parameters
/// Either `sparsity`, the fraction of weights that are zero afterwards, with `scope`: `global` ranks the weights of all
/// targets together, so that layers with small weights lose more; `per_site` takes the same fraction of each; `erk`
/// takes fewer from small layers, by the sum of their dimensions over the product; `lamp` ranks the weights of all
/// targets together, each by its square over the sum of the squares of the weights of its layer that are no smaller. Or
/// `pattern`, such as `"2:4"`: at most 2 of each 4 consecutive inputs of an output channel are not zero, the form that
/// sparse matrix units run. The height and width of a convolution's kernel count as inputs, as in the flattened matrix.
/// The pattern's group must divide the inputs of every target.
///
/// # Cost and limits
/// Linear in the number of weights; all targeted weights are held at once, 12 bytes each. A target that would lose all
/// its weights is refused, for nothing would pass through it. So is a run that changes no weight.
///
/// # Source
/// Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 3; Mishra et al.
/// 2021, "Accelerating Sparse Deep Neural Networks", for patterns; Evci et al. 2020, "Rigging the Lottery", section 3,
/// for `erk`; Lee et al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning", section 3.1, for `lamp`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MagnitudeParameters {
    /// Fraction of the targeted weights that are zero afterwards, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Fraction>,
    /// Whether weights compete over all targets or within each; goes with `sparsity`. `global` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// `n:m`: at most n of each m consecutive inputs of an output channel are not zero. Instead of `sparsity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
}

/// Bytes that pruning holds for each targeted weight: before, after, and for the ranking.
const BYTES_PER_WEIGHT: usize = 4 + 4 + 4;

/// Which weights compete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those of all targets.
    #[default]
    Global,
    /// Those of one target.
    PerSite,
    /// Those of one target; how many of them go follows from its shape.
    Erk,
    /// Those of all targets, each by its share of the squares of its target's weights that are no smaller.
    Lamp,
}

/// What is to be done, once the parameters are known to go together.
enum Rule {
    Global(f64),
    PerSite(f64),
    Erk(f64),
    Lamp(f64),
    Pattern(Pattern),
}

impl MagnitudeParameters {
    fn rule(&self) -> Option<Rule> {
        match (self.sparsity, self.pattern) {
            (_, Some(pattern)) => Some(Rule::Pattern(pattern)),
            (Some(sparsity), None) => Some(match self.scope.unwrap_or_default() {
                Scope::Global => Rule::Global(sparsity.value()),
                Scope::PerSite => Rule::PerSite(sparsity.value()),
                Scope::Erk => Rule::Erk(sparsity.value()),
                Scope::Lamp => Rule::Lamp(sparsity.value()),
            }),
            (None, None) => None,
        }
    }
}

/// The pass.
pub struct Magnitude;

impl Definition for Magnitude {
    type Parameters = MagnitudeParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/magnitude",
        summary: "set the smallest weights to zero",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights],
        leaves: &[Leaves::Masks],
    };

    fn check(parameters: &MagnitudeParameters) -> Vec<Problem> {
        amount::problems_with_scope(parameters.sparsity, parameters.pattern, parameters.scope.is_some())
    }

    fn plan(parameters: &MagnitudeParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = weights::problems(cx);
        problems.extend(cx.sites.iter().filter_map(|site| misfit(parameters, cx, site)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        for site in cx.sites {
            if let Some(WeightOutline::Dense { shape, masked, .. }) = effect.outline.weights.get_mut(&site.weight()) {
                *masked = true;
                effect.memory += (shape.iter().product::<usize>() * BYTES_PER_WEIGHT) as u64;
            }
            effect.touches.push(site.name.clone());
        }
        effect.pattern = parameters.pattern;
        effect.skips = weights::untargeted(cx);
        Ok(effect)
    }

    fn run(parameters: &MagnitudeParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let before = cx.sites.iter().map(|site| FloatWeight::read(&model, site)).collect::<Result<Vec<_>, _>>()?;
        cx.check_cancelled()?;
        let after = prune(parameters, &before);
        refuse_nothing(&before, &after)?;
        let mut receipt = Receipt::default();
        for ((site, weight), numbers) in cx.sites.iter().zip(&before).zip(after) {
            refuse_everything(site, &numbers)?;
            receipt.sites.insert(site.name.clone(), figures(weight, &numbers));
            model.set_weight(&site.weight(), Weight::Dense { tensor: weight.tensor_of(numbers)?, masked: true });
        }
        summarize(&mut receipt);
        Ok(Outcome { model, receipt })
    }
}

/// Why a target does not fit the pattern, or would lose every weight.
fn misfit(parameters: &MagnitudeParameters, cx: &PlanCx<'_>, site: &Site) -> Option<Problem> {
    match (parameters.rule()?, parameters.sparsity) {
        (Rule::Pattern(pattern), _) => amount::uneven(cx, site, pattern),
        (Rule::PerSite(_), Some(sparsity)) => amount::all_gone(cx, site, sparsity),
        _ => None,
    }
}

fn prune(parameters: &MagnitudeParameters, before: &[FloatWeight]) -> Vec<Vec<f32>> {
    let mut after: Vec<Vec<f32>> = before.iter().map(|weight| weight.numbers.clone()).collect();
    let count = after.iter().map(Vec::len).sum();
    let each = |after: &mut [Vec<f32>], sparsities: Vec<f64>| {
        for (site, sparsity) in after.chunks_mut(1).zip(sparsities) {
            let count = site.iter().map(Vec::len).sum();
            zero_smallest(site, zeros_of(count, sparsity));
        }
    };
    match parameters.rule() {
        Some(Rule::Global(sparsity)) => zero_smallest(&mut after, zeros_of(count, sparsity)),
        Some(Rule::PerSite(sparsity)) => each(&mut after, vec![sparsity; before.len()]),
        Some(Rule::Erk(sparsity)) => {
            let shapes: Vec<&[usize]> = before.iter().map(|weight| weight.shape.as_slice()).collect();
            each(&mut after, erk(&shapes, sparsity));
        }
        Some(Rule::Lamp(sparsity)) => zero_by_lamp(&mut after, zeros_of(count, sparsity)),
        Some(Rule::Pattern(pattern)) => after.iter_mut().for_each(|site| zero_pattern(site, pattern.keep, pattern.of)),
        None => (),
    }
    after
}

fn refuse_nothing(before: &[FloatWeight], after: &[Vec<f32>]) -> Result<(), PassError> {
    if before.iter().zip(after).any(|(weight, numbers)| weight.numbers != *numbers) {
        return Ok(());
    }
    let zeros: usize = after.iter().map(|numbers| count_zeros(numbers)).sum();
    let count: usize = after.iter().map(Vec::len).sum();
    Err(PassError::Failed(format!("no weight changes: {zeros} of the {count} targeted weights are zero already")))
}

#[cfg(test)]
mod tests;

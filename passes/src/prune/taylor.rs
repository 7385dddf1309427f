//! `prune/taylor`: the weights without which the loss changes least, set to zero.

use candle_core::Tensor;
use paring_model::{Checkpoint, Site, Weight, WeightOutline};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::amount;
use super::gradients::{self, Answers, each_row};
use super::mask::{zero_least, zero_lowest, zeros_of};
use super::pattern::Pattern;
use super::told::{figures, refuse_everything, summarize};
use crate::calibration;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::weights::{self, FloatWeight};
use crate::wording::counted;

/// Sets the weights without which the loss changes least to zero, and keeps them there.
///
/// # What it does
/// Runs calibration rows through the model one by one, and takes the gradient of the loss of their answers with respect
/// to every targeted weight. A weight's score is the mean over rows of (weight times gradient) squared: the squared
/// change of the loss, to the first order, if the weight were zero. The weights of least score become zero:
/// round(`sparsity` x weights) of them, halves up; of equal scores the earlier weight goes first, so the count is
/// exact. Weights that are zero already go first and count. The zeros become a mask, which later stages keep.
///
/// # When to use
/// Before fine-tuning, where labels are there and magnitudes mislead: models that were trained for another task, and
/// layers of very different scale. For a text that is continued, the next tokens are the labels.
///
/// # When not to
/// For one-shot pruning of a language model without training after it: `prune/sparsegpt` and `prune/wanda` need no
/// gradients and lose less. After quantization, which leaves no float weights.
///
/// # Parameters
/// Either `sparsity`, the fraction of weights that are zero afterwards, with `scope`: `global` ranks the weights of all
/// targets together, `per_site` takes the same fraction of each. Or `pattern`, such as `"2:4"`: at most 2 of each 4
/// consecutive inputs of an output channel are not zero. Where `answers` is `own`, they are drawn from what the model
/// itself says (a class and a token by its probability, numbers and embeddings one more or one less than they are), so
/// that rows need no labels, and embeddings can be pruned: scores are then the Fisher information of a weight times its
/// square. `calibration_rows` are drawn at random from the calibration part of the data, or from the training part
/// where there is none; more of them make the scores steadier.
///
/// # Cost and limits
/// A forward and a backward pass for each row, about three times the cost of answering it. Beside the model its
/// gradients and the scores are in memory. A target that would lose all its weights is refused, and so is a run that
/// changes no weight.
///
/// # Source
/// Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", section 3, equations 7 and 8, for single
/// weights; Kunstner, Hennig & Balles 2019, "Limitations of the Empirical Fisher Approximation for Natural Gradient
/// Descent", section 2, for answers of the model's own.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaylorParameters {
    /// Fraction of the targeted weights that are zero afterwards, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<Fraction>,
    /// Whether weights compete over all targets or within each; goes with `sparsity`. `global` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<TaylorScope>,
    /// `n:m`: at most n of each m consecutive inputs of an output channel are not zero. Instead of `sparsity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Whose answers the loss is of: those of the `labels`, or the model's `own`.
    #[serde(default)]
    pub answers: Answers,
    /// At most this many rows are looked at.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

/// Which weights compete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaylorScope {
    /// Those of all targets.
    #[default]
    Global,
    /// Those of one target.
    PerSite,
}

fn rows() -> usize {
    256
}

/// Bytes that are held for each weight of the model: a copy, its gradient and the product of both; and for a target:
/// its score, and the numbers before and after.
const BYTES_PER_WEIGHT: u64 = 3 * 4 + 3 * 4;

/// The pass.
pub struct Taylor;

impl Definition for Taylor {
    type Parameters = TaylorParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/taylor",
        summary: "set the weights without which the loss changes least to zero",
        version: 1,
        needs: &[Needs::CalibrateRows, Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::Masks],
    };

    fn check(parameters: &TaylorParameters) -> Vec<Problem> {
        amount::problems_with_scope(parameters.sparsity, parameters.pattern, parameters.scope.is_some())
    }

    fn plan(parameters: &TaylorParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = weights::problems(cx);
        problems.extend(calibration::problem(cx));
        problems.extend(gradients::problem(cx, parameters.answers, ""));
        problems.extend(cx.sites.iter().filter_map(|site| misfit(parameters, cx, site)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        for site in cx.sites {
            if let Some(WeightOutline::Dense { masked, .. }) = effect.outline.weights.get_mut(&site.weight()) {
                *masked = true;
            }
            effect.touches.push(site.name.clone());
        }
        effect.memory = cx.outline.parameters().saturating_mul(BYTES_PER_WEIGHT);
        effect.pattern = parameters.pattern;
        effect.skips = weights::untargeted(cx);
        let rows = calibration::planned_rows(cx, parameters.calibration_rows);
        effect.notes.push(format!("gradients are those of {}", counted(rows, "calibration row")));
        effect.notes.extend(cx.stand_in_note(paring_data::Part::Calibrate));
        Ok(effect)
    }

    fn run(parameters: &TaylorParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let before = cx.sites.iter().map(|site| FloatWeight::read(&model, site)).collect::<Result<Vec<_>, _>>()?;
        let mut scores = scores(parameters, cx, &model)?;
        before.iter().zip(&mut scores).for_each(|(weight, scores)| rank_zeros_first(&weight.numbers, scores));
        let after = prune(parameters, &before, &scores);
        if before.iter().zip(&after).all(|(weight, numbers)| weight.numbers == *numbers) {
            let message = "no weight changes: those of least score are zero already";
            return Err(PassError::Failed(message.to_owned()));
        }
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
fn misfit(parameters: &TaylorParameters, cx: &PlanCx<'_>, site: &Site) -> Option<Problem> {
    match (parameters.pattern, parameters.sparsity) {
        (Some(pattern), _) => amount::uneven(cx, site, pattern),
        (None, Some(sparsity)) if parameters.scope == Some(TaylorScope::PerSite) => {
            amount::all_gone(cx, site, sparsity)
        }
        _ => None,
    }
}

/// The sum over rows of (weight times gradient) squared, for each weight of each target.
fn scores(parameters: &TaylorParameters, cx: &Cx<'_>, model: &Checkpoint) -> Result<Vec<Vec<f32>>, PassError> {
    let mut sums: Vec<Option<Tensor>> = vec![None; cx.sites.len()];
    let names: Vec<String> = cx.sites.iter().map(Site::weight).collect();
    each_row(cx, model, (parameters.calibration_rows, parameters.answers), &mut |_, name, products| {
        if let Some(index) = names.iter().position(|own| own == name) {
            let squares = products.sqr()?;
            sums[index] = Some(match sums[index].take() {
                Some(sum) => (sum + squares)?,
                None => squares,
            });
        }
        Ok(())
    })?;
    let read = |(sum, site): (Option<Tensor>, &Site)| -> Result<Vec<f32>, PassError> {
        let unused = || PassError::Failed(format!("the loss does not depend on `{}`", site.name));
        let scores = sum.ok_or_else(unused)?.flatten_all()?.to_vec1::<f32>()?;
        match scores.iter().all(|score| score.is_finite()) {
            true => Ok(scores),
            false => Err(PassError::Failed(format!("the gradients of `{}` are not finite", site.name))),
        }
    };
    sums.into_iter().zip(cx.sites).map(read).collect()
}

/// A weight that is zero already goes before one whose gradient was.
fn rank_zeros_first(numbers: &[f32], scores: &mut [f32]) {
    let zeros = numbers.iter().zip(scores).filter(|(number, _)| **number == 0.0);
    zeros.for_each(|(_, score)| *score = -1.0);
}

fn prune(parameters: &TaylorParameters, before: &[FloatWeight], scores: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut after: Vec<Vec<f32>> = before.iter().map(|weight| weight.numbers.clone()).collect();
    let share = parameters.sparsity.map_or(0.0, Fraction::value);
    match (parameters.pattern, parameters.scope.unwrap_or_default()) {
        (Some(Pattern { keep, of }), _) => {
            for (numbers, scores) in after.iter_mut().zip(scores) {
                for (numbers, scores) in numbers.chunks_mut(of).zip(scores.chunks(of)) {
                    zero_least(numbers, scores, of.saturating_sub(keep));
                }
            }
        }
        (None, TaylorScope::PerSite) => {
            for (numbers, scores) in after.iter_mut().zip(scores) {
                zero_least(numbers, scores, zeros_of(scores.len(), share));
            }
        }
        (None, TaylorScope::Global) => {
            let count = scores.iter().map(Vec::len).sum();
            zero_lowest(&mut after, scores, zeros_of(count, share));
        }
    }
    after
}

#[cfg(test)]
mod tests {
    use paring_model::{Checkpoint, Outputs, Weight};
    use serde_json::json;

    use super::Taylor;
    use crate::testing::{Bench, built, inputs, matrix, numbers};

    /// y = 2 a - b + 0.1 c, of which the answers are y + 1 in every row: the gradient is -2 times the input.
    fn model() -> Checkpoint {
        let number = Outputs::Regress { column: "label".to_owned(), mean: 0.0, scale: 1.0 };
        let mut model = built(&[], inputs(3), number);
        model.set_tensor("head.weight", matrix(&[&[2.0, -1.0, 0.1]]));
        model.set_tensor("head.bias", candle_core::Tensor::new(&[0.0_f32], &candle_core::Device::Cpu).unwrap());
        model
    }

    /// Mean of (weight x 2 x input)^2: 16 x 0.01, 4 x 4 and 0.04 x 100 (times 1): `a` hardly varies, `c` a lot.
    fn bench() -> Bench {
        let row = [0.1, 2.0, 10.0];
        let rows: Vec<&[f64]> = (0..8).map(|_| row.as_slice()).collect();
        let answer = 2.0 * 0.1 - 2.0 + 0.1 * 10.0 + 1.0;
        Bench::with_rows(numbers(&rows, &[answer; 8]))
    }

    fn weights(model: &Checkpoint) -> Vec<f32> {
        model.tensor("head.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn what_the_loss_needs_least_goes_first() {
        let run = |block| bench().run::<Taylor>(&block, &model()).unwrap();
        let one = run(json!({"sparsity": 0.34}));
        assert_eq!(weights(&one.model), [0.0, -1.0, 0.1]);
        assert!(matches!(one.model.weight("head.weight").unwrap(), Weight::Dense { masked: true, .. }));
        assert_eq!(one.receipt.summary, "1 of 3 weights are zero in 1 site");
        assert_eq!(weights(&run(json!({"sparsity": 0.67, "scope": "per_site"})).model), [0.0, -1.0, 0.0]);
        assert_eq!(weights(&run(json!({"pattern": "1:3"})).model), [0.0, -1.0, 0.0]);
    }

    /// Half of the rows are answered as the model answers them, so that their labels say nothing; of its own answers the
    /// gradient is twice the input, one way or the other, in every row.
    #[test]
    fn answers_of_its_own_need_no_labels() {
        let rows: [&[f64]; 2] = [&[10.0, 0.1, 0.1], &[0.1, 2.0, 10.0]];
        let rows: Vec<&[f64]> = rows.into_iter().cycle().take(8).collect();
        let answer = |row: &&[f64]| 2.0 * row[0] - row[1] + 0.1 * row[2] + f64::from(row[0] < 1.0);
        let bench = Bench::with_rows(numbers(&rows, &rows.iter().map(answer).collect::<Vec<_>>()));
        let pruned = |answers: &str| {
            let block = json!({"sparsity": 0.34, "answers": answers});
            weights(&bench.run::<Taylor>(&block, &model()).unwrap().model)
        };
        assert_eq!(pruned("labels"), [0.0, -1.0, 0.1]);
        assert_eq!(pruned("own"), [2.0, -1.0, 0.0]);
    }

    #[test]
    fn embeddings_have_no_labels() {
        let model = built(&[], inputs(3), Outputs::Embed { width: 2, pair: None, score: None });
        let problems = bench().plan::<Taylor>(&json!({"sparsity": 0.5}), &model).unwrap_err();
        assert_eq!(problems[0].message, "needs the gradients of a loss, but an embedding has no labels");
    }
}

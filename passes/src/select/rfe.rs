//! `select/rfe`: recursive feature elimination with a linear model.

use indexmap::IndexMap;
use paring_data::Targets;
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, InputStep};
use paring_train::linear::{LinearModel, fit_linear};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{change, features};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};

/// Drops, a few at a time, the features that a linear model can best do without.
///
/// # What it does
/// Fits a linear model to the training rows as the network sees them: logistic regression for classes, ridge regression
/// for numbers, until it has converged. The features with the smallest sum of squared coefficients over all classes go,
/// and the model is fitted again to the rest, until as many are left as shall be kept. The model still takes whole raw
/// rows. Where it is trained already, its first layer takes the dropped features to be at their training mean; a few
/// epochs of `train/fit` win back what that costs.
///
/// # When to use
/// Where many features say the same or nothing: fewer inputs make a smaller and often a better model.
///
/// # When not to
/// Without scaling: coefficients of features in different units cannot be compared (data are scaled unless the recipe
/// says `scale: none`). Where features matter only together, in ways that a linear model does not see.
///
/// # Parameters
/// `keep` is the number of features that stay; half of them where not given. `step` is how many go in each round; a
/// larger one is quicker and a little less careful. `c` is the inverse strength of the linear model's penalty: smaller
/// values shrink the coefficients of features that say the same, larger ones let a few stand out.
///
/// # Cost and limits
/// One fit for each round, each begun at the one before. Two thousand rows of 64 features take a few seconds. Works on
/// models that read a list of features, not on images.
///
/// # Source
/// Guyon et al. 2002, "Gene Selection for Cancer Classification using Support Vector Machines", section 4, with logistic
/// or ridge regression in place of the support vector machine; the same order as scikit-learn's `RFE`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RfeParameters {
    /// How many features stay. Half of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 32)]
    pub keep: Option<usize>,
    /// How many features go in each round.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub step: usize,
    /// Inverse strength of the linear model's penalty, above 0.
    #[serde(default = "one_float")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub c: f64,
}

fn one() -> usize {
    1
}

fn one_float() -> f64 {
    1.0
}

impl RfeParameters {
    fn kept(&self, width: usize) -> usize {
        self.keep.unwrap_or(width / 2)
    }
}

/// The pass.
pub struct Rfe;

impl Definition for Rfe {
    type Parameters = RfeParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/rfe",
        summary: "keep the features that a linear model can least do without",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &RfeParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = change::problems(cx);
        let width = change::width(cx.outline);
        let keep = parameters.kept(width);
        if width > 0 && !(1..width).contains(&keep) {
            let wanted = format!("1 (inclusive) to {width} (exclusive), the features that the model reads");
            problems.push(Problem::new("/keep", format!("is `{keep}`, expected a number from {wanted}")));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let outline = change::planned(cx.outline, InputStep::Select { keep: (0..keep).collect(), from: width });
        let rounds = (width - keep).div_ceil(parameters.step);
        let memory = cx.parts.map_or(0, |parts| parts.train.len() as u64).saturating_mul(width as u64 * 12);
        let notes = vec![format!("{keep} of {width} features stay, after {rounds} rounds")];
        Ok(Effect { memory, notes, ..Effect::same_shape(&outline) })
    }

    fn run(parameters: &RfeParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let (matrix, targets) = cx.training_features(&model)?;
        let classes = model.outputs().map_or(0, |outputs| outputs.width());
        let elimination = eliminate(parameters, cx, (&matrix, &targets), classes)?;
        let names = model.inputs().map(|inputs| inputs.feature_names()).unwrap_or_default();
        let receipt = elimination.receipt(&names);
        let step = InputStep::Select { keep: elimination.keep, from: matrix.columns };
        change::apply(&mut model, step, &features::means(&matrix))?;
        Ok(Outcome { model, receipt })
    }
}

/// What is left, and in which order the rest went.
struct Elimination {
    /// Features that stay, ascending.
    keep: Vec<usize>,
    /// Features that went, first to last, each with its round.
    gone: Vec<(usize, usize)>,
    /// Rounds.
    rounds: usize,
}

fn eliminate(
    parameters: &RfeParameters,
    cx: &Cx<'_>,
    (features, targets): (&Matrix, &Targets),
    classes: usize,
) -> Result<Elimination, PassError> {
    let width = features.columns;
    let wanted = parameters.kept(width).max(1);
    let mut left = Elimination { keep: (0..width).collect(), gone: Vec::new(), rounds: 0 };
    let mut start: Option<LinearModel> = None;
    while left.keep.len() > wanted {
        cx.check_cancelled()?;
        cx.services.progress(width - left.keep.len(), width - wanted, "features dropped");
        let matrix = features::keep(features, &left.keep);
        let model = fit_linear(&matrix, targets, classes, parameters.c, start.as_ref())?;
        let count = parameters.step.min(left.keep.len() - wanted);
        let worst = smallest(&model, left.keep.len(), count);
        start = Some(without(&model, left.keep.len(), &worst));
        left.rounds += 1;
        left.drop_all(&worst);
    }
    Ok(left)
}

/// Places of the `count` features with the smallest sums of squared coefficients; the earlier of equal ones.
fn smallest(model: &LinearModel, width: usize, count: usize) -> Vec<usize> {
    let mut scored: Vec<(f64, usize)> = (0..width).map(|place| (weight(model, width, place), place)).collect();
    scored.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    scored.into_iter().take(count).map(|(_, place)| place).collect()
}

fn weight(model: &LinearModel, width: usize, place: usize) -> f64 {
    model.coefficients.iter().skip(place).step_by(width.max(1)).map(|coefficient| coefficient * coefficient).sum()
}

/// The model over the features that are left: where the next fit begins.
fn without(model: &LinearModel, width: usize, places: &[usize]) -> LinearModel {
    let stays = |(index, _): &(usize, &f64)| !places.contains(&(index % width.max(1)));
    let coefficients = model.coefficients.iter().enumerate().filter(stays).map(|(_, &number)| number).collect();
    LinearModel { coefficients, ..model.clone() }
}

impl Elimination {
    fn drop_all(&mut self, places: &[usize]) {
        let features: Vec<usize> = places.iter().filter_map(|&place| self.keep.get(place).copied()).collect();
        self.keep.retain(|feature| !features.contains(feature));
        self.gone.extend(features.into_iter().map(|feature| (feature, self.rounds)));
    }

    /// 1 for what stays, 2 for what went last, and so on.
    fn rank(&self, feature: usize) -> usize {
        let round = self.gone.iter().find(|(gone, _)| *gone == feature).map(|(_, round)| *round);
        round.map_or(1, |round| self.rounds - round + 2)
    }

    fn receipt(&self, names: &[String]) -> Receipt {
        let name = |&feature: &usize| names.get(feature).cloned().unwrap_or_default();
        let rank = |(feature, name): (usize, &String)| {
            (name.clone(), IndexMap::from([("rank".to_owned(), self.rank(feature) as f64)]))
        };
        let gone: Vec<String> = self.gone.iter().map(|(feature, _)| name(feature)).collect();
        let kept: Vec<String> = self.keep.iter().map(name).collect();
        Receipt {
            summary: format!("kept {} of {} features", kept.len(), names.len()),
            sites: names.iter().enumerate().map(rank).collect(),
            figures: [("features", kept.len()), ("rounds", self.rounds)]
                .map(|(name, count)| (name.to_owned(), count as f64))
                .into(),
            details: IndexMap::from([("kept".to_owned(), json!(kept)), ("dropped".to_owned(), json!(gone))]),
            ..Receipt::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Rfe;
    use crate::testing::{Bench, built, classes, inputs, labels, numbers, unbuilt};

    /// The sign of x0 decides; the others say little.
    fn bench() -> Bench {
        let rows: [&[f64]; 6] = [
            &[1.0, 0.5, 0.2, 0.1],
            &[2.0, -0.5, -0.1, 0.3],
            &[3.0, 0.5, 0.1, -0.2],
            &[-1.0, -0.5, 0.3, 0.2],
            &[-2.0, 0.5, -0.3, -0.1],
            &[-3.0, -0.5, 0.0, 0.0],
        ];
        Bench::with_rows(classes(&rows, &["b", "b", "b", "a", "a", "a"]))
    }

    #[test]
    fn the_feature_that_decides_stays() {
        let model = unbuilt(&[2], inputs(4), labels(&["a", "b"]));
        let outcome = bench().run::<Rfe>(&json!({"keep": 1}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
        assert_eq!(outcome.receipt.figures["rounds"], 3.0);
        let ranks = outcome.receipt.sites.values().map(|feature| feature["rank"]);
        let mut ranks: Vec<f64> = ranks.collect();
        assert_eq!(ranks[0], 1.0);
        ranks.sort_by(f64::total_cmp);
        assert_eq!(ranks, [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_larger_step_takes_fewer_rounds_and_no_more_features() {
        let model = built(&[2], inputs(4), labels(&["a", "b"]));
        let outcome = bench().run::<Rfe>(&json!({"keep": 1, "step": 2}), &model).unwrap();
        assert_eq!(outcome.receipt.figures["rounds"], 2.0);
        assert_eq!(outcome.model.tensor("layers.0.weight").unwrap().dims(), [2, 1]);
    }

    #[test]
    fn numbers_are_ranked_by_ridge_regression() {
        let rows: [&[f64]; 4] = [&[1.0, 1.0], &[1.0, -1.0], &[-1.0, 1.0], &[-1.0, -1.0]];
        let bench = Bench::with_rows(numbers(&rows, &[3.0, 1.0, -1.0, -3.0]));
        let outputs = paring_model::Outputs::Regress { column: "label".to_owned(), mean: 0.0, scale: 1.0 };
        let outcome = bench.run::<Rfe>(&json!({}), &unbuilt(&[2], inputs(2), outputs)).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
    }

    #[test]
    fn keeping_everything_is_refused() {
        let model = unbuilt(&[2], inputs(4), labels(&["a", "b"]));
        let problems = bench().plan::<Rfe>(&json!({"keep": 4}), &model).unwrap_err();
        let expected =
            "is `4`, expected a number from 1 (inclusive) to 4 (exclusive), the features that the model reads";
        assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), ("/keep", expected));
    }
}

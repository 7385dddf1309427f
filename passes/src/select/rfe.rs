//! `select/rfe`: recursive feature elimination with a linear model.

use paring_model::Checkpoint;
use paring_statistics::elimination::{Settings, eliminate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

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
/// One fit for each round, each begun at the one before. Works on models that read a list of features, not on images.
///
/// # Source
/// Guyon et al. 2002, "Gene Selection for Cancer Classification using Support Vector Machines", section 4, with
/// logistic or ridge regression in place of the support vector machine; the same order as scikit-learn's `RFE`.
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

/// The pass.
pub struct Rfe;

impl Definition for Rfe {
    type Parameters = RfeParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/rfe",
        summary: "keep the features that a linear model can least do without",
        version: 2,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &RfeParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let width = change::width(cx.outline);
        let keep = subset::kept(parameters.keep, width);
        let effect = subset::plan(keep, 12, cx)?;
        let rounds = (width - keep).div_ceil(parameters.step);
        Ok(Effect { notes: vec![format!("{keep} of {width} features stay, after {rounds} rounds")], ..effect })
    }

    fn run(parameters: &RfeParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (table, answers) = features::with_answers(cx, &model)?;
        let keep = subset::kept(parameters.keep, table.columns);
        let settings = Settings { keep, step: parameters.step, c: parameters.c };
        let found = eliminate(&table, &answers, &settings, &mut features::tick(cx, "features dropped"))?;
        let ranks: Vec<f64> = (0..table.columns).map(|feature| found.rank(feature) as f64).collect();
        let mut receipt = subset::receipt(&model, &[("rank", ranks.as_slice())], &found.keep);
        receipt.figures.insert("rounds".to_owned(), found.rounds as f64);
        subset::finish(model, &table, found.keep, receipt)
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

//! `select/rfecv`: recursive feature elimination down to the number of features that does best on held-out rows.

use paring_model::Checkpoint;
use paring_statistics::elimination::{Settings, cross_validate, eliminate};
use paring_statistics::folds::folds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{change, features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Drops features as `select/rfe` does, and finds out how many to keep.
///
/// # What it does
/// Parts the training rows into folds. For each of them a linear model loses its least important features, round by
/// round, on the other folds' rows, and is judged on the fold held out after every round: by accuracy for classes, by
/// r2 for numbers. The number of features with the best mean wins, the smallest of equal ones, and features are
/// eliminated down to it on all training rows. The receipt ranks the features and has the score for every number of
/// them. The model still takes whole raw rows; where it is trained already, its first layer takes the dropped features
/// to be at their training mean.
///
/// # When to use
/// Where nobody knows how many features are needed.
///
/// # When not to
/// Where the number is given: `select/rfe` is quicker by the number of folds. Without scaling, and where features
/// matter only together: see there.
///
/// # Parameters
/// `least` is the fewest features that may be left. `step` is how many go in each round. `folds` are the parts of the
/// training rows, each held out once; every class needs two rows. `c` is the inverse strength of the linear model's
/// penalty.
///
/// # Cost and limits
/// As many times `select/rfe` down to `least` features as there are folds, and once more. How many features stay is
/// known when it has run; where all of them do best together it fails, for it would change nothing. Works on models
/// that read a list of features, not on images.
///
/// # Source
/// Guyon et al. 2002, "Gene Selection for Cancer Classification using Support Vector Machines", section 4; the same
/// choice as scikit-learn's `RFECV` with folds of rows in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RfecvParameters {
    /// The fewest features that may be left.
    #[serde(default = "one_feature")]
    #[schemars(range(min = 1))]
    pub least: usize,
    /// How many features go in each round.
    #[serde(default = "one_feature")]
    #[schemars(range(min = 1, max = 100_000))]
    pub step: usize,
    /// Folds of the training rows, each of which is held out once.
    #[serde(default = "five")]
    #[schemars(range(min = 2, max = 100))]
    pub folds: usize,
    /// Inverse strength of the linear model's penalty, above 0.
    #[serde(default = "one")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub c: f64,
}

fn one_feature() -> usize {
    1
}

fn five() -> usize {
    5
}

fn one() -> f64 {
    1.0
}

/// The pass.
pub struct Rfecv;

impl Definition for Rfecv {
    type Parameters = RfecvParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/rfecv",
        summary: "keep as many features as do best on held-out rows",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &RfecvParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let (width, least) = (change::width(cx.outline), parameters.least);
        if width > 0 && least >= width {
            let wanted = format!("1 (inclusive) to {width} (exclusive), the features that the model reads");
            return Err(vec![Problem::new("/least", format!("is `{least}`, expected a number from {wanted}"))]);
        }
        subset::plan_unknown(20, cx)
    }

    fn run(parameters: &RfecvParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (table, answers) = features::with_answers(cx, &model)?;
        let settings = Settings { keep: parameters.least, step: parameters.step, c: parameters.c };
        let folds = folds(&answers, parameters.folds)?;
        let mut tick = features::tick(cx, "features dropped in folds");
        let curve = cross_validate(&table, &answers, &settings, &folds, &mut tick)?;
        let means = curve.means();
        let keep = curve.best().unwrap_or(table.columns);
        let score =
            |count: usize| curve.counts.iter().zip(&means).find(|(known, _)| **known == count).map_or(0.0, |it| *it.1);
        if keep == table.columns {
            let message = format!("drops none of {keep} features: held-out rows are told best by all of them");
            return Err(PassError::Failed(message));
        }
        let settings = Settings { keep, ..settings };
        let found = eliminate(&table, &answers, &settings, &mut features::tick(cx, "features dropped"))?;
        let ranks: Vec<f64> = (0..table.columns).map(|feature| found.rank(feature) as f64).collect();
        let mut receipt = subset::receipt(&model, &[("rank", ranks.as_slice())], &found.keep);
        receipt.figures.insert("score".to_owned(), score(keep));
        receipt.figures.insert("score_of_all".to_owned(), score(table.columns));
        let points = curve.counts.iter().zip(&means).zip(&curve.scores);
        let points: Vec<Value> =
            points.map(|((count, mean), scores)| json!({ "features": count, "mean": mean, "folds": scores })).collect();
        receipt.details.insert("curve".to_owned(), json!(points));
        subset::finish(model, &table, found.keep, receipt)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Rfecv;
    use crate::testing::{Bench, classes, inputs, labels, unbuilt};

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
    fn as_many_features_stay_as_held_out_rows_need() {
        let model = unbuilt(&[2], inputs(4), labels(&["a", "b"]));
        let outcome = bench().run::<Rfecv>(&json!({"folds": 3}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
        assert_eq!(
            (outcome.receipt.figures["score"], outcome.receipt.details["curve"][3]["features"].clone()),
            (1.0, json!(1))
        );
        let problems = bench().plan::<Rfecv>(&json!({"least": 4}), &model).unwrap_err();
        assert_eq!(problems[0].pointer, "/least");
    }

    #[test]
    fn more_folds_than_rows_fail() {
        let model = unbuilt(&[2], inputs(4), labels(&["a", "b"]));
        let error = bench().run::<Rfecv>(&json!({"folds": 7}), &model).unwrap_err().to_string();
        assert_eq!(error, "6 rows cannot be parted into 7 folds");
    }
}

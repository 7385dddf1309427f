//! `select/sequential`: features come or go one at a time, by what a linear model does with them on held-out rows.

use paring_model::Checkpoint;
use paring_statistics::folds::folds;
use paring_statistics::sequential::{Direction as Towards, Move, Settings, search};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{change, features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Builds up, or takes down, the set of features one by one, each time by the best score on held-out rows.
///
/// # What it does
/// Parts the training rows into folds. Forward, it adds in each step the feature with which a linear model does best on
/// the rows held out (accuracy for classes, r2 for numbers; the mean over the folds); backward, it drops the one
/// without which it does best; until as many are left as shall be kept. Floating, after every step it takes back others
/// as long as that does better than any set of that size before. The receipt has every step with its score. The model
/// still takes whole raw rows; where it is trained already, its first layer takes the dropped features to be at their
/// training mean.
///
/// # When to use
/// Where a few of some dozens of features are wanted, and they matter together.
///
/// # When not to
/// With hundreds of features: it fits a model for every candidate in every step and fold. `select/rfe` fits one a step.
///
/// # Parameters
/// `keep` is the number of features that stay; half of them where not given. `direction` is `forward`, which is quicker
/// where few stay, or `backward`. `floating` lets it take back steps. `folds` are the parts of the training rows, each
/// held out once; every class needs two rows. `c` is the inverse strength of the linear model's penalty.
///
/// # Cost and limits
/// About features x steps x folds fits. Works on models that read a list of features, not on images.
///
/// # Source
/// Whitney 1971, "A Direct Method of Nonparametric Measurement Selection", forward; Marill and Green 1963, "On the
/// Effectiveness of Receptors in Recognition Systems", backward; Pudil, Novovicova and Kittler 1994, "Floating Search
/// Methods in Feature Selection". Without floating the choice of scikit-learn's `SequentialFeatureSelector`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequentialParameters {
    /// How many features stay. Half of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 32)]
    pub keep: Option<usize>,
    /// Whether features come or go.
    #[serde(default)]
    pub direction: Direction,
    /// Whether steps are taken back where that does better.
    #[serde(default)]
    pub floating: bool,
    /// Folds of the training rows, each of which is held out once.
    #[serde(default = "five")]
    #[schemars(range(min = 2, max = 100))]
    pub folds: usize,
    /// Inverse strength of the linear model's penalty, above 0.
    #[serde(default = "one")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub c: f64,
}

/// Whether features come or go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From none upwards.
    #[default]
    Forward,
    /// From all downwards.
    Backward,
}

fn five() -> usize {
    5
}

fn one() -> f64 {
    1.0
}

/// The pass.
pub struct Sequential;

impl Definition for Sequential {
    type Parameters = SequentialParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/sequential",
        summary: "add or drop features one by one, by the score on held-out rows",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &SequentialParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        subset::plan(subset::kept(parameters.keep, change::width(cx.outline)), 4 * (parameters.folds as u64 + 4), cx)
    }

    fn run(parameters: &SequentialParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (table, answers) = features::with_answers(cx, &model)?;
        let direction = match parameters.direction {
            Direction::Forward => Towards::Forward,
            Direction::Backward => Towards::Backward,
        };
        let keep = subset::kept(parameters.keep, table.columns);
        let settings = Settings { keep, direction, floating: parameters.floating, c: parameters.c };
        let folds = folds(&answers, parameters.folds)?;
        let found = search(&table, &answers, &settings, &folds, &mut features::tick(cx, "features settled"))?;
        let names = features::names(&model);
        let told = found.moves.iter().map(|step| {
            let Move { feature, came, score } = *step;
            json!({ "feature": names.get(feature), "came": came, "score": score })
        });
        let steps: Vec<Value> = told.collect();
        // The step at which a feature came or went for the last time.
        let last = |feature: usize| found.moves.iter().rposition(|step| step.feature == feature);
        let settled: Vec<f64> =
            (0..table.columns).map(|feature| last(feature).map_or(f64::NAN, |at| (at + 1) as f64)).collect();
        let mut receipt = subset::receipt(&model, &[("step", settled.as_slice())], &found.keep);
        receipt.figures.insert("score".to_owned(), found.moves.last().map_or(0.0, |step| step.score));
        receipt.details.insert("steps".to_owned(), json!(steps));
        subset::finish(model, &table, found.keep, receipt)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Sequential;
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
    fn the_feature_that_decides_stays() {
        let model = unbuilt(&[2], inputs(4), labels(&["a", "b"]));
        for parameters in [
            json!({"keep": 1, "folds": 3}),
            json!({"keep": 1, "folds": 3, "direction": "backward"}),
            json!({"keep": 1, "folds": 3, "direction": "backward", "floating": true}),
        ] {
            let outcome = bench().run::<Sequential>(&parameters, &model).unwrap();
            assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"], "{parameters}");
            assert_eq!(outcome.receipt.figures["score"], 1.0);
        }
    }
}

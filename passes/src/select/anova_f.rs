//! `select/anova-f`: the features whose means differ most between the classes stay.

use paring_model::Checkpoint;
use paring_statistics::anova::f_statistics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Keeps the features that tell the classes apart best, each looked at alone.
///
/// # What it does
/// Takes the F statistic of each feature over the training rows: how far the classes' means lie apart against how far
/// the rows of a class do; for numbers, that of a line through feature and target. The features with the largest stay.
/// The receipt ranks all with statistic and p-value. The model still takes whole raw rows; where it is trained already,
/// its first layer takes the dropped features to be at their training mean.
///
/// # When to use
/// First, where there are many features: it reads the rows once.
///
/// # When not to
/// Where features say the same (all of them stay), where they decide only together, or by other than their mean:
/// `select/rfe` and `select/mutual-information` see some of that.
///
/// # Parameters
/// `keep` is the number of features that stay; half of them where not given.
///
/// # Cost and limits
/// Three readings of the training rows. Scaling changes nothing. A feature that never changes has no statistic and
/// ranks last. Works on models that read a list of features, not on images.
///
/// # Source
/// Fisher 1925, "Statistical Methods for Research Workers", chapter VII; the choice of scikit-learn's `SelectKBest`
/// with `f_classif` or `f_regression`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnovaParameters {
    /// How many features stay. Half of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 32)]
    pub keep: Option<usize>,
}

/// The pass.
pub struct AnovaF;

impl Definition for AnovaF {
    type Parameters = AnovaParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/anova-f",
        summary: "keep the features whose means differ most between classes",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &AnovaParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        subset::plan(subset::kept(parameters.keep, change::width(cx.outline)), 4, cx)
    }

    fn run(parameters: &AnovaParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (table, answers) = features::with_answers(cx, &model)?;
        let scores = f_statistics(&table, &answers)?;
        let (values, p): (Vec<f64>, Vec<f64>) = scores.iter().map(|score| (score.value, score.p)).unzip();
        let order = subset::ranked(&values);
        let keep = subset::first(&order, subset::kept(parameters.keep, table.columns));
        let columns: [subset::Column<'_>; 3] =
            [("f", values.as_slice()), ("p_value", &p), ("rank", &subset::ranks(&order))];
        let receipt = subset::receipt(&model, &columns, &keep);
        subset::finish(model, &table, keep, receipt)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::AnovaF;
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
        let outcome = bench().run::<AnovaF>(&json!({"keep": 1}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
        // Means 2 and -2 of groups of three: F = 24 / (4 / 4).
        let first = &outcome.receipt.sites["x0"];
        assert!((first["f"] - 24.0).abs() < 1e-9 && first["p_value"] < 0.01 && first["rank"] == 1.0, "{first:?}");
    }
}

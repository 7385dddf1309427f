//! `select/correlation`: of features that go up and down together one stays.

use paring_model::Checkpoint;
use paring_statistics::correlation::{Correlation as Kind, correlations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Drops features that say what an earlier one says already.
///
/// # What it does
/// Goes through the features in their order, and drops each whose correlation with one that stays, whatever its sign,
/// is above a threshold over the training rows. The receipt names for every feature the largest correlation with one
/// that stays before it. The model still takes whole raw rows; where it is trained already, its first layer takes the
/// dropped features to be at their training mean.
///
/// # When to use
/// Before a selection that looks at features one at a time (`select/anova-f`, `select/mutual-information`), which would
/// keep all the copies.
///
/// # When not to
/// Where the order of columns means nothing and the choice between copies matters: `select/rfe` decides by what a model
/// makes of them.
///
/// # Parameters
/// `threshold` is the correlation above which the later of two features goes. `method` is `pearson`, of the numbers, or
/// `spearman`, of their ranks, which sees any relation in which one grows with the other.
///
/// # Cost and limits
/// Memory: the training rows and the correlations, 16 bytes for each pair of features. Features that never change are
/// correlated with none (`select/variance` drops them). How many features stay is known when it has run; dropping none
/// is a failure. Works on models that read a list of features, not on images.
///
/// # Source
/// Pearson 1895, "Notes on Regression and Inheritance in the Case of Two Parents"; Spearman 1904, "The Proof and
/// Measurement of Association between Two Things"; the rule of feature-engine's `DropCorrelatedFeatures`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrelationParameters {
    /// Correlation above which the later of two features goes, from 0 (inclusive) to 1 (exclusive), whatever its sign.
    #[serde(default = "nearly_one")]
    #[schemars(range(min = 0.0, max = 0.999_999))]
    pub threshold: f64,
    /// Which correlation.
    #[serde(default)]
    pub method: Method,
}

/// Which correlation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Of the numbers.
    #[default]
    Pearson,
    /// Of their ranks.
    Spearman,
}

fn nearly_one() -> f64 {
    0.95
}

/// The pass.
pub struct Correlation;

impl Definition for Correlation {
    type Parameters = CorrelationParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/correlation",
        summary: "drop features that go up and down with an earlier one",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(_: &CorrelationParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        subset::plan_unknown(12, cx)
    }

    fn run(parameters: &CorrelationParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let table = features::features(cx, &model)?;
        let kind = match parameters.method {
            Method::Pearson => Kind::Pearson,
            Method::Spearman => Kind::Spearman,
        };
        let matrix = correlations(&table, kind)?;
        let mut keep: Vec<usize> = Vec::new();
        let mut largest = Vec::with_capacity(table.columns);
        for feature in 0..table.columns {
            let most = keep.iter().map(|&other| matrix[(feature, other)].abs()).fold(0.0, f64::max);
            largest.push(most);
            if most <= parameters.threshold {
                keep.push(feature);
            }
        }
        if keep.len() == table.columns {
            let most = largest.iter().copied().fold(0.0, f64::max);
            let (count, threshold) = (table.columns, parameters.threshold);
            let message =
                format!("drops none of {count} features: the largest correlation is {most:.6}, not above {threshold}");
            return Err(PassError::Failed(message));
        }
        let receipt = subset::receipt(&model, &[("correlation", largest.as_slice())], &keep);
        subset::finish(model, &table, keep, receipt)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Correlation;
    use crate::testing::{Bench, classes, inputs, labels, unbuilt};

    /// x1 is minus x0, x2 its square: ranked alike, but 25 / sqrt(5 x 129), 0.984, in numbers.
    fn bench() -> Bench {
        let rows: [&[f64]; 4] = [&[1.0, -1.0, 1.0], &[2.0, -2.0, 4.0], &[3.0, -3.0, 9.0], &[4.0, -4.0, 16.0]];
        Bench::with_rows(classes(&rows, &["a", "b", "a", "b"]))
    }

    #[test]
    fn the_later_of_two_goes_whatever_the_sign() {
        let model = unbuilt(&[2], inputs(3), labels(&["a", "b"]));
        let kept = |parameters: serde_json::Value| {
            let outcome = bench().run::<Correlation>(&parameters, &model).unwrap();
            outcome.model.inputs().unwrap().feature_names()
        };
        assert_eq!(kept(json!({"threshold": 0.99})), ["x0", "x2"]);
        assert_eq!(kept(json!({"threshold": 0.98})), ["x0"]);
        assert_eq!(kept(json!({"threshold": 0.99, "method": "spearman"})), ["x0"]);
    }

    #[test]
    fn dropping_nothing_fails() {
        let model = unbuilt(&[2], inputs(2), labels(&["a", "b"]));
        let rows: [&[f64]; 4] = [&[1.0, 1.0], &[2.0, -1.0], &[1.0, -1.0], &[2.0, 1.0]];
        let bench = Bench::with_rows(classes(&rows, &["a", "b", "a", "b"]));
        let error = bench.run::<Correlation>(&json!({}), &model).unwrap_err().to_string();
        assert_eq!(error, "drops none of 2 features: the largest correlation is 0.000000, not above 0.95");
    }
}

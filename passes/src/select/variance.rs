//! `select/variance`: features that hardly vary go.

use paring_model::Checkpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Drops the features whose variance over the training rows is at most a threshold.
///
/// # What it does
/// Takes the population variance of each feature over the training rows, in the feature's own unit: before the scaling,
/// which would make all variances 1 (categories are 0 and 1; after a projection the components are what varies).
/// Features at or below the threshold are dropped from the model's inputs. The model still takes whole raw rows. Where
/// it is trained already, its first layer takes the dropped features to be at their training mean.
///
/// # When to use
/// First, to drop constant columns and near-constant ones; with the threshold 0 it costs nothing but what says nothing.
///
/// # When not to
/// Where features have different units: a variance in square metres and one in square dollars cannot share a threshold.
/// A feature that hardly varies may still decide: `select/rfe` looks at what a model makes of it.
///
/// # Parameters
/// `threshold` is in the square of the features' unit; features at or below it go. 0 drops constants only.
///
/// # Cost and limits
/// One pass over the training rows. How many features stay is known when it has run. Dropping none or all is a failure.
/// Works on models that read a list of features, not on images.
///
/// # Source
/// The rule of scikit-learn's `VarianceThreshold`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VarianceParameters {
    /// Variance at or below which a feature goes, 0 (inclusive) or more, in the square of the feature's unit.
    #[serde(default)]
    #[schemars(range(min = 0.0), example = 0.5)]
    pub threshold: f64,
}

/// The pass.
pub struct Variance;

impl Definition for Variance {
    type Parameters = VarianceParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/variance",
        summary: "drop features that hardly vary",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(_: &VarianceParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        subset::plan_unknown(4, cx)
    }

    fn run(parameters: &VarianceParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let variances = features::own_unit(cx, &model)?.variances();
        let keep = above(&variances, parameters.threshold)?;
        let receipt = subset::receipt(&model, &[("variance", variances.as_slice())], &keep);
        let training = features::features(cx, &model)?;
        subset::finish(model, &training, keep, receipt)
    }
}

/// The features above the threshold.
fn above(variances: &[f64], threshold: f64) -> Result<Vec<usize>, PassError> {
    let kept = |(index, &variance): (usize, &f64)| (variance > threshold).then_some(index);
    let keep: Vec<usize> = variances.iter().enumerate().filter_map(kept).collect();
    let smallest = variances.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = variances.iter().copied().fold(0.0, f64::max);
    let count = variances.len();
    if keep.len() == count {
        return Err(PassError::Failed(format!(
            "drops none of {count} features: the smallest variance is {smallest:.6}, above the threshold {threshold}"
        )));
    }
    if keep.is_empty() {
        return Err(PassError::Failed(format!(
            "drops all {count} features: the largest variance is {largest:.6}, not above the threshold {threshold}"
        )));
    }
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use paring_model::InputStep;
    use serde_json::json;

    use super::Variance;
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

    /// Variances 4, 0 and 0.25.
    fn bench() -> Bench {
        let rows: [&[f64]; 2] = [&[1.0, 5.0, 0.0], &[5.0, 5.0, 1.0]];
        Bench::with_rows(classes(&rows, &["a", "b"]))
    }

    #[test]
    fn variances_are_those_before_the_scaling() {
        let mut inputs = inputs(3);
        inputs.push(InputStep::Scale { mean: vec![3.0, 5.0, 0.5], scale: vec![2.0, 1.0, 0.5] });
        let model = unbuilt(&[2], inputs, labels(&["a", "b"]));
        let outcome = bench().run::<Variance>(&json!({"threshold": 0.25}), &model).unwrap();
        assert_eq!(outcome.receipt.summary, "kept 1 of 3 features");
        assert_eq!(outcome.receipt.sites["x2"]["variance"], 0.25);
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
        assert_eq!(outcome.model.config().unwrap().input, [1]);
    }

    #[test]
    fn dropping_a_constant_changes_no_answer() {
        let model = built(&[2], inputs(3), labels(&["a", "b"]));
        let bench = bench();
        let outcome = bench.run::<Variance>(&json!({}), &model).unwrap();
        let answers = |model: &paring_model::Checkpoint| {
            let (dataset, parts) = bench.data.as_ref().unwrap();
            let outputs = model.outputs().unwrap();
            let rows = paring_data::examples::examples(dataset, &parts.train, model, outputs).unwrap();
            model.predict(&rows.inputs, 8).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        for (before, after) in answers(&model).iter().zip(answers(&outcome.model)) {
            assert!((before - after).abs() < 1e-5, "{before} {after}");
        }
    }

    #[test]
    fn dropping_nothing_or_everything_fails() {
        let model = unbuilt(&[2], inputs(3), labels(&["a", "b"]));
        let fails = |threshold: f64, bench: Bench| {
            bench.run::<Variance>(&json!({ "threshold": threshold }), &model).unwrap_err().to_string()
        };
        assert_eq!(
            fails(4.0, bench()),
            "drops all 3 features: the largest variance is 4.000000, not above the threshold 4"
        );
        let varied = Bench::with_rows(classes(&[&[0.0, 0.0, 0.0], &[1.0, 2.0, 3.0]], &["a", "b"]));
        assert!(fails(0.0, varied).starts_with("drops none of 3 features: the smallest variance is 0.25"));
    }
}

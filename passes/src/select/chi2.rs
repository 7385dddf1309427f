//! `select/chi2`: the features whose sums are spread over the classes least as the rows are stay.

use paring_model::{Checkpoint, Outputs};
use paring_statistics::chi_squared::chi_squared;
use paring_statistics::{Answers, StatisticsError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Keeps the features whose occurrences depend most on the class: for counts, shares and one-hot categories.
///
/// # What it does
/// Sums each feature over the rows of each class, as it comes from the columns, before any scaling, and compares with
/// what the classes' sizes alone would give. The features with the largest chi-squared statistic stay. The receipt
/// ranks all with statistic and p-value. The model still takes whole raw rows; where it is trained already, its first
/// layer takes the dropped features to be at their training mean.
///
/// # When to use
/// On counts of words, on categories, on other numbers that add up.
///
/// # When not to
/// On measurements: the statistic grows with the unit, so that lengths in millimetres beat those in metres. There
/// `select/anova-f` asks the same question. Not for numbers as targets.
///
/// # Parameters
/// `keep` is the number of features that stay; half of them where not given.
///
/// # Cost and limits
/// Two readings of the training rows. A cell below zero is an error. Works on models that read a list of features, not
/// on images, and on classes.
///
/// # Source
/// Pearson 1900, "On the Criterion that a Given System of Deviations from the Probable..."; for the selection of
/// features Yang and Pedersen 1997, "A Comparative Study on Feature Selection in Text Categorization"; the choice of
/// scikit-learn's `SelectKBest` with `chi2`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chi2Parameters {
    /// How many features stay. Half of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 32)]
    pub keep: Option<usize>,
}

/// The pass.
pub struct Chi2;

impl Definition for Chi2 {
    type Parameters = Chi2Parameters;

    const INFO: PassInfo = PassInfo {
        id: "select/chi2",
        summary: "keep the features whose occurrences depend most on the class",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &Chi2Parameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        if let Some(Outputs::Regress { .. }) = cx.outline.outputs {
            let message = "needs classes, but the model tells numbers";
            return Err(vec![Problem::new("", message).help("use `select/anova-f` or `select/mutual-information`")]);
        }
        subset::plan(subset::kept(parameters.keep, change::width(cx.outline)), 8, cx)
    }

    fn run(parameters: &Chi2Parameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (table, answers) = features::with_answers(cx, &model)?;
        let Answers::Classes { numbers, count } = answers else {
            return Err(PassError::Failed("needs classes, but the model tells numbers".to_owned()));
        };
        let names = features::names(&model);
        let scores = chi_squared(&features::own_unit(cx, &model)?, &numbers, count);
        let scores = scores.map_err(|error| named(error, &names))?;
        let (values, p): (Vec<f64>, Vec<f64>) = scores.iter().map(|score| (score.value, score.p)).unzip();
        let order = subset::ranked(&values);
        let keep = subset::first(&order, subset::kept(parameters.keep, table.columns));
        let columns: [subset::Column<'_>; 3] =
            [("chi2", values.as_slice()), ("p_value", &p), ("rank", &subset::ranks(&order))];
        let receipt = subset::receipt(&model, &columns, &keep);
        subset::finish(model, &table, keep, receipt)
    }
}

fn named(error: StatisticsError, names: &[String]) -> PassError {
    let StatisticsError::Negative { feature, row, found } = error else { return error.into() };
    let name = names.get(feature.saturating_sub(1)).map_or("", String::as_str);
    PassError::Failed(format!(
        "feature `{name}` is `{found}` in training row {row}, expected counts or shares of 0 (inclusive) or more; \
         `select/anova-f` takes any numbers"
    ))
}

#[cfg(test)]
mod tests {
    use paring_model::InputStep;
    use serde_json::json;

    use super::Chi2;
    use crate::testing::{Bench, classes, inputs, labels, unbuilt};

    fn bench(cell: f64) -> Bench {
        let rows: [&[f64]; 4] = [&[1.0, 0.0, 3.0], &[2.0, 2.0, cell], &[1.0, 1.0, 3.0], &[0.0, 1.0, 3.0]];
        Bench::with_rows(classes(&rows, &["a", "a", "b", "b"]))
    }

    #[test]
    fn counts_are_those_before_the_scaling() {
        let mut inputs = inputs(3);
        inputs.push(InputStep::Scale { mean: vec![1.0, 1.0, 3.0], scale: vec![0.7, 0.7, 1.0] });
        let model = unbuilt(&[2], inputs, labels(&["a", "b"]));
        let outcome = bench(3.0).run::<Chi2>(&json!({"keep": 1}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
        let values = outcome.receipt.sites.values().map(|feature| feature["chi2"]).collect::<Vec<_>>();
        assert_eq!(values, [1.0, 0.0, 0.0]);
    }

    #[test]
    fn a_number_below_zero_is_named() {
        let model = unbuilt(&[2], inputs(3), labels(&["a", "b"]));
        let error = bench(-3.0).run::<Chi2>(&json!({}), &model).unwrap_err().to_string();
        assert!(error.starts_with("feature `x2` is `-3` in training row 2, expected counts"), "{error}");
    }
}

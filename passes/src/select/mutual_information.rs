//! `select/mutual-information`: the features that tell most about the answers stay.

use paring_model::Checkpoint;
use paring_statistics::information::mutual_information;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Keeps the features that tell most about the answers, each looked at alone, in whatever way they tell it.
///
/// # What it does
/// Estimates the mutual information of each feature with the class, or with the number, in nats, from how near the
/// training rows' nearest neighbours are. The features with the most stay, and the receipt ranks all. The model still
/// takes whole raw rows; where it is trained already, its first layer takes the dropped features to be at their
/// training mean.
///
/// # When to use
/// Where a feature may matter by other than its mean: in the middle against both ends, say.
///
/// # When not to
/// Where features say the same (all of them stay), or decide only together: `select/rfe` sees some of that.
///
/// # Parameters
/// `keep` is the number of features that stay; half of them where not given. `neighbours` is how many of them the
/// estimate looks at: more make it steadier, and blind to what happens in narrow places.
///
/// # Cost and limits
/// Sorting for each feature; with numbers as targets the time grows a little faster than the rows. Cells that occur
/// often are set apart by noise from the stage's own randomness, so that estimates of two features that tell about as
/// much may change places with the recipe's seed. Works on models that read a list of features, not on images.
///
/// # Source
/// Ross 2014, "Mutual Information between Discrete and Continuous Data Sets", equation 2, for classes; Kraskov,
/// Stoegbauer and Grassberger 2004, "Estimating Mutual Information", equation 8, for numbers; as scikit-learn's
/// `mutual_info_classif` and `mutual_info_regression`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MutualInformationParameters {
    /// How many features stay. Half of them by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 32)]
    pub keep: Option<usize>,
    /// Nearest neighbours that the estimate looks at.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 100))]
    pub neighbours: usize,
}

fn three() -> usize {
    3
}

/// The pass.
pub struct MutualInformation;

impl Definition for MutualInformation {
    type Parameters = MutualInformationParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/mutual-information",
        summary: "keep the features that tell most about the answers",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &MutualInformationParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        subset::plan(subset::kept(parameters.keep, change::width(cx.outline)), 12, cx)
    }

    fn run(parameters: &MutualInformationParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (table, answers) = features::with_answers(cx, &model)?;
        let mut noise = cx.stream.split("noise").rng();
        let values = mutual_information(&table, &answers, parameters.neighbours, &mut noise)?;
        let order = subset::ranked(&values);
        let keep = subset::first(&order, subset::kept(parameters.keep, table.columns));
        let columns: [subset::Column<'_>; 2] = [("information", values.as_slice()), ("rank", &subset::ranks(&order))];
        let receipt = subset::receipt(&model, &columns, &keep);
        subset::finish(model, &table, keep, receipt)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::MutualInformation;
    use crate::testing::{Bench, classes, inputs, labels, unbuilt};

    /// x1 is near zero for one class and far from it, on both sides, for the other: its mean says nothing.
    #[test]
    fn a_feature_that_tells_by_its_distance_stays() {
        let rows: Vec<[f64; 2]> = (0..40)
            .map(|row| {
                let small = f64::from(row % 5) / 10.0 - 0.2;
                let far = if row % 4 < 2 { 5.0 } else { -5.0 };
                [f64::from(row * 7 % 40), if row % 2 == 0 { small } else { far + small }]
            })
            .collect();
        let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
        let names: Vec<&str> = (0..40).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
        let model = unbuilt(&[2], inputs(2), labels(&["a", "b"]));
        let outcome = Bench::with_rows(classes(&rows, &names)).run::<MutualInformation>(&json!({}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x1"]);
        assert!(outcome.receipt.sites["x1"]["information"] > 0.5, "{:?}", outcome.receipt.sites);
    }
}

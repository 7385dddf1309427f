//! `select/l1`: the features to which a linear model with few coefficients gives one stay.

use paring_model::Checkpoint;
use paring_statistics::linear::fit_sparse;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Keeps the features that a linear model uses when every coefficient has its price.
///
/// # What it does
/// Fits a linear model to the training rows as the network sees them, logistic regression for classes, least squares
/// for numbers, with a penalty on the sum of the coefficients' sizes, under which most become exactly zero. Features
/// with a coefficient for any class stay. The receipt ranks all by the sum of theirs. The model still takes whole raw
/// rows; where it is trained already, its first layer takes the dropped features to be at their training mean.
///
/// # When to use
/// Where the number of features shall follow from what they are worth, and many of them say the same: one of those
/// stays.
///
/// # When not to
/// Without scaling: coefficients of features in different units cannot be compared (data are scaled unless the recipe
/// says `scale: none`). Where a fixed number shall stay: `select/rfe` takes one.
///
/// # Parameters
/// `c` is the inverse strength of the penalty: the smaller, the fewer features stay.
///
/// # Cost and limits
/// One fit of some hundreds to thousands of steps, each of which reads the training rows. How many features stay is
/// known when it has run; dropping none or all is a failure. Works on models that read a list of features, not
/// on images.
///
/// # Source
/// Tibshirani 1996, "Regression Shrinkage and Selection via the Lasso"; the choice of scikit-learn's `SelectFromModel`
/// with `LogisticRegression(l1_ratio=1, C=c)`, or `Lasso(alpha=1/(c n))` for n rows. Found by the algorithm of Beck and
/// Teboulle 2009, "A Fast Iterative Shrinkage-Thresholding Algorithm for Linear Inverse Problems".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct L1Parameters {
    /// Inverse strength of the penalty, above 0.
    #[serde(default = "tenth")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub c: f64,
}

fn tenth() -> f64 {
    0.1
}

/// The pass.
pub struct L1;

impl Definition for L1 {
    type Parameters = L1Parameters;

    const INFO: PassInfo = PassInfo {
        id: "select/l1",
        summary: "keep the features that a linear model with few coefficients uses",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(_: &L1Parameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        subset::plan_unknown(12, cx)
    }

    fn run(parameters: &L1Parameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (table, answers) = features::with_answers(cx, &model)?;
        let fitted = fit_sparse(&table, &answers, parameters.c)?;
        let size = |feature: usize| {
            let own = fitted.coefficients.iter().skip(feature).step_by(table.columns.max(1));
            own.map(|coefficient| coefficient.abs()).sum()
        };
        let sizes: Vec<f64> = (0..table.columns).map(size).collect();
        let keep: Vec<usize> =
            (0..table.columns).filter(|&feature| sizes.get(feature).is_some_and(|size| *size > 0.0)).collect();
        if keep.is_empty() || keep.len() == table.columns {
            let (what, how) = if keep.is_empty() { ("all", "raise") } else { ("none of", "lower") };
            let message = format!("drops {what} {} features with `c: {}`; {how} `c`", table.columns, parameters.c);
            return Err(PassError::Failed(message));
        }
        let ranks = subset::ranks(&subset::ranked(&sizes));
        let receipt = subset::receipt(&model, &[("coefficient", sizes.as_slice()), ("rank", ranks.as_slice())], &keep);
        subset::finish(model, &table, keep, receipt)
    }
}

#[cfg(test)]
mod tests {
    use paring_model::Outputs;
    use serde_json::json;

    use super::L1;
    use crate::testing::{Bench, inputs, numbers, unbuilt};

    /// The target is 2 x0 + x1 of features that have nothing to do with each other, so that each coefficient is shrunk
    /// by 1 / (c n), 0.25 / c: to 2 - 0.5 and 1 - 0.5 with c = 0.5, to 1 and 0 with c = 0.25.
    #[test]
    fn coefficients_shrink_by_the_penalty() {
        let rows: [&[f64]; 4] = [&[1.0, 1.0], &[1.0, -1.0], &[-1.0, 1.0], &[-1.0, -1.0]];
        let bench = Bench::with_rows(numbers(&rows, &[3.0, 1.0, -1.0, -3.0]));
        let outputs = Outputs::Regress { column: "label".to_owned(), mean: 0.0, scale: 1.0 };
        let model = unbuilt(&[2], inputs(2), outputs);
        let outcome = bench.run::<L1>(&json!({"c": 0.25}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
        assert!((outcome.receipt.sites["x0"]["coefficient"] - 1.0).abs() < 1e-6, "{:?}", outcome.receipt.sites);
        let fails = |c: f64| bench.run::<L1>(&json!({ "c": c }), &model).unwrap_err().to_string();
        assert_eq!(fails(0.5), "drops none of 2 features with `c: 0.5`; lower `c`");
        assert_eq!(fails(0.1), "drops all 2 features with `c: 0.1`; raise `c`");
    }
}

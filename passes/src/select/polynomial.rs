//! `select/polynomial`: products of features beside the features.

use indexmap::IndexMap;
use paring_model::{Checkpoint, InputStep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};

/// Adds the products of the features to them.
///
/// # What it does
/// From then on the model reads its features, and after them all products of up to `degree` of them, powers included.
/// The products are made of what the network sees, scaled if the features are, and the model still takes whole raw
/// rows. Where it is trained already, the products have weights of zero, so that no answer changes until it is trained
/// again.
///
/// # When to use
/// Before a small or a linear model, where features matter together; then a selection, which drops the products that
/// say nothing: `select/anova-f`, `select/l1`.
///
/// # When not to
/// With hundreds of features: their number grows with its power. Before a network that is wide enough to find out
/// itself.
///
/// # Parameters
/// `degree` is the most factors of a product. `interactions_only` leaves out products in which a feature occurs twice.
///
/// # Cost and limits
/// 64 features become 2,144 with `degree: 2`, and 45,760 more with 3. More than 100,000 are refused. Products differ in
/// size: `select/scale` with `method: standard` may follow. Works on models that read a list of features, not on
/// images.
///
/// # Source
/// As scikit-learn's `PolynomialFeatures` without its constant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolynomialParameters {
    /// Most factors of a product.
    #[serde(default = "two")]
    #[schemars(range(min = 2, max = 8))]
    pub degree: usize,
    /// Whether no feature is its own factor.
    #[serde(default)]
    pub interactions_only: bool,
}

fn two() -> usize {
    2
}

/// Most features that come out.
const MOST: usize = 100_000;

impl PolynomialParameters {
    fn step(&self, from: usize) -> InputStep {
        InputStep::Polynomial { degree: self.degree, interactions_only: self.interactions_only, from }
    }
}

/// The pass.
pub struct Polynomial;

impl Definition for Polynomial {
    type Parameters = PolynomialParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/polynomial",
        summary: "add the products of the features to them",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &PolynomialParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = change::problems(cx);
        let from = change::width(cx.outline);
        let width = parameters.step(from).width();
        if width > MOST {
            let message =
                format!("is `{}`, which makes {width} of {from} features, expected at most {MOST}", parameters.degree);
            problems.push(Problem::new("/degree", message).help("select features first, or lower it"));
        }
        if problems.is_empty() && width == from {
            problems.push(Problem::new("/interactions_only", "leaves no products of one feature"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let rows = cx.parts.map_or(0, |parts| parts.train.len()) as u64;
        let notes = vec![format!("{from} features become {width}")];
        let outline = change::planned(cx.outline, parameters.step(from));
        Ok(Effect { memory: rows.saturating_mul(4 * width as u64), notes, ..Effect::same_shape(&outline) })
    }

    fn run(parameters: &PolynomialParameters, _: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let from = features::inputs(&model)?.width();
        let step = parameters.step(from);
        let width = step.width();
        change::apply(&mut model, step, &vec![0.0; from])?;
        let receipt = Receipt {
            summary: format!("{from} features became {width}"),
            figures: IndexMap::from([("features".to_owned(), width as f64)]),
            ..Receipt::default()
        };
        Ok(Outcome { model, receipt })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Polynomial;
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

    fn bench() -> Bench {
        let rows: [&[f64]; 2] = [&[2.0, 3.0], &[-1.0, 5.0]];
        Bench::with_rows(classes(&rows, &["a", "b"]))
    }

    #[test]
    fn products_come_after_the_features() {
        let model = built(&[3], inputs(2), labels(&["a", "b"]));
        let outcome = bench().run::<Polynomial>(&json!({}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0", "x1", "x0^2", "x0 x1", "x1^2"]);
        let weight = outcome.model.tensor("layers.0.weight").unwrap().to_vec2::<f32>().unwrap();
        assert!(weight.iter().all(|row| row[2..] == [0.0; 3] && row[0] != 0.0), "{weight:?}");
    }

    #[test]
    fn too_many_products_are_refused() {
        let model = unbuilt(&[2], inputs(2), labels(&["a", "b"]));
        let problems =
            bench().plan::<Polynomial>(&json!({"degree": 8}), &unbuilt(&[2], inputs(30), labels(&["a", "b"])));
        assert!(problems.unwrap_err()[0].message.starts_with("is `8`, which makes 48903491 of 30 features"));
        assert!(bench().plan::<Polynomial>(&json!({"degree": 8}), &model).is_ok());
    }
}

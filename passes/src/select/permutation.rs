//! `select/permutation`: the features that a model misses once their cells are shuffled stay.

use paring_data::{Examples, Part};
use paring_model::{Checkpoint, Rows};
use paring_statistics::linear::{LinearModel, fit_linear};
use paring_statistics::permutation::{Settings, importances};
use paring_statistics::{Answers, Features};
use paring_train::metrics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{features, subset};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;

/// Keeps the features that a model needs on rows it was not trained on.
///
/// # What it does
/// Shuffles the cells of one feature at a time over the validation rows, several times, and looks at how far the
/// model's accuracy (for numbers, r2) falls: the model of the recipe where it is trained already, else a linear model
/// fitted to the training rows. Features whose loss is surely above zero stay, or those with the largest. The receipt
/// ranks all, with the mean loss, its deviation and the lower end of its confidence interval. The model still takes
/// whole raw rows; its first layer takes the dropped features to be at their training mean.
///
/// # When to use
/// After training, to ask the model itself what it uses; a few epochs of `train/fit` follow.
///
/// # When not to
/// Where features say the same: each seems needless while the others are there, and all of them may go. Drop copies
/// with `select/correlation` first.
///
/// # Parameters
/// `keep` is the number of features that stay; where not given, those stay whose loss is above zero with the
/// `confidence`. `repeats` is how often each feature is shuffled. `c` is the inverse strength of the linear model's
/// penalty, where the recipe's model is not trained yet.
///
/// # Cost and limits
/// features x repeats predictions of all validation rows (the calibration rows where there are none). Where `keep` is
/// not given, how many features stay is known when it has run; dropping none or all is a failure. Works on models that
/// read a list of features, not on images.
///
/// # Source
/// Breiman 2001, "Random Forests", section 10; as scikit-learn's `permutation_importance`, with Student's interval of
/// the mean loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PermutationParameters {
    /// How many features stay. Those that are surely needed by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 32)]
    pub keep: Option<usize>,
    /// How often each feature is shuffled.
    #[serde(default = "ten")]
    #[schemars(range(min = 2, max = 10_000))]
    pub repeats: usize,
    /// How sure it must be that a feature is needed, from 0.5 (inclusive) to 1 (exclusive).
    #[serde(default = "sure")]
    #[schemars(range(min = 0.5, max = 0.999_999))]
    pub confidence: f64,
    /// Inverse strength of the linear model's penalty, above 0.
    #[serde(default = "one")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub c: f64,
}

fn ten() -> usize {
    10
}

fn sure() -> f64 {
    0.95
}

fn one() -> f64 {
    1.0
}

/// The pass.
pub struct Permutation;

impl Definition for Permutation {
    type Parameters = PermutationParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/permutation",
        summary: "keep the features that a model misses on held-out rows",
        version: 1,
        needs: &[Needs::TrainRows, Needs::ValidateRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &PermutationParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let effect = match parameters.keep {
            Some(keep) => subset::plan(keep, 12, cx)?,
            None => subset::plan_unknown(12, cx)?,
        };
        let notes = effect.notes.iter().cloned().chain(cx.stand_in_note(Part::Validate)).collect();
        Ok(Effect { notes, ..effect })
    }

    fn run(parameters: &PermutationParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let (training, learned) = features::with_answers(cx, &model)?;
        let Examples { inputs, targets } = cx.required_examples(Part::Validate, &model)?;
        let Rows::Features(held_out) = inputs else {
            return Err(PassError::Failed("the model reads texts, expected columns of features".to_owned()));
        };
        let (held_out, asked) = (features::table(held_out), features::answers(targets, &model)?);
        let linear = if model.is_built() { None } else { Some(fit_linear(&training, &learned, parameters.c, None)?) };
        let mut score = |table: &Features| score(&model, linear.as_ref(), table, &asked);
        let settings = Settings { repeats: parameters.repeats, confidence: parameters.confidence };
        let mut rng = cx.stream.split("shuffles").rng();
        let mut tick = features::tick(cx, "features shuffled");
        let found = importances(&held_out, &settings, &mut rng, &mut tick, &mut score)?;
        let column =
            |pick: fn(&paring_statistics::permutation::Importance) -> f64| found.iter().map(pick).collect::<Vec<_>>();
        let (losses, deviations, low) = (column(|it| it.mean), column(|it| it.deviation), column(|it| it.low));
        let order = subset::ranked(&losses);
        let needed = |feature: &usize| low.get(*feature).is_some_and(|low| *low > 0.0);
        let keep = match parameters.keep {
            Some(keep) => subset::first(&order, keep),
            None => (0..losses.len()).filter(needed).collect(),
        };
        let ranks = subset::ranks(&order);
        let columns: [subset::Column<'_>; 4] =
            [("loss", losses.as_slice()), ("deviation", &deviations), ("surely_above", &low), ("rank", &ranks)];
        let mut receipt = subset::receipt(&model, &columns, &keep);
        receipt.figures.insert("score".to_owned(), score(&held_out)?);
        subset::finish(model, &training, keep, receipt)
    }
}

/// Accuracy or r2 of the linear model if there is one, else of the recipe's own.
fn score(
    model: &Checkpoint,
    linear: Option<&LinearModel>,
    table: &Features,
    asked: &Answers,
) -> Result<f64, PassError> {
    if let Some(linear) = linear {
        return Ok(linear.score(table, asked));
    }
    let rows = paring_model::inputs::Matrix { rows: table.rows, columns: table.columns, data: table.data.clone() };
    let outputs = model.predict(&rows.into(), 256)?;
    let told = outputs.flatten_all()?.to_vec1::<f32>()?;
    let wide = |numbers: &[f32]| numbers.iter().copied().map(f64::from).collect::<Vec<_>>();
    Ok(match asked {
        Answers::Classes { numbers, count } => metrics::accuracy(&metrics::most_likely(&told, *count), numbers)?,
        Answers::Numbers(values) => metrics::r2(&wide(&told), &wide(values))?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Permutation;
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

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
    fn only_the_feature_that_decides_is_surely_needed() {
        let model = unbuilt(&[2], inputs(4), labels(&["a", "b"]));
        let outcome = bench().run::<Permutation>(&json!({"repeats": 20}), &model).unwrap();
        assert_eq!(outcome.model.inputs().unwrap().feature_names(), ["x0"]);
        let first = &outcome.receipt.sites["x0"];
        assert!(first["loss"] > 0.2 && first["surely_above"] > 0.0 && first["rank"] == 1.0, "{first:?}");
        assert_eq!(outcome.receipt.figures["score"], 1.0);
    }

    #[test]
    fn a_trained_model_is_asked_itself() {
        let model = built(&[2], inputs(4), labels(&["a", "b"]));
        let outcome = bench().run::<Permutation>(&json!({"keep": 2}), &model).unwrap();
        assert_eq!(outcome.model.tensor("layers.0.weight").unwrap().dims(), [2, 2]);
        assert!(outcome.receipt.figures["score"] <= 1.0);
    }
}

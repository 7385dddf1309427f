//! `train/fit`: training on the labels.

use paring_data::Part;
use paring_model::{Checkpoint, Outline, families};
use paring_train::fit::{FitSettings, fit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;

/// Trains a model on the labels of the training rows: from nothing, or on from the weights that it has.
///
/// # What it does
/// A model from nothing gets its first weights, drawn by the recipe's seed. Then every weight is trained by gradient
/// descent: cross-entropy for classes, mean squared error (of standardized answers) for numbers, and for a model that
/// continues texts cross-entropy of every token after those before it in its window. The weights of a masked tensor
/// that are zero stay zero. With early stopping the weights of the best epoch are kept, without it those of the last.
///
/// # When to use
/// First, for a model from nothing; after pruning, to win back what was lost (a few epochs at a small learning rate).
///
/// # When not to
/// After quantization, which leaves no float weights. With a larger model to learn from, `distill/logits` usually ends
/// higher than the labels alone.
///
/// # Parameters
/// `epochs` over the training rows in batches of `batch_size`, with `optimizer` at the peak rate `learning_rate`. Rates
/// from 0.0003 to 0.01 suit `adamw`, from 0.01 to 0.3 `sgd`. `schedule` lowers the rate over the run, after
/// `warmup_epochs` of linear rise. `freeze` leaves weights as they are, and `learning_rates` gives some a peak rate of
/// their own (a new head learns faster than the layers below it): both name weights by globs. `accumulate` puts several
/// batches into one step. `dropout: false` turns off the dropout that a model names (`dropout` is on where nothing is
/// said). `clip_norm` bounds the gradient where training diverges. `early_stopping` ends a run that no longer improves.
/// `label_smoothing` and `class_weights` change the loss of a classifier: they are for labels that are sometimes wrong,
/// and for classes of very different size.
///
/// # Cost and limits
/// Memory: four times the weights, the training rows, and the activations of a batch. For a model that continues texts
/// a row is a window of tokens, each with a number for every token of the vocabulary: let `batch_size` be small. A loss
/// that is not a number, or grows ten-thousandfold, fails the stage.
///
/// # Source
/// Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, for the optimizer by default; He et
/// al. 2015, "Delving Deep into Rectifiers", section 2.2, for the first weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FitParameters {
    /// The training run.
    #[serde(flatten)]
    pub settings: FitSettings,
}

/// The pass.
pub struct Fit;

impl Definition for Fit {
    type Parameters = FitParameters;

    const INFO: PassInfo = PassInfo {
        id: "train/fit",
        summary: "train on the labels, from nothing or on from the present weights",
        version: 2,
        needs: &[Needs::TrainRows, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::BuiltModel],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &FitParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = training::problems(&parameters.settings, cx);
        if let Some(name) = training::quantized(cx.outline) {
            let message = format!("tensor `{name}` is quantized, expected float weights");
            problems.push(Problem::new("", message).help("train before the weights are quantized"));
        }
        problems.extend(training::task_problem(&parameters.settings, cx.outline));
        let outline = trained(cx.outline).map_err(|problem| problems.push(problem)).ok();
        problems.extend(outline.iter().flat_map(|outline| training::glob_problems(&parameters.settings, outline)));
        let Some(outline) = outline.filter(|_| problems.is_empty()) else { return Err(problems) };
        let touches = outline.sites().unwrap_or_default().into_iter().map(|site| site.name).collect();
        let memory = training::memory(&outline, cx);
        let notes = training::notes(&parameters.settings, cx);
        Ok(Effect { touches, memory, notes, ..Effect::same_shape(&outline) })
    }

    fn run(parameters: &FitParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let mut model = if model.is_built() { model } else { first_weights(cx, &model)? };
        let rows = cx.required_examples(Part::Train, &model)?;
        let judges = cx.examples(Part::Validate, &model)?;
        let stream = cx.stream.split("fit");
        let report = fit(&mut model, &rows, judges.as_ref(), None, &parameters.settings, &stream, &mut cx.watch())?;
        Ok(Outcome { model, receipt: training::receipt(&report) })
    }
}

/// The outline once trained: a model from nothing has weights then.
fn trained(outline: &Outline) -> Result<Outline, Problem> {
    let Some(config) = &outline.config else {
        return Err(Problem::new("", "the model has no known family, so it cannot be trained"));
    };
    if outline.built {
        return Ok(outline.clone());
    }
    let (Some(inputs), Some(outputs)) = (&outline.inputs, &outline.outputs) else {
        return Err(Problem::new("", "a model from nothing needs data to know its inputs and outputs"));
    };
    families::blueprint(&config.spec, inputs, outputs).map_err(|error| Problem::new("", error.to_string()))
}

fn first_weights(cx: &Cx<'_>, model: &Checkpoint) -> Result<Checkpoint, PassError> {
    match (model.config(), model.inputs(), model.outputs()) {
        (Some(config), Some(inputs), Some(outputs)) => {
            training::initialize(&config.spec, inputs, outputs, &cx.stream.split("weights"))
        }
        _ => Err(PassError::Failed("the model does not say what it is built of".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use paring_model::Outputs;
    use serde_json::json;

    use super::Fit;
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

    /// Two classes on either side of the line x0 = x1.
    fn bench() -> Bench {
        let rows: [&[f64]; 6] = [&[2.0, 0.0], &[3.0, 1.0], &[1.0, -1.0], &[0.0, 2.0], &[1.0, 3.0], &[-1.0, 1.0]];
        Bench::with_rows(classes(&rows, &["right", "right", "right", "left", "left", "left"]))
    }

    #[test]
    fn a_model_from_nothing_learns_the_classes() {
        let bench = bench();
        let model = unbuilt(&[], inputs(2), labels(&["left", "right"]));
        let block = json!({"epochs": 60, "batch_size": 3, "learning_rate": 0.1});
        let outcome = bench.run::<Fit>(&block, &model).unwrap();
        assert_eq!(outcome.receipt.figures["steps"], 120.0);
        assert!(outcome.receipt.figures["train_loss"] < 0.1, "{:?}", outcome.receipt);
    }

    #[test]
    fn the_same_seed_gives_the_same_weights() {
        let weights = || {
            let model = unbuilt(&[3], inputs(2), labels(&["left", "right"]));
            let outcome = bench().run::<Fit>(&json!({"epochs": 2}), &model).unwrap();
            outcome.model.tensor("head.weight").unwrap().to_vec2::<f32>().unwrap()
        };
        assert_eq!(weights(), weights());
    }

    #[test]
    fn a_built_model_trains_on() {
        let model = built(&[3], inputs(2), labels(&["left", "right"]));
        let outcome = bench().run::<Fit>(&json!({"epochs": 1}), &model).unwrap();
        let numbers = |name, model: &paring_model::Checkpoint| model.tensor(name).unwrap().to_vec2::<f32>().unwrap();
        assert_ne!(numbers("head.weight", &outcome.model), numbers("head.weight", &model));
    }

    #[test]
    fn problems_are_found_before_any_work() {
        let model = unbuilt(&[3], inputs(2), labels(&["left", "right"]));
        let problems = Bench::empty().plan::<Fit>(&json!({"early_stopping": 3}), &model).unwrap_err();
        let found: Vec<_> = problems.iter().map(|p| (p.pointer.as_str(), p.message.as_str())).collect();
        assert_eq!(found[0], ("", "needs training rows, and the recipe has none"));
        assert_eq!(found[1].0, "/early_stopping");
    }

    #[test]
    fn tasks_that_do_not_suit_are_refused() {
        let plan = |block, outputs| {
            let problems = bench().plan::<Fit>(&block, &built(&[3], inputs(2), outputs)).unwrap_err();
            problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect::<Vec<_>>()
        };
        let expected = [(String::new(), "an embedding has no answers to learn from".to_owned())];
        assert_eq!(plan(json!({}), Outputs::Embed { width: 2, pair: None, score: None }), expected);
        let number = Outputs::Regress { column: "y".to_owned(), mean: 0.0, scale: 1.0 };
        let expected = [("/class_weights".to_owned(), "weights classes, but the task has none".to_owned())];
        assert_eq!(plan(json!({"class_weights": "balanced"}), number), expected);
    }

    #[test]
    fn ctrl_c_ends_the_run() {
        let bench = bench();
        bench.services.cancelled.set(true);
        let model = unbuilt(&[3], inputs(2), labels(&["left", "right"]));
        let error = bench.run::<Fit>(&json!({}), &model).unwrap_err();
        assert!(matches!(error, crate::error::PassError::Interrupted), "{error}");
    }
}

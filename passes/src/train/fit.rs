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
/// said). `clip_norm` bounds the gradient where training diverges. `early_stopping` ends a run that no longer improves,
/// by the loss or by the measure that `monitor` names. `ema_decay` keeps a moving average of the weights. `budget` ends
/// a run by steps or time. `back_off` goes on at half the rate where the loss diverges. `checkpoint_steps` says how
/// often the run is saved, so that one that is killed goes on where it was. `group_by_length` spares the padding of
/// texts. `lora` trains narrow adapters in the place of the weights: less memory, and less to move, for large models.
/// They become part of the weights at the end. `gradual_pruning` sets the smallest weights to zero meanwhile, more and
/// more of them. `label_smoothing` and `class_weights` change the loss of a classifier: they are for labels that are
/// sometimes wrong, and for classes of very different size.
///
/// # Cost and limits
/// Memory: four times the weights, the training rows, and the activations of a batch. For a model that continues texts
/// a row is a window of tokens, each with a number for every token of the vocabulary: let `batch_size` be small. A loss
/// that is not a number, or grows ten-thousandfold, fails the stage, unless it may back off.
///
/// # Source
/// Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2, for the optimizer by default; Polyak
/// & Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging", for averages; Hu et al. 2022, "LoRA:
/// Low-Rank Adaptation of Large Language Models", section 4.1; Zhu & Gupta 2018, "To prune, or not to prune", section
/// 3, for pruning meanwhile; He et al. 2015, "Delving Deep into Rectifiers", section 2.2, for the first weights.
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
        Ok(training::effect(&parameters.settings, &outline, cx))
    }

    fn run(parameters: &FitParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let mut model = if model.is_built() { model } else { first_weights(cx, &model)? };
        let rows = cx.required_examples(Part::Train, &model)?;
        let judges = cx.examples(Part::Validate, &model)?;
        let stream = cx.stream.split("fit");
        let report = fit(
            &mut model,
            &rows,
            judges.as_ref(),
            None,
            &parameters.settings,
            &stream,
            &mut cx.watch(&parameters.settings),
        )?;
        Ok(Outcome { model, receipt: training::receipt(&parameters.settings, &report)? })
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
    fn settings_that_do_not_go_together_are_refused() {
        let found = |block| {
            let mut bench = bench();
            bench.measures = vec!["accuracy".to_owned(), "size".to_owned()];
            let model = unbuilt(&[3], inputs(2), labels(&["left", "right"]));
            let problems = bench.plan::<Fit>(&block, &model).unwrap_err();
            problems.into_iter().map(|problem| format!("{} {}", problem.pointer, problem.message)).collect::<Vec<_>>()
        };
        assert_eq!(found(json!({"monitor": "accuracy"})), ["/monitor goes with `early_stopping` only"]);
        let stopping = |name| json!({"early_stopping": 2, "monitor": name});
        assert_eq!(
            found(stopping("f1"))[0],
            "/monitor is `f1`, which is not among the recipe's measures (`accuracy`, `size`)"
        );
        assert_eq!(found(stopping("size"))[0], "/monitor is `size`, which does not tell how well the model does");
        let message = "/budget/time is `0s`, which leaves no time";
        assert_eq!(found(json!({"budget": {"time": "0s"}})), [message]);
        let message = "/group_by_length groups rows by length, but all rows of this model have one length";
        assert_eq!(found(json!({"group_by_length": true})), [message]);
    }

    #[test]
    fn early_stopping_asks_the_engine_for_the_measure_that_it_watches() {
        let mut bench = bench();
        bench.measures = vec!["accuracy".to_owned()];
        bench.services.measure = Some(Box::new(|model| f64::from(u8::from(model.is_built())) / 2.0));
        let (dataset, mut parts) = bench.data.take().unwrap();
        parts.validate = parts.train.clone();
        bench.data = Some((dataset, parts));
        let model = unbuilt(&[3], inputs(2), labels(&["left", "right"]));
        let block = json!({"epochs": 9, "early_stopping": 2, "monitor": "accuracy"});
        let receipt = bench.run::<Fit>(&block, &model).unwrap().receipt;
        // never better than in the first epoch
        assert_eq!((receipt.figures["epochs"], receipt.figures["best_epoch"]), (3.0, 1.0));
        assert_eq!(receipt.figures["validate_accuracy"], 0.5);
        assert_eq!(receipt.details["validate_accuracy"], json!([0.5, 0.5, 0.5]));
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

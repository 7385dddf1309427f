//! Passes that say they worked and did not, or did what they did not say: each is a failed run that leaves a report
//! and nothing else.

use candle_core::{DType, Device, Tensor};
use paring_engine::Ending;
use paring_model::config::{Activation, Spec};
use paring_model::{Checkpoint, InputStep, Outputs, WeightOutline};
use paring_passes::{Outcome, PassError, Receipt};

use crate::support::{Fake, Scene, codes, done, numbers, set, shift};

/// Runs an honest stage and then the liar: the run fails with this code and these words, and leaves a report of it.
fn caught(liar: &Fake, code: &str, words: &str) {
    let id = paring_passes::Pass::info(liar).id;
    let rest = format!(
        "stages:\n  - fake/shift: {{ by: 0.5 }}\n  - {{ id: lie, {id}: {{}} }}\nexport: [{{ safetensors: {{}} }}]\n"
    );
    let scene = Scene::new(&rest, &[liar, &shift()]);
    let result = scene.run();
    assert_eq!((result.ending, result.ending.exit_code()), (Ending::StageFailed, 1));
    assert_eq!(codes(&result.problems), [code]);
    assert_eq!(result.problems.list[0].message, format!("stage `lie`, pass `{id}` failed: {words}"));
    let last = result.report.stages.last().unwrap();
    assert_eq!((last.outcome.as_str(), last.failure.as_deref()), ("failed", Some(words)));
    assert_eq!(scene.names("out"), ["report.json", "timings.json"]);
    assert_eq!(scene.cache().entries().len(), 1, "the honest stage's result alone is cached");
    assert!(scene.unfinished().is_empty(), "{:?}", scene.unfinished());
}

fn tensor(values: &[f32], shape: (usize, usize)) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
}

#[test]
fn success_without_a_change() {
    let words = "it reports success but changed nothing: the model is the same as before";
    caught(&Fake::changing("fake/nothing", |_| ()), "E003", words);
    // Written anew, the same numbers are no change either.
    let same = |model: &mut Checkpoint| {
        let bias = numbers(model, "head.bias");
        set(model, "head.bias", &bias);
    };
    caught(&Fake::changing("fake/same", same), "E003", words);
}

#[test]
fn numbers_that_are_not_finite() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let pass = Fake::changing("fake/nan", move |model| set(model, "head.bias", &[value, 0.0]));
        caught(&pass, "E004", "tensor `head.bias` holds a value that is not finite");
        caught(&pass.unsure(), "E004", "tensor `head.bias` holds a value that is not finite");
    }
}

/// An honest stage masks two of four weights; the next one moves one of them, or takes the mask away.
#[test]
fn zeros_of_a_mask_that_move() {
    let mask = Fake::changing("fake/mask", |model| {
        set(model, "head.weight", &[0.0, 2.0, 0.0, 4.0]);
        model.set_masked("head.weight", true).unwrap();
    });
    let mask = mask.foresees(|_, outline| masked(outline, true));
    let moves = Fake::changing("fake/moves", |model| set(model, "head.weight", &[0.0, 2.0, 0.5, 4.0]));
    let takes = Fake::changing("fake/takes", |model| model.set_masked("head.weight", false).unwrap());
    let takes = takes.foresees(|_, outline| masked(outline, false));
    let keeps = Fake::changing("fake/keeps", |model| set(model, "head.weight", &[0.0, 7.0, 0.0, 4.0]));
    let run = |pass: &Fake| {
        let id = paring_passes::Pass::info(pass).id;
        let scene = Scene::new(&format!("stages: [{{ fake/mask: {{}} }}, {{ {id}: {{}} }}]\n"), &[&mask, pass]);
        let report = scene.run().report;
        report.stages.last().unwrap().failure.clone()
    };
    let words = "tensor `head.weight` has a mask, but 1 of the zeros that it keeps is none any more";
    assert_eq!(run(&moves).as_deref(), Some(words));
    assert_eq!(run(&takes).as_deref(), Some("tensor `head.weight` has a mask, but comes out without"));
    assert_eq!(run(&keeps), None);
    // A sweep leaves what one of its trials left, a new model among others.
    let sweep = takes.clone().needs(&[paring_passes::Needs::NestedStages]);
    let nested = "stages: [{ fake/mask: {} }, { fake/takes: {}, stages: [{ fake/keeps: {} }] }]\n";
    let report = Scene::new(nested, &[&mask, &sweep, &keeps]).run().report;
    assert_eq!(report.stages.last().unwrap().failure, None);
}

fn masked(outline: &mut paring_model::Outline, is: bool) {
    if let Some(WeightOutline::Dense { masked, .. }) = outline.weights.get_mut("head.weight") {
        *masked = is;
    }
}

#[test]
fn finite_numbers_that_overflow_when_the_model_runs() {
    let pass = Fake::changing("fake/huge", |model| {
        set(model, "layers.0.weight", &[3e38; 4]);
        set(model, "head.weight", &[3e38; 4]);
    });
    caught(&pass, "E004", "the model does not run any more: its outputs are not finite numbers");
}

#[test]
fn another_shape_than_planned() {
    let pass = Fake::changing("fake/grows", |model| model.set_tensor("head.weight", tensor(&[1.0; 6], (2, 3))));
    caught(&pass, "E004", "tensor `head.weight` is 2 x 3 F32, planned was 2 x 2 F32");
}

#[test]
fn another_type_or_mask_than_planned() {
    let half = |model: &mut Checkpoint| {
        let weight = model.tensor("head.weight").unwrap().to_dtype(DType::F16).unwrap();
        model.set_tensor("head.weight", weight);
    };
    let words = "tensor `head.weight` is 2 x 2 F16, planned was 2 x 2 F32";
    caught(&Fake::changing("fake/halves", half), "E004", words);
    let mask = |model: &mut Checkpoint| model.set_masked("head.weight", true).unwrap();
    let words = "tensor `head.weight` is 2 x 2 F32 masked, planned was 2 x 2 F32";
    caught(&Fake::changing("fake/masks", mask), "E004", words);
}

#[test]
fn a_tensor_too_few_or_too_many() {
    let drops = Fake::changing("fake/drops", |model| assert!(model.remove("head.bias")));
    caught(&drops, "E004", "tensor `head.bias` is missing");
    let adds = Fake::changing("fake/adds", |model| model.set_tensor("head.extra", tensor(&[1.0], (1, 1))));
    caught(&adds, "E004", "tensor `head.extra` was not planned");
    let renames = Fake::changing("fake/renames", |model| {
        let bias = model.tensor("head.bias").unwrap();
        model.remove("head.bias");
        model.set_tensor("tail.bias", bias);
    });
    caught(&renames, "E004", "tensor `head.bias` is missing");
}

#[test]
fn a_pass_that_is_not_sure_must_leave_a_model_that_runs_all_the_same() {
    let narrow = |model: &mut Checkpoint| model.set_tensor("head.weight", tensor(&[1.0; 6], (2, 3)));
    let scene = Scene::new("stages: [fake/narrow: {}]\n", &[&Fake::changing("fake/narrow", narrow).unsure()]);
    let result = scene.run();
    assert_eq!(codes(&result.problems), ["E004"]);
    let message = &result.problems.list[0].message;
    assert!(message.contains("the model does not run any more") && message.contains("head"), "{message}");
    let drops_all = |model: &mut Checkpoint| model.names().iter().for_each(|name| assert!(model.remove(name)));
    let words = "the model does not run any more: all of its tensors are gone";
    caught(&Fake::changing("fake/empties", drops_all).unsure(), "E004", words);
}

#[test]
fn settings_inputs_or_answers_that_were_not_planned() {
    let gelu = |model: &mut Checkpoint| {
        let mut config = model.config().unwrap().clone();
        let Spec::Mlp(spec) = &mut config.spec else { panic!("the scene's model is an mlp") };
        spec.activation = Activation::Gelu;
        model.set_config(config);
    };
    caught(&Fake::changing("fake/gelu", gelu), "E004", "the model's settings are not those that were planned");
    let scale = |model: &mut Checkpoint| {
        let mut inputs = model.inputs().unwrap().clone();
        inputs.push(InputStep::Scale { mean: vec![1.0; 2], scale: vec![2.0; 2] });
        model.set_inputs(inputs);
    };
    caught(&Fake::changing("fake/scale", scale), "E004", "the model reads rows otherwise than was planned");
    let swap_answers = |model: &mut Checkpoint| {
        let labels = vec!["b".to_owned(), "a".to_owned()];
        let outputs = Outputs::Classify { column: "label".to_owned(), labels };
        let spec = model.config().unwrap().spec.clone();
        let mut swapped = Checkpoint::unbuilt(spec, model.inputs().unwrap().clone(), outputs);
        for name in model.names() {
            swapped.set_tensor(&name, model.tensor(&name).unwrap());
        }
        *model = swapped;
    };
    caught(&Fake::changing("fake/swap", swap_answers), "E004", "the model gives answers otherwise than was planned");
}

/// A pass that changes the head's bias and has more to tell.
fn boasts(claim: impl Fn(&mut Receipt) + Send + Sync + 'static) -> Fake {
    Fake::new("fake/boasts", move |_, _, mut model| -> Result<Outcome, PassError> {
        set(&mut model, "head.bias", &[0.25, 0.0]);
        let mut outcome = done(model)?;
        claim(&mut outcome.receipt);
        Ok(outcome)
    })
}

#[test]
fn zeros_that_are_not_there() {
    let claim = |receipt: &mut Receipt| {
        receipt.sites.insert("layers.0".to_owned(), [("zeros".to_owned(), 3.0)].into_iter().collect());
    };
    let words = "the receipt says that tensor `layers.0.weight` holds 3 zeros, but it holds 2";
    caught(&boasts(claim), "E004", words);
}

#[test]
fn figures_that_are_no_numbers() {
    let of_stage = |receipt: &mut Receipt| {
        receipt.figures.insert("gain".to_owned(), f64::INFINITY);
    };
    caught(&boasts(of_stage), "E004", "figure `gain` of the receipt is not a finite number");
    let of_site = |receipt: &mut Receipt| {
        receipt.sites.insert("head".to_owned(), [("error".to_owned(), f64::NAN)].into_iter().collect());
    };
    caught(&boasts(of_site), "E004", "figure `error` of `head` of the receipt is not a finite number");
}

#[test]
fn a_weight_that_the_stage_was_to_leave_alone() {
    let greedy = Fake::changing("fake/greedy", |model| {
        set(model, "layers.0.weight", &[2.0, 0.0, 0.0, 1.0]);
        set(model, "head.weight", &[2.0, 0.0, 0.0, 1.0]);
    });
    let scene = Scene::new("stages: [{ fake/greedy: {}, ignore: [head] }]\n", &[&greedy]);
    let result = scene.run();
    assert_eq!(codes(&result.problems), ["E004"]);
    let words = "tensor `head.weight` changed, but `head` is not among the targets of the stage";
    assert_eq!(result.report.stages[0].failure.as_deref(), Some(words));
    scene.edit("ignore: [head]", "targets: [head, layers.0]");
    assert_eq!(scene.run().ending, Ending::Done);
}

#[test]
fn the_report_tells_what_changed_whatever_the_receipt_says() {
    let claim = |receipt: &mut Receipt| {
        receipt.summary = "rewrote every layer".to_owned();
        receipt.sites.insert("layers.0".to_owned(), [("zeros".to_owned(), 2.0)].into_iter().collect());
    };
    let scene = Scene::new("stages: [fake/boasts: {}]\n", &[&boasts(claim)]);
    let result = scene.run();
    assert_eq!(result.ending, Ending::Done);
    assert_eq!(result.report.stages[0].engine.changed, ["head.bias"]);
}

#[test]
fn a_lie_in_a_trial_fails_that_trial_and_no_other() {
    let rest = "stages:
  - sweep/grid: { objectives: { accuracy: maximize }, space: { by: { choice: [0, 1] } } }
    stages: [fake/divides: { by: $by }]
export: [safetensors: {}]
";
    let divides = Fake::new("fake/divides", |parameters, _, mut model| {
        let by = parameters["by"].as_f64().unwrap() as f32;
        set(&mut model, "head.bias", &[0.5 / by, 0.0]);
        done(model)
    });
    let scene = Scene::new(rest, &[&divides]);
    let result = scene.run();
    assert_eq!(result.ending, Ending::Done);
    let receipt = &result.report.stages[0].receipt;
    assert_eq!((receipt.figures["failed"], receipt.figures["chosen"]), (1.0, 1.0));
    let reason = receipt.details["trials"][0]["reason"].as_str().unwrap();
    assert!(reason.ends_with("tensor `head.bias` holds a value that is not finite"), "{reason}");
    assert_eq!(numbers(&scene.exported(), "head.bias"), [0.5, 0.0]);
}

#[test]
fn a_shape_that_was_planned_is_no_lie() {
    let half = |model: &mut Checkpoint| {
        let weight = model.tensor("head.weight").unwrap().to_dtype(DType::F16).unwrap();
        model.set_tensor("head.weight", weight);
    };
    let pass = Fake::changing("fake/halves", half).foresees(|_, outline| {
        let Some(WeightOutline::Dense { dtype, .. }) = outline.weights.get_mut("head.weight") else { return };
        *dtype = "F16".to_owned();
    });
    let scene = Scene::new("stages: [fake/halves: {}]\n", &[&pass]);
    assert_eq!(scene.run().ending, Ending::Done);
}

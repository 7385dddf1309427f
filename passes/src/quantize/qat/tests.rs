//! `quantize/qat` on small models.

use paring_model::inputs::Matrix;
use paring_model::{ActivationScheme, Checkpoint, QuantizedWeight, Weight, WeightOutline};
use paring_train::Stream;
use rstest::rstest;
use serde_json::{Value, json};

use super::Qat;
use crate::builtin;
use crate::context::Cx;
use crate::effect::PlanCx;
use crate::pass::Pass;
use crate::testing::{Bench, built, classes, inputs, labels, matrix, numbers, saved_size};

/// Two classes on either side of the line x0 = x1.
fn bench() -> Bench {
    let rows: Vec<[f64; 2]> = (0..24).map(|row| [f64::from(row * 7 % 24) / 12.0, f64::from(row) / 12.0]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
    let names: Vec<&str> = rows.iter().map(|row| if row[0] > row[1] { "right" } else { "left" }).collect();
    Bench::with_rows(classes(&rows, &names))
}

fn model() -> Checkpoint {
    built(&[6], inputs(2), labels(&["left", "right"]))
}

fn quantized(model: &Checkpoint, name: &str) -> QuantizedWeight {
    match model.weight(name).unwrap() {
        Weight::Quantized(weight) => weight,
        Weight::Dense { .. } | Weight::Blocks(_) => panic!("`{name}` is not quantized"),
    }
}

#[rstest]
#[case("lsq")]
#[case("ste")]
fn layers_are_left_in_integers_that_answer_well(#[case] method: &str) {
    let block = json!({"bits": 4, "activation_bits": 4, "method": method, "epochs": 60, "batch_size": 8,
        "learning_rate": 0.02});
    let outcome = bench().run::<Qat>(&block, &model()).unwrap();
    for site in ["layers.0", "head"] {
        let weight = quantized(&outcome.model, &format!("{site}.weight"));
        assert_eq!((weight.scheme.bits, weight.scheme.symmetric), (4, true));
        let Some(ActivationScheme::Fixed(fixed)) = weight.activation else { panic!("no fixed input") };
        assert_eq!(fixed.bits, 4);
        let figures = &outcome.receipt.sites[site];
        assert_eq!(figures["input_scale"], f64::from(fixed.scale));
        assert!(figures["relative_change"] > 0.0);
    }
    let rows = Matrix { rows: 4, columns: 2, data: vec![1.5, 0.2, 1.0, 0.1, 0.2, 1.4, 0.1, 1.0] };
    let outputs = outcome.model.predict(&rows.into(), 4).unwrap().to_vec2::<f32>().unwrap();
    let right: Vec<bool> = outputs.iter().map(|row| row[1] > row[0]).collect();
    assert_eq!(right, [true, true, false, false], "{outputs:?}");
}

#[test]
fn without_bits_for_inputs_only_weights_are_rounded() {
    let effect = bench().plan::<Qat>(&json!({"bits": 2, "granularity": "tensor"}), &model()).unwrap();
    let head = &effect.outline.weights["head.weight"];
    assert!(matches!(head, WeightOutline::Quantized { activation: None, .. }), "{head:?}");
    assert_eq!(effect.notes[0], "2-bit weights, symmetric, one scale a tensor; inputs in floating point");
    let outcome = bench().run::<Qat>(&json!({"bits": 2, "granularity": "tensor", "epochs": 1}), &model()).unwrap();
    assert_eq!(quantized(&outcome.model, "head.weight").scales.len(), 1);
    assert_eq!(saved_size(&outcome.model), effect.outline.file_size());
}

#[test]
fn layers_that_are_no_targets_are_trained_in_floating_point() {
    let model = model();
    let (outline, bench) = (model.outline(), bench());
    let (sites, data) = (outline.sites().unwrap(), bench.data.as_ref().unwrap());
    let step = builtin::pass::<Qat>().configure(&json!({"epochs": 1})).unwrap();
    let (sites, parts, measures) = (&sites[..1], Some(&data.1), &[]);
    let effect = step.plan(&PlanCx { outline: &outline, sites, parts, nested: None, nested_stages: 0, measures });
    let effect = effect.unwrap();
    assert_eq!(effect.touches, ["layers.0", "head"]);
    assert_eq!(effect.skips, [("head".to_owned(), "trained on, but stays in floating point".to_owned())]);
    let (stream, data) = (Stream::new(1), Some((&data.0, &data.1)));
    let mut cx = Cx { stage: "test", sites, data, stream, services: &bench.services };
    let outcome = step.run(&mut cx, model.clone()).unwrap();
    assert_eq!(outcome.model.outline().weights, effect.outline.weights);
    assert_eq!(outcome.model.changed_tensors(&model).unwrap().len(), 4);
}

#[test]
fn pruned_weights_stay_zero() {
    let mut model = model();
    model.set_tensor("head.weight", matrix(&[&[0.5, 0.0, 0.0, 1.0, 0.0, -0.5], &[0.0, 0.3, 0.2, 0.0, 0.0, 0.1]]));
    model.set_masked("head.weight", true).unwrap();
    let block = json!({"activation_bits": 6, "epochs": 3, "learning_rate": 0.05});
    let head = quantized(&bench().run::<Qat>(&block, &model).unwrap().model, "head.weight");
    for place in [1, 2, 4, 6, 9, 10] {
        assert_eq!(head.values[place], 0, "{:?}", head.values);
    }
}

#[test]
fn the_same_seed_gives_the_same_integers() {
    let weights = || bench().run::<Qat>(&json!({"activation_bits": 4, "epochs": 2}), &model()).unwrap().model;
    assert_eq!(weights().digest().unwrap(), weights().digest().unwrap());
}

/// The labels say the opposite of the model; with all weight on the teacher the rounded model follows it all the same.
#[test]
fn the_teacher_is_the_model_before() {
    let mut float = built(&[], inputs(2), labels(&["left", "right"]));
    float.set_tensor("head.weight", matrix(&[&[4.0, -4.0], &[-4.0, 4.0]]));
    float.set_tensor("head.bias", matrix(&[&[0.0, 0.0]]).squeeze(0).unwrap());
    let block = json!({"teacher": true, "alpha": 1, "temperature": 1, "epochs": 20, "learning_rate": 0.1,
        "activation_bits": 8});
    let taught = bench().run::<Qat>(&block, &float).unwrap().model;
    let alone = bench().run::<Qat>(&json!({"epochs": 300, "learning_rate": 0.1}), &float).unwrap().model;
    let says_left = |model: &Checkpoint| {
        let row = Matrix { rows: 1, columns: 2, data: vec![1.5, 0.2] };
        let outputs = model.predict(&row.into(), 1).unwrap().to_vec2::<f32>().unwrap();
        outputs[0][0] > outputs[0][1]
    };
    assert!(says_left(&taught));
    assert!(!says_left(&alone));
}

#[test]
fn numbers_are_learned_from_a_teacher_too() {
    let rows: [&[f64]; 4] = [&[0.0], &[1.0], &[2.0], &[3.0]];
    let bench = Bench::with_rows(numbers(&rows, &[0.0, 1.0, 2.0, 3.0]));
    let outputs = paring_model::Outputs::Regress { column: "label".to_owned(), mean: 1.5, scale: 1.0 };
    let outcome = bench.run::<Qat>(&json!({"teacher": true, "epochs": 2}), &built(&[3], inputs(1), outputs)).unwrap();
    assert!(outcome.receipt.summary.starts_with("trained for 2 epochs, 2 steps; 2 sites in integers: 4-bit weights"));
}

#[rstest]
#[case(json!({"weight_range": "mse"}), "/weight_range", "goes with `method: ste` only")]
#[case(json!({"activation_symmetric": true}), "/activation_symmetric", "goes with `activation_bits` only")]
#[case(json!({"alpha": 0.5}), "/alpha", "goes with `teacher: true` only")]
#[case(json!({"temperature": 2}), "/temperature", "goes with `teacher: true` only")]
fn parameters_that_do_not_go_together_are_refused(#[case] block: Value, #[case] pointer: &str, #[case] message: &str) {
    let pass: Box<dyn Pass> = builtin::pass::<Qat>();
    let problems = pass.configure(&block).err().unwrap();
    let found: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.message.as_str())).collect();
    assert_eq!(found, [(pointer, message)]);
}

#[test]
fn problems_are_found_before_any_work() {
    let problems = Bench::empty().plan::<Qat>(&json!({"freeze": ["layer.*"]}), &model()).unwrap_err();
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
    let glob = "names `layer.*`, which matches no weight of the model";
    assert_eq!(messages, ["needs training rows, and the recipe has none", glob]);
    let rounded = bench().run::<Qat>(&json!({"epochs": 1}), &model()).unwrap().model;
    let problems = bench().plan::<Qat>(&json!({}), &rounded).unwrap_err();
    assert_eq!(problems[0].message, "tensor `layers.0.weight` is quantized, expected float weights");
}

#[test]
fn steps_have_names_that_freeze_knows() {
    let block = json!({"activation_bits": 4, "freeze": ["layers.0.input_step"], "learning_rates": {"*_step": 0.01}});
    assert!(bench().plan::<Qat>(&block, &model()).is_ok());
    let ste = json!({"method": "ste", "freeze": ["layers.0.input_step"]});
    assert_eq!(bench().plan::<Qat>(&ste, &model()).unwrap_err()[0].pointer, "/freeze/0");
}

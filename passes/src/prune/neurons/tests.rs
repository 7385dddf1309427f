//! `prune/neurons` on layers small enough to cut by hand.

use paring_model::config::Spec;
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, families};
use rstest::rstest;
use serde_json::{Value, json};

use super::Neurons;
use crate::builtin;
use crate::testing::{Bench, built, classes, inputs, labels, matrix};

/// Two inputs, three hidden neurons, two classes. Neuron 1 has the largest weights, but is never active.
fn model() -> Checkpoint {
    let mut model = built(&[3], inputs(2), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[1.0, 1.0], &[-9.0, -9.0], &[0.5, 2.0]]));
    model.set_tensor("layers.0.bias", matrix(&[&[0.1, 0.2, 0.3]]).squeeze(0).unwrap());
    model.set_tensor("head.weight", matrix(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]]));
    model
}

fn numbers(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Eight rows of positive numbers.
fn bench() -> Bench {
    let rows: Vec<[f64; 2]> = (1..=8).map(|row| [f64::from(row), 1.0]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
    Bench::with_rows(classes(&rows, &["a", "b", "a", "b", "a", "b", "a", "b"]))
}

#[test]
fn rows_biases_and_columns_of_the_least_neurons_go() {
    let outcome = Bench::empty().run::<Neurons>(&json!({"keep": 2}), &model()).unwrap();
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [-9.0, -9.0, 0.5, 2.0]);
    assert_eq!(numbers(&outcome.model, "layers.0.bias"), [0.2, 0.3]);
    assert_eq!(numbers(&outcome.model, "head.weight"), [2.0, 3.0, 5.0, 6.0]);
    assert_eq!(outcome.receipt.summary, "kept 2 of 3 neurons in 1 layer");
    assert_eq!(outcome.receipt.details["layers.0"], json!({"kept": [1, 2], "scores": [2.0, 18.0, 2.5]}));
    assert!((outcome.receipt.sites["layers.0"]["kept_importance"] - 20.5 / 22.5).abs() < 1e-12);
}

#[test]
fn neurons_that_are_never_active_go_first() {
    let outcome = bench().run::<Neurons>(&json!({"keep": 2, "importance": "activation"}), &model()).unwrap();
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [1.0, 1.0, 0.5, 2.0]);
    // x0 is 4.5 on average and x1 is 1: 4.5 + 1 + 0.1, and 2.25 + 2 + 0.3.
    let scores = outcome.receipt.details["layers.0"]["scores"].as_array().unwrap();
    let scores: Vec<f64> = scores.iter().map(|score| score.as_f64().unwrap()).collect();
    assert!(scores.iter().zip([5.6, 0.0, 4.55]).all(|(score, expected)| (score - expected).abs() < 1e-6), "{scores:?}");
}

/// The relu makes zero of what is no number, so that activations do not show it.
#[test]
fn a_weight_that_is_no_number_is_refused_however_neurons_are_scored() {
    let mut broken = model();
    broken.set_tensor("layers.0.weight", matrix(&[&[f32::NAN, 1.0], &[-9.0, -9.0], &[0.5, 2.0]]));
    for importance in ["magnitude", "activation", "taylor"] {
        let error = bench().run::<Neurons>(&json!({"keep": 2, "importance": importance}), &broken).unwrap_err();
        assert_eq!(error.to_string(), "tensor `layers.0.weight` holds a number that is not finite", "{importance}");
    }
}

/// What a neuron's gate changes in the loss: its activation times the gradient of that, the sum over classes of
/// (probability - label) times the weight that reads it.
#[test]
fn taylor_is_the_squared_slope_of_a_gate() {
    let outcome = bench().run::<Neurons>(&json!({"keep": 2, "importance": "taylor"}), &model()).unwrap();
    let mut expected = [0.0; 3];
    let bias = numbers(&model(), "head.bias");
    for row in 1..=8 {
        let (x, label) = (f64::from(row), usize::from(row % 2 == 0));
        let hidden = [x + 1.0 + 0.1, 0.0, 0.5 * x + 2.0 + 0.3];
        let logit = |class: usize| {
            let weights = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]][class];
            weights.iter().zip(hidden).map(|(weight, hidden)| weight * hidden).sum::<f64>() + f64::from(bias[class])
        };
        let second = 1.0 / (1.0 + (logit(0) - logit(1)).exp());
        let wrong = [1.0 - second - f64::from(u8::from(label == 0)), second - f64::from(u8::from(label == 1))];
        for (neuron, expected) in expected.iter_mut().enumerate() {
            let read = [1.0, 2.0, 3.0][neuron] * wrong[0] + [4.0, 5.0, 6.0][neuron] * wrong[1];
            *expected += (hidden[neuron] * read).powi(2) / 8.0;
        }
    }
    let scores = outcome.receipt.details["layers.0"]["scores"].as_array().unwrap();
    for (score, expected) in scores.iter().map(|score| score.as_f64().unwrap()).zip(expected) {
        assert!((score - expected).abs() <= 1e-4 * expected, "{score} {expected}");
    }
    assert_eq!(outcome.receipt.details["layers.0"]["kept"], json!([0, 2]));
}

#[test]
fn a_negative_activation_counts_as_much_as_a_positive_one() {
    let spec = Spec::from_parts("mlp", &json!({"hidden": [2], "activation": "tanh"})).unwrap();
    let fill = &mut |_: &str, buffer: &mut [f32]| buffer.fill(0.5);
    let mut model = families::initialize(&spec, &inputs(2), &labels(&["a", "b"]), fill).unwrap();
    model.set_tensor("layers.0.weight", matrix(&[&[0.01, 0.01], &[-1.0, -1.0]]));
    let outcome = bench().run::<Neurons>(&json!({"keep": 1, "importance": "activation"}), &model).unwrap();
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [-1.0, -1.0]);
}

#[test]
fn neurons_that_nothing_reads_change_no_prediction() {
    let layers = json!({"input": [1, 4, 4], "layers": [{"conv": {"channels": 3}}, {"dense": {"width": 6}}]});
    let spec = Spec::from_parts("convnet", &layers).unwrap();
    let mut next = 0_u32;
    let fill = &mut |_: &str, buffer: &mut [f32]| {
        buffer.iter_mut().for_each(|number| {
            next = (next * 29 + 17) % 101;
            *number = next as f32 / 101.0;
        });
    };
    let mut model = families::initialize(&spec, &inputs(16), &labels(&["a", "b"]), fill).unwrap();
    let weak = model.tensor("layers.1.weight").unwrap();
    let scale = matrix(&[&[1.0], &[0.01], &[1.0], &[1.0], &[0.01], &[1.0]]);
    model.set_tensor("layers.1.weight", weak.broadcast_mul(&scale).unwrap());
    let read = matrix(&[&[0.3, 0.0, -0.2, 0.5, 0.0, 0.1], &[0.2, 0.0, 0.4, -0.1, 0.0, 0.6]]);
    model.set_tensor("head.weight", read);
    let effect = Bench::empty().plan::<Neurons>(&json!({"keep": 4}), &model).unwrap();
    assert_eq!(effect.touches, ["layers.1"]);
    let pruned = Bench::empty().run::<Neurons>(&json!({"keep": 4}), &model).unwrap().model;
    assert_eq!(pruned.tensor("layers.1.weight").unwrap().dims(), [4, 48]);
    let rows = Matrix { rows: 3, columns: 16, data: (0..48_u8).map(|i| f32::from(i % 7) - 3.0).collect() }.into();
    let outputs = |model: &Checkpoint| model.predict(&rows, 2).unwrap().to_vec2::<f32>().unwrap();
    let pairs = outputs(&model).concat().into_iter().zip(outputs(&pruned).concat());
    assert!(pairs.clone().all(|(was, is)| (was - is).abs() < 1e-6), "{:?}", pairs.collect::<Vec<_>>());
}

#[test]
fn every_hidden_layer_is_cut_and_the_rest_named() {
    let model = built(&[8, 6], inputs(3), labels(&["a", "b", "c"]));
    let effect = Bench::empty().plan::<Neurons>(&json!({"ratio": 0.5, "round_to": 4}), &model).unwrap();
    assert_eq!(effect.touches, ["layers.0", "layers.1"]);
    assert_eq!(effect.skips, [("head".to_owned(), "has no hidden neurons".to_owned())]);
    assert_eq!(effect.notes, ["`layers.0`: 4 of 8 neurons stay", "`layers.1`: 4 of 6 neurons stay"]);
    let outcome = Bench::empty().run::<Neurons>(&json!({"ratio": 0.5, "round_to": 4}), &model).unwrap();
    assert_eq!(outcome.model.tensor("layers.1.weight").unwrap().dims(), [4, 4]);
    assert_eq!(outcome.model.tensor("head.weight").unwrap().dims(), [3, 4]);
}

#[rstest]
#[case(json!({"ratio": 0.5}), 5)]
#[case(json!({"ratio": 0.99}), 1)]
#[case(json!({"ratio": 0.5, "round_to": 4}), 8)]
#[case(json!({"keep": 3, "round_to": 16}), 10)]
#[case(json!({"keep": 12}), 10)]
fn widths_are_rounded(#[case] parameters: Value, #[case] kept: usize) {
    let parameters: super::NeuronsParameters = serde_json::from_value(parameters).unwrap();
    assert_eq!(parameters.structure().share.kept(10), kept);
}

#[test]
fn removing_nothing_is_refused() {
    let problems = Bench::empty().plan::<Neurons>(&json!({"keep": 3}), &model()).unwrap_err();
    let expected = "removes no neuron (`layers.0`: all of its 3 neurons stay; `head`: has no hidden neurons)";
    assert_eq!(problems[0].message, expected);
}

#[test]
fn activations_need_rows() {
    let parameters = json!({"keep": 2, "importance": "activation"});
    let problems = Bench::empty().plan::<Neurons>(&parameters, &model()).unwrap_err();
    assert_eq!(problems[0].message, "has 0 calibration rows, expected at least 8");
}

#[rstest]
#[case(json!({}), "", "has neither `ratio` nor `keep`")]
#[case(json!({"ratio": 0.5, "keep": 2}), "/keep", "cannot be given together with `ratio`")]
fn parameters_that_do_not_go_together(#[case] parameters: Value, #[case] pointer: &str, #[case] message: &str) {
    let problems = builtin::pass::<Neurons>().configure(&parameters).err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message));
}

//! `prune/wanda` on matrices small enough to prune by hand, and on random ones.

use paring_model::config::{Activation, ConvSpec, ConvnetLayer, ConvnetSpec, Spec};
use paring_model::{Checkpoint, Weight, families};
use paring_train::Stream;
use rand::RngExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use super::Wanda;
use crate::builtin;
use crate::testing::{Bench, built, classes, inputs, labels, matrix};

/// Eight times the same row.
fn bench(row: &[f64]) -> Bench {
    Bench::with_rows(classes(&[row; 8], &["a", "b", "a", "b", "a", "b", "a", "b"]))
}

fn numbers(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Two inputs, two hidden neurons, two classes; no biases.
fn model() -> Checkpoint {
    let mut model = built(&[2], inputs(2), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[5.0, 1.0], &[6.0, 0.1]]));
    model.set_tensor("head.weight", matrix(&[&[1.0, 2.0], &[-3.0, 1.0]]));
    for name in ["layers.0.bias", "head.bias"] {
        model.set_tensor(name, model.tensor(name).unwrap().zeros_like().unwrap());
    }
    model
}

/// Inputs (1, 10) make scores of 5, 10 and 6, 1 (times the square root of 8), though 5 is the larger weight. The pruned
/// layer gives 10 and 6, so the scores of the head are 10, 12 and 30, 6; before it was pruned it gave 15 and 7, and
/// the first row of the head would have kept its first weight.
#[test]
fn large_inputs_count_for_more_and_layers_see_pruned_ones() {
    let outcome = bench(&[1.0, 10.0]).run::<Wanda>(&json!({"sparsity": 0.5}), &model()).unwrap();
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [0.0, 1.0, 6.0, 0.0]);
    assert_eq!(numbers(&outcome.model, "head.weight"), [0.0, 2.0, -3.0, 0.0]);
    for (name, is_pruned) in [("layers.0.weight", true), ("head.weight", true), ("head.bias", false)] {
        let Weight::Dense { masked, .. } = outcome.model.weight(name).unwrap() else { panic!("{name} is quantized") };
        assert_eq!(masked, is_pruned, "{name}");
    }
    assert_eq!(outcome.receipt.summary, "4 of 8 weights are zero in 2 sites");
    let head = &outcome.receipt.sites["head"];
    assert_eq!((head["weights"], head["zeros"], head["sparsity"]), (4.0, 2.0, 0.5));
    assert_eq!(outcome.receipt.figures["calibration_rows"], 8.0);
}

fn random(spec: &Spec, width: usize) -> Checkpoint {
    let stream = Stream::new(5);
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random_range(0.1..1.0));
    };
    families::initialize(spec, &inputs(width), &labels(&["a", "b"]), fill).unwrap()
}

fn mlp() -> Spec {
    Spec::from_parts("mlp", &json!({"hidden": [32, 24], "activation": "gelu"})).unwrap()
}

fn convnet() -> Spec {
    let conv = |channels| {
        let activation = Activation::Relu;
        ConvnetLayer::Conv(ConvSpec { channels, kernel: 2, stride: 1, padding: None, batch_norm: false, activation })
    };
    Spec::Convnet(ConvnetSpec { input: Some([1, 4, 4]), layers: vec![conv(4), conv(6)] })
}

/// The first convolution of a block, of 3 x 3, and its shortcut, of 1 x 1, read the same image.
fn residual() -> Spec {
    let layers = json!([{"conv": {"channels": 4}}, {"residual": {"channels": 6}}]);
    Spec::from_parts("convnet", &json!({"input": [1, 4, 4], "layers": layers})).unwrap()
}

/// Weights and inputs are never zero, so that every zero is the pass's.
#[rstest]
#[case(mlp(), json!({"sparsity": 0.25}), None)]
#[case(residual(), json!({"sparsity": 0.5}), None)]
#[case(mlp(), json!({"pattern": "2:4"}), Some((4, 2)))]
#[case(mlp(), json!({"pattern": "1:8"}), Some((8, 7)))]
#[case(convnet(), json!({"sparsity": 0.75}), None)]
#[case(convnet(), json!({"pattern": "2:4"}), Some((4, 2)))]
fn counts_of_zeros_are_exact(#[case] spec: Spec, #[case] parameters: Value, #[case] group: Option<(usize, usize)>) {
    let row: Vec<f64> = (0..16).map(|place| 1.0 + f64::from(place * 7 % 5)).collect();
    let before = random(&spec, 16);
    let outcome = bench(&row).run::<Wanda>(&parameters, &before).unwrap();
    for site in before.outline().sites().unwrap() {
        let after = numbers(&outcome.model, &site.weight());
        let inputs = after.len() / site.out_features;
        let zeros = |part: &[f32]| part.iter().filter(|weight| **weight == 0.0).count();
        let (size, expected) = group
            .unwrap_or_else(|| (inputs, (inputs as f64 * parameters["sparsity"].as_f64().unwrap()).round() as usize));
        assert!(after.chunks(size).all(|part| zeros(part) == expected), "{}: {after:?}", site.name);
        let kept = after.iter().zip(numbers(&before, &site.weight()));
        assert!(kept.into_iter().all(|(is, was)| *is == 0.0 || *is == was), "{}", site.name);
    }
}

#[rstest]
#[case(json!({}), "", "has neither `sparsity` nor `pattern`")]
#[case(json!({"sparsity": 0.5, "pattern": "2:4"}), "/pattern", "cannot be given together with `sparsity`")]
#[case(json!({"sparsity": 0}), "/sparsity", "is `0`, expected a number from 0 (exclusive) to 1 (exclusive)")]
fn parameters_that_do_not_go_together(#[case] parameters: Value, #[case] pointer: &str, #[case] message: &str) {
    let problems = builtin::pass::<Wanda>().configure(&parameters).err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message));
}

#[rstest]
#[case(json!({"pattern": "2:4"}), "is `2:4`, but 4 does not divide the 2 inputs of `layers.0`")]
#[case(json!({"sparsity": 0.9}), "is `0.9`, which leaves none of the 2 inputs of `layers.0`")]
fn plans_that_do_not_fit(#[case] parameters: Value, #[case] message: &str) {
    let problems = bench(&[1.0, 2.0]).plan::<Wanda>(&parameters, &model()).unwrap_err();
    assert_eq!(problems.len(), 2, "one for each site: {problems:?}");
    assert_eq!(problems[0].message, message);
}

#[test]
fn without_rows_nothing_is_planned() {
    let problems = Bench::empty().plan::<Wanda>(&json!({"sparsity": 0.5}), &model()).unwrap_err();
    assert_eq!(problems[0].message, "has 0 calibration rows, expected at least 8");
}

#[rstest]
#[case(&[0.0, 0.0], "the input of `layers.0` is zero in all calibration rows")]
#[case(&[1.0, 1e30], "the input of `layers.0` is not finite in the calibration rows")]
fn inputs_that_say_nothing_are_refused(#[case] row: &[f64], #[case] message: &str) {
    let error = bench(row).run::<Wanda>(&json!({"sparsity": 0.5}), &model()).unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

/// Both layers score alike but for one weight of the first that stands out, so the first loses less than its half.
#[test]
fn layers_where_weights_stand_out_lose_fewer() {
    let mut before = built(&[16], inputs(16), labels(&["a", "b"]));
    let alike = |rows: usize| (0..rows * 16).map(|place| 1.0 + 0.01 * (place % 16) as f32).collect::<Vec<f32>>();
    let mut first = alike(16);
    first[40] = 30.0;
    let tensor = |numbers: Vec<f32>| {
        let rows = numbers.len() / 16;
        candle_core::Tensor::from_vec(numbers, (rows, 16), &candle_core::Device::Cpu).unwrap()
    };
    before.set_tensor("layers.0.weight", tensor(first));
    before.set_tensor("head.weight", tensor(alike(2)));
    let parameters = json!({"sparsity": 0.5, "owl": {"lambda": 0.1}});
    let outcome = bench(&[1.0; 16]).run::<Wanda>(&parameters, &before).unwrap();
    let of = |site: &str| outcome.receipt.sites[site]["sparsity"];
    // The mean of the places 0.2 and 0, weighted by 256 and 32 weights, is 0.178: sparsities of 0.478 and 0.678.
    assert_eq!((of("layers.0"), of("head")), (8.0 / 16.0, 11.0 / 16.0));
}

//! `prune/magnitude` on matrices small enough to prune by hand.

use candle_core::{DType, Device, Tensor};
use paring_model::config::{Activation, ConvSpec, ConvnetLayer, ConvnetSpec, Spec};
use paring_model::{Checkpoint, Weight, families};
use rstest::rstest;
use serde_json::{Value, json};

use super::Magnitude;
use crate::builtin;
use crate::testing::{Bench, built, inputs, labels, matrix};

/// Two inputs, two hidden neurons, two classes.
fn model() -> Checkpoint {
    let mut model = built(&[2], inputs(2), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[0.1, -0.2], &[0.3, -0.4]]));
    model.set_tensor("head.weight", matrix(&[&[5.0, -0.5], &[0.25, 6.0]]));
    model
}

fn numbers(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.tensor(name).unwrap().to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn masked(model: &Checkpoint, name: &str) -> bool {
    matches!(model.weight(name).unwrap(), Weight::Dense { masked: true, .. })
}

#[test]
fn globally_the_smallest_of_all_targets_go() {
    let outcome = Bench::empty().run::<Magnitude>(&json!({"sparsity": 0.5}), &model()).unwrap();
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [0.0, 0.0, 0.0, -0.4]);
    assert_eq!(numbers(&outcome.model, "head.weight"), [5.0, -0.5, 0.0, 6.0]);
    assert!(masked(&outcome.model, "layers.0.weight") && masked(&outcome.model, "head.weight"));
    assert!(!masked(&outcome.model, "head.bias"));
    assert_eq!(outcome.receipt.summary, "4 of 8 weights are zero in 2 sites");
    let head = &outcome.receipt.sites["head"];
    assert_eq!((head["weights"], head["zeros"], head["sparsity"]), (4.0, 1.0, 0.25));
    // 0.25 of the length of (5, -0.5, 0.25, 6).
    assert!((head["relative_error"] - 0.25 / 61.3125_f64.sqrt()).abs() < 1e-7);
}

#[test]
fn per_site_each_target_loses_its_share() {
    let parameters = json!({"sparsity": 0.5, "scope": "per_site"});
    let outcome = Bench::empty().run::<Magnitude>(&parameters, &model()).unwrap();
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [0.0, 0.0, 0.3, -0.4]);
    assert_eq!(numbers(&outcome.model, "head.weight"), [5.0, 0.0, 0.0, 6.0]);
}

/// Both layers are 2 x 2, so that both lose half by their shapes; by adapted scores each keeps its largest, and the
/// first its second.
#[test]
fn layers_lose_by_their_shape_or_by_adapted_scores() {
    let run =
        |scope: &str| Bench::empty().run::<Magnitude>(&json!({"sparsity": 0.5, "scope": scope}), &model()).unwrap();
    let erk = run("erk").model;
    assert_eq!(numbers(&erk, "layers.0.weight"), [0.0, 0.0, 0.3, -0.4]);
    assert_eq!(numbers(&erk, "head.weight"), [5.0, 0.0, 0.0, 6.0]);
    // Squares over sums: 0.01/0.3, 0.04/0.29, 0.09/0.25, 1; 25/61, 0.25/61.25, 0.0625/61.3125, 1.
    let lamp = run("lamp").model;
    assert_eq!(numbers(&lamp, "layers.0.weight"), [0.0, 0.0, 0.3, -0.4]);
    assert_eq!(numbers(&lamp, "head.weight"), [5.0, 0.0, 0.0, 6.0]);
}

#[test]
fn a_pattern_holds_in_each_row() {
    let outcome = Bench::empty().run::<Magnitude>(&json!({"pattern": "1:2"}), &model()).unwrap();
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [0.0, -0.2, 0.0, -0.4]);
    assert_eq!(numbers(&outcome.model, "head.weight"), [5.0, 0.0, 0.0, 6.0]);
}

#[test]
fn half_precision_stays_half_precision() {
    let mut model = model();
    for name in model.names() {
        let half = model.tensor(&name).unwrap().to_dtype(DType::BF16).unwrap();
        model.set_tensor(&name, half);
    }
    let outcome = Bench::empty().run::<Magnitude>(&json!({"sparsity": 0.5}), &model).unwrap();
    assert_eq!(outcome.model.tensor("head.weight").unwrap().dtype(), DType::BF16);
    assert_eq!(numbers(&outcome.model, "head.weight"), [5.0, -0.5, 0.0, 6.0]);
}

#[test]
fn kernels_count_as_inputs() {
    let conv = ConvSpec {
        channels: 2,
        kernel: 2,
        stride: 1,
        padding: Some(0),
        batch_norm: false,
        activation: Activation::Relu,
    };
    let spec = Spec::Convnet(ConvnetSpec { input: Some([1, 2, 2]), layers: vec![ConvnetLayer::Conv(conv)] });
    let fill = &mut |_: &str, buffer: &mut [f32]| buffer.iter_mut().zip(1..).for_each(|(x, i)| *x = i as f32 / 64.0);
    let model = families::initialize(&spec, &inputs(4), &labels(&["a", "b"]), fill).unwrap();
    let outcome = Bench::empty().run::<Magnitude>(&json!({"pattern": "1:2"}), &model).unwrap();
    let kernel = numbers(&outcome.model, "layers.0.weight");
    assert_eq!(kernel.len(), 8);
    assert!(kernel.chunks(2).all(|pair| pair.iter().filter(|weight| **weight == 0.0).count() == 1), "{kernel:?}");
}

#[rstest]
#[case(json!({}), "", "has neither `sparsity` nor `pattern`")]
#[case(json!({"sparsity": 0.5, "pattern": "2:4"}), "/pattern", "cannot be given together with `sparsity`")]
#[case(json!({"pattern": "2:4", "scope": "global"}), "/scope", "goes with `sparsity`, but `pattern` is given")]
#[case(json!({"sparsity": 1}), "/sparsity", "is `1`, expected a number from 0 (exclusive) to 1 (exclusive)")]
fn parameters_that_do_not_go_together(#[case] parameters: Value, #[case] pointer: &str, #[case] message: &str) {
    let problems = builtin::pass::<Magnitude>().configure(&parameters).err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message));
}

#[rstest]
#[case(json!({"pattern": "2:4"}), "is `2:4`, but 4 does not divide the 2 inputs of `layers.0`")]
#[case(json!({"sparsity": 0.9, "scope": "per_site"}), "is `0.9`, which leaves none of the 4 weights of `layers.0`")]
fn plans_that_do_not_fit(#[case] parameters: Value, #[case] message: &str) {
    let problems = Bench::empty().plan::<Magnitude>(&parameters, &model()).unwrap_err();
    assert_eq!(problems.len(), 2, "one for each site: {problems:?}");
    assert_eq!(problems[0].message, message);
}

#[test]
fn a_layer_is_never_cut_off() {
    let error = Bench::empty().run::<Magnitude>(&json!({"sparsity": 0.7}), &model()).unwrap_err();
    assert_eq!(error.to_string(), "all 4 weights of `layers.0` would be zero, and nothing would pass through it");
}

#[test]
fn pruning_what_is_pruned_already_is_refused() {
    let half = json!({"sparsity": 0.5});
    let once = Bench::empty().run::<Magnitude>(&half, &model()).unwrap().model;
    let error = Bench::empty().run::<Magnitude>(&half, &once).unwrap_err();
    assert_eq!(error.to_string(), "no weight changes: 4 of the 8 targeted weights are zero already");
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let mut model = model();
    let broken = Tensor::new(&[[1.0, f32::NAN], [0.0, 1.0]], &Device::Cpu).unwrap();
    model.set_tensor("head.weight", broken);
    let error = Bench::empty().run::<Magnitude>(&json!({"sparsity": 0.5}), &model).unwrap_err();
    assert_eq!(error.to_string(), "tensor `head.weight` holds NaN at place 1, expected finite numbers");
}

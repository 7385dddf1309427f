//! `quantize/rtn` on matrices small enough to round by hand.

use candle_core::{Device, Tensor};
use paring_model::{Checkpoint, QuantizedWeight, Weight};
use proptest::prelude::{any, prop, prop_assert, proptest};
use rstest::rstest;
use serde_json::{Value, json};

use super::Rtn;
use crate::builtin;
use crate::effect::PlanCx;
use crate::testing::{Bench, built, inputs, labels, matrix, saved_size};

/// Two inputs, two hidden neurons, two classes.
fn model() -> Checkpoint {
    let mut model = built(&[2], inputs(2), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[1.5, -3.0], &[0.0, 0.75]]));
    model.set_tensor("head.weight", matrix(&[&[5.0, 15.0], &[0.0, 0.0]]));
    model
}

fn quantized(model: &Checkpoint, name: &str) -> QuantizedWeight {
    match model.weight(name).unwrap() {
        Weight::Quantized(weight) => weight,
        Weight::Dense { .. } | Weight::Blocks(_) => panic!("`{name}` is not packed"),
    }
}

fn numbers(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn two_bits_by_hand() {
    let outcome = Bench::empty().run::<Rtn>(&json!({"bits": 2}), &model()).unwrap();
    // Steps of 2 and 0.5; -1.5 steps go to the even -2, and 1.5 to 2, which is beyond the largest integer, 1.
    let weight = quantized(&outcome.model, "layers.0.weight");
    assert_eq!(weight.scales, [2.0, 0.5]);
    assert_eq!(weight.values, [1, -2, 0, 1]);
    assert_eq!(numbers(&outcome.model, "layers.0.weight"), [2.0, -4.0, 0.0, 0.5]);
    let figures = &outcome.receipt.sites["layers.0"];
    assert_eq!(figures["mean_squared_error"], (0.25 + 1.0 + 0.0625) / 4.0);
    assert!((figures["relative_error"] - (1.3125_f64 / 11.8125).sqrt()).abs() < 1e-12);
    assert_eq!(quantized(&outcome.model, "head.weight").scales[1], 1.0, "a row of zeros");
    assert_eq!(outcome.receipt.summary, "rounded 2 sites: 2-bit weights, symmetric, one scale an output channel");
}

#[test]
fn four_bits_asymmetric_by_hand() {
    let parameters = json!({"bits": 4, "symmetric": false, "granularity": "tensor"});
    let outcome = Bench::empty().run::<Rtn>(&parameters, &model()).unwrap();
    let weight = quantized(&outcome.model, "head.weight");
    assert_eq!((weight.scales.as_slice(), weight.zero_points.as_slice()), ([1.0].as_slice(), [-8].as_slice()));
    assert_eq!(weight.values, [-3, 7, -8, -8]);
    assert_eq!(numbers(&outcome.model, "head.weight"), [5.0, 15.0, 0.0, 0.0]);
}

/// Integers and error of the formulas of compressed-tensors, evaluated with numpy 2.4.6 in f64.
#[rstest]
#[case(2, true, [0, -1, 0, 1, 0, 1, -1, 1], 0.183_124_996)]
#[case(2, false, [-1, -2, -1, 0, -1, 1, -2, 0], 0.074_375_001)]
#[case(4, true, [1, -4, 0, 3, -1, 7, -3, 5], 0.008_124_999)]
#[case(4, false, [-2, -8, -3, 1, -5, 7, -6, 4], 0.005_074_999)]
#[case(8, true, [18, -73, 3, 55, -24, 127, -46, 91], 2.534_595e-5)]
#[case(8, false, [-12, -128, -31, 35, -66, 127, -93, 81], 8.910_001e-6)]
fn agrees_with_compressed_tensors(
    #[case] bits: u8,
    #[case] symmetric: bool,
    #[case] values: [i8; 8],
    #[case] error: f64,
) {
    let mut model = built(&[2], inputs(4), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[0.3, -1.2, 0.05, 0.9], &[-0.4, 2.1, -0.75, 1.5]]));
    let parameters = json!({"bits": bits, "symmetric": symmetric, "granularity": "tensor"});
    let outcome = Bench::empty().run::<Rtn>(&parameters, &model).unwrap();
    assert_eq!(quantized(&outcome.model, "layers.0.weight").values, values);
    let found = outcome.receipt.sites["layers.0"]["mean_squared_error"];
    assert!((found / error - 1.0).abs() < 1e-4, "{found}, expected {error}");
}

#[rstest]
#[case(json!({"bits": 8}))]
#[case(json!({"bits": 3, "group_size": 4}))]
#[case(json!({"bits": 4, "symmetric": false, "group_size": 8}))]
#[case(json!({"bits": 6, "symmetric": false, "granularity": "tensor"}))]
fn the_file_has_the_planned_size(#[case] parameters: Value) {
    let model = built(&[16, 8], inputs(24), labels(&["a", "b"]));
    let effect = Bench::empty().plan::<Rtn>(&parameters, &model).unwrap();
    let outcome = Bench::empty().run::<Rtn>(&parameters, &model).unwrap();
    assert_eq!(saved_size(&outcome.model), effect.outline.file_size());
    assert!(effect.outline.file_size() < model.outline().file_size());
}

#[test]
fn bits_per_weight_are_those_of_the_file() {
    // 4 output channels of 16 inputs: 16 x 4 bits are two words, and each has a scale; the shape is two 64-bit numbers.
    let model = built(&[4], inputs(16), labels(&["a", "b"]));
    let outcome = Bench::empty().run::<Rtn>(&json!({"bits": 4}), &model).unwrap();
    let expected = f64::from(4 * (2 * 32 + 32) + 2 * 64) / 64.0;
    assert_eq!(outcome.receipt.sites["layers.0"]["bits_per_weight"], expected);
}

#[test]
fn groups_follow_the_inputs() {
    let mut model = built(&[4], inputs(4), labels(&["a", "b"]));
    model.set_tensor("head.weight", matrix(&[&[1.5, -0.5, 3.0, 1.0], &[0.0, 0.0, 6.0, -6.0]]));
    let outcome = Bench::empty().run::<Rtn>(&json!({"bits": 2, "group_size": 2}), &model).unwrap();
    assert_eq!(quantized(&outcome.model, "head.weight").scales, [1.0, 2.0, 1.0, 4.0]);
}

#[test]
fn a_group_size_that_does_not_divide_names_the_sites_and_what_fits() {
    let model = built(&[8], inputs(64), labels(&["a", "b"]));
    let problems = Bench::empty().plan::<Rtn>(&json!({"group_size": 24}), &model).unwrap_err();
    assert_eq!(problems[0].pointer, "/group_size");
    assert_eq!(problems[0].message, "is `24`, which does not divide `layers.0` (64 inputs) and `head` (8 inputs)");
    assert_eq!(problems[0].help.as_deref(), Some("group sizes that fit every target: `2`, `4`, `8`"));
}

#[test]
fn sites_beyond_the_targets_stay_float_and_are_named() {
    let outline = model().outline();
    let sites = outline.sites().unwrap();
    let step = builtin::pass::<Rtn>().configure(&json!({"bits": 4})).unwrap();
    let cx =
        PlanCx { outline: &outline, sites: &sites[..1], parts: None, nested: None, nested_stages: 0, measures: &[] };
    let effect = step.plan(&cx).unwrap();
    assert_eq!(effect.touches, ["layers.0"]);
    assert_eq!(effect.skips, [("head".to_owned(), "not among the targets of the stage".to_owned())]);
    assert_eq!(effect.outline.weights["head.weight"], outline.weights["head.weight"]);
}

#[test]
fn a_quantized_model_is_refused() {
    let once = Bench::empty().run::<Rtn>(&json!({}), &model()).unwrap().model;
    let problems = Bench::empty().plan::<Rtn>(&json!({}), &once).unwrap_err();
    assert_eq!(problems[0].message, "tensor `layers.0.weight` is quantized, expected float weights");
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let mut model = model();
    model.set_tensor("head.weight", Tensor::new(&[[1.0, 2.0], [f32::INFINITY, 1.0]], &Device::Cpu).unwrap());
    let error = Bench::empty().run::<Rtn>(&json!({}), &model).unwrap_err();
    assert_eq!(error.to_string(), "tensor `head.weight` holds inf at place 2, expected finite numbers");
}

#[rstest]
#[case("tensor")]
#[case("channel")]
fn a_group_size_needs_groups(#[case] granularity: &str) {
    let parameters: Value = json!({"granularity": granularity, "group_size": 2});
    let problems = builtin::pass::<Rtn>().configure(&parameters).err().unwrap();
    assert_eq!(problems[0].message, "goes with `granularity: group` only");
}

proptest! {
    #[test]
    fn no_weight_moves_by_more_than_half_a_step_and_zeros_stay(
        weights in prop::collection::vec(weight_or_zero(), 8),
        bits in 2_u8..=8,
        symmetric in any::<bool>(),
    ) {
        let mut model = built(&[2], inputs(4), labels(&["a", "b"]));
        model.set_tensor("layers.0.weight", matrix(&[&weights[..4], &weights[4..]]));
        let parameters = json!({"bits": bits, "symmetric": symmetric, "group_size": 2});
        let outcome = Bench::empty().run::<Rtn>(&parameters, &model).unwrap();
        let scales = quantized(&outcome.model, "layers.0.weight").scales;
        for (place, (is, was)) in numbers(&outcome.model, "layers.0.weight").iter().zip(&weights).enumerate() {
            prop_assert!((is - was).abs() <= scales[place / 2] * 0.5001, "{was} became {is}");
            prop_assert!(*was != 0.0 || *is == 0.0);
        }
    }
}

/// A weight, or a pruned one.
fn weight_or_zero() -> impl proptest::strategy::Strategy<Value = f32> {
    proptest::prop_oneof![2 => -10.0_f32..10.0, 1 => proptest::strategy::Just(0.0)]
}

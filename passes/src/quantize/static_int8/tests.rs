//! `quantize/static-int8` against the float model it came from.

use paring_model::config::{Activation, ConvSpec, ConvnetLayer, ConvnetSpec, DenseSpec, PoolSpec, Spec};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Weight, WeightOutline, families};
use paring_train::Stream;
use rand::RngExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use super::StaticInt8;
use crate::testing::{Bench, built, classes, inputs, labels, matrix, saved_size};

/// `rows` rows of `width` numbers from -1 to 1, alternately of two classes.
fn bench(rows: usize, width: usize) -> Bench {
    let mut rng = Stream::new(3).split("rows").rng();
    let rows: Vec<Vec<f64>> = (0..rows).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0)).collect()).collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = (0..rows.len()).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    Bench::with_rows(classes(&rows, &labels))
}

/// A model with random weights.
fn random(spec: &Spec, width: usize) -> Checkpoint {
    let stream = Stream::new(5);
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random());
    };
    families::initialize(spec, &inputs(width), &labels(&["a", "b"]), fill).unwrap()
}

fn mlp() -> Spec {
    Spec::from_parts("mlp", &json!({"hidden": [16, 12], "activation": "gelu"})).unwrap()
}

fn convnet() -> Spec {
    let conv = |channels, stride| {
        ConvnetLayer::Conv(ConvSpec {
            channels,
            kernel: 3,
            stride,
            padding: None,
            batch_norm: stride == 1,
            activation: Activation::Relu,
        })
    };
    let pool = ConvnetLayer::MaxPool(PoolSpec { size: 2, stride: None, padding: 0 });
    let dense = ConvnetLayer::Dense(DenseSpec { width: 8, activation: Activation::Relu, dropout: 0.0 });
    Spec::Convnet(ConvnetSpec { input: Some([1, 8, 8]), layers: vec![conv(4, 1), pool, conv(6, 2), dense] })
}

/// Root mean squared difference of the outputs of two models, over that of the first from zero.
fn distance(one: &Checkpoint, other: &Checkpoint, width: usize) -> f64 {
    let mut rng = Stream::new(9).rng();
    let data: Vec<f32> = (0..50 * width).map(|_| rng.random_range(-1.0..1.0)).collect();
    let rows = Matrix { rows: 50, columns: width, data }.into();
    let outputs = |model: &Checkpoint| -> Vec<f32> {
        model.predict(&rows, 16).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    crate::weights::Difference::between(&outputs(one), &outputs(other)).relative
}

#[rstest]
#[case(mlp(), 6, "minmax")]
#[case(mlp(), 6, "percentile")]
#[case(mlp(), 6, "mse")]
#[case(convnet(), 64, "minmax")]
#[case(convnet(), 64, "percentile")]
#[case(convnet(), 64, "mse")]
fn predictions_stay_close_to_float(#[case] spec: Spec, #[case] width: usize, #[case] observer: &str) {
    let float = random(&spec, width);
    let outcome = bench(200, width).run::<StaticInt8>(&json!({"observer": observer}), &float).unwrap();
    let distance = distance(&float, &outcome.model, width);
    assert!(distance > 0.0, "the quantized model runs in integers");
    assert!(distance < 0.015, "{distance}");
    let sites = float.outline().sites().unwrap();
    assert_eq!(outcome.receipt.sites.len(), sites.len());
    for site in sites {
        let weight = outcome.model.weight(&site.weight()).unwrap();
        assert!(matches!(weight, Weight::Quantized(weight) if weight.activation.is_some()), "{}", site.name);
    }
}

#[test]
fn ranges_are_those_of_the_rows() {
    let mut model = built(&[2], inputs(2), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[1.0, 1.0], &[-1.0, 0.0]]));
    model.set_tensor("layers.0.bias", matrix(&[&[0.0, 0.0]]).squeeze(0).unwrap());
    let rows: Vec<[f64; 2]> = (0..8).map(|row| [f64::from(row) / 10.0, -0.2]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
    let bench = Bench::with_rows(classes(&rows, &["a", "b", "a", "b", "a", "b", "a", "b"]));
    let outcome = bench.run::<StaticInt8>(&json!({"observer": "minmax"}), &model).unwrap();
    // The input runs from -0.2 to 0.7, and the hidden layer from 0 to 0.7 - 0.2.
    for (site, low, high, zero_point) in [("layers.0", -0.2, 0.7, 57.0), ("head", 0.0, 0.5, 0.0)] {
        let figures = &outcome.receipt.sites[site];
        assert!((figures["input_low"] - low).abs() < 1e-6, "{figures:?}");
        assert!((figures["input_high"] - high).abs() < 1e-6, "{figures:?}");
        assert!((figures["input_scale"] - (high - low) / 255.0).abs() < 1e-8, "{figures:?}");
        assert_eq!(figures["input_zero_point"], zero_point);
    }
}

#[rstest]
#[case(json!({"observer": "percentile", "percentile": 95}))]
#[case(json!({"observer": "mse"}))]
fn observers_that_clip_cover_less_than_was_seen(#[case] parameters: Value) {
    let mut rows: Vec<[f64; 1]> = (0..50_000).map(|row| [f64::from(row % 1000) / 1000.0]).collect();
    rows.push([16.0]);
    let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
    let bench = Bench::with_rows(classes(&rows, &vec!["a"; rows.len()]));
    let mut parameters = parameters;
    parameters["calibration_rows"] = json!(rows.len());
    let outcome = bench.run::<StaticInt8>(&parameters, &built(&[2], inputs(1), labels(&["a"]))).unwrap();
    let figures = &outcome.receipt.sites["layers.0"];
    assert_eq!(figures["input_high"], 16.0);
    assert!(figures["input_scale"] * 255.0 < 15.5, "{figures:?}");
}

#[test]
fn calibration_looks_at_no_more_rows_than_it_may() {
    let outcome = bench(40, 6).run::<StaticInt8>(&json!({"calibration_rows": 10}), &random(&mlp(), 6)).unwrap();
    assert_eq!(outcome.receipt.figures["calibration_rows"], 10.0);
}

#[test]
fn the_plan_says_that_weights_and_inputs_are_integers() {
    let effect = bench(20, 6).plan::<StaticInt8>(&json!({}), &random(&mlp(), 6)).unwrap();
    assert_eq!(effect.touches, ["layers.0", "layers.1", "head"]);
    assert_eq!(effect.notes, ["ranges of layer inputs come from 20 rows"]);
    let head = &effect.outline.weights["head.weight"];
    assert!(matches!(head, WeightOutline::Quantized { activation: Some(_), .. }), "{head:?}");
}

#[rstest]
#[case(mlp(), 6)]
#[case(convnet(), 64)]
fn the_file_has_the_planned_size_and_runs_alike(#[case] spec: Spec, #[case] width: usize) {
    let float = random(&spec, width);
    let effect = bench(20, width).plan::<StaticInt8>(&json!({}), &float).unwrap();
    let outcome = bench(20, width).run::<StaticInt8>(&json!({}), &float).unwrap();
    assert_eq!(saved_size(&outcome.model), effect.outline.file_size());
    let directory = tempfile::tempdir().unwrap();
    outcome.model.save(directory.path()).unwrap();
    let opened = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(distance(&outcome.model, &opened, width), 0.0);
}

#[rstest]
#[case(Bench::empty(), "has 0 calibration rows, expected at least 8")]
#[case(bench(7, 6), "has 7 calibration rows, expected at least 8")]
fn too_few_rows_are_refused(#[case] bench: Bench, #[case] message: &str) {
    let problems = bench.plan::<StaticInt8>(&json!({}), &random(&mlp(), 6)).unwrap_err();
    assert_eq!(problems[0].message, message);
}

#[test]
fn a_layer_that_sees_only_zeros_is_named() {
    let mut model = built(&[2], inputs(6), labels(&["a", "b"]));
    let dead = model.tensor("layers.0.weight").unwrap().zeros_like().unwrap();
    model.set_tensor("layers.0.weight", dead);
    let dead = model.tensor("layers.0.bias").unwrap().zeros_like().unwrap();
    model.set_tensor("layers.0.bias", dead);
    let error = bench(20, 6).run::<StaticInt8>(&json!({}), &model).unwrap_err();
    assert_eq!(error.to_string(), "the input of `head` is zero in all 20 calibration rows, so it has no range");
}

#[rstest]
#[case(json!({"observer": "minmax"}))]
#[case(json!({"observer": "mse"}))]
fn an_input_that_is_not_finite_is_named(#[case] parameters: Value) {
    let mut model = built(&[2], inputs(6), labels(&["a", "b"]));
    let bias = matrix(&[&[f32::INFINITY, 0.0]]).squeeze(0).unwrap();
    model.set_tensor("layers.0.bias", bias);
    let error = bench(20, 6).run::<StaticInt8>(&parameters, &model).unwrap_err();
    assert_eq!(error.to_string(), "the input of `head` is not finite in the calibration rows");
}

//! Measures of whole models: a network worked by hand, its quantized twin, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use paring_data::{Examples, Targets};
use paring_model::config::{Activation, Config, MlpSpec, Spec};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Granularity, Inputs, Outputs, QuantizedWeight, Weight, WeightScheme};
use paring_train::measure::{Direction, LatencySettings, MEASURES, info, measure, measure_all};
use rstest::rstest;

/// One linear layer: logits (or the number) are the weights' rows times the input, plus the bias.
fn line(weights: &[f32], bias: &[f32], outputs: Outputs) -> Checkpoint {
    let (out, features) = (bias.len(), weights.len() / bias.len());
    let inputs = Inputs { columns: Vec::new(), steps: Vec::new(), shape: vec![features] };
    let spec = Spec::Mlp(MlpSpec { hidden: Vec::new(), activation: Activation::Relu, dropout: 0.0 });
    let mut model = Checkpoint::unbuilt(spec.clone(), inputs, outputs);
    model.set_config(Config { spec, input: vec![features], output: out });
    model.set_tensor("head.weight", Tensor::from_slice(weights, (out, features), &Device::Cpu).unwrap());
    model.set_tensor("head.bias", Tensor::from_slice(bias, out, &Device::Cpu).unwrap());
    model
}

fn classifier() -> Checkpoint {
    let labels = vec!["no".to_owned(), "yes".to_owned()];
    line(&[1.0, 0.0, -1.0, 0.0], &[0.0, 0.5], Outputs::Classify { column: "label".to_owned(), labels })
}

fn rows(data: &[f32], columns: usize, targets: Targets) -> Examples {
    Examples { inputs: Matrix { rows: data.len() / columns, columns, data: data.to_vec() }.into(), targets }
}

/// Logits (x, 0.5 - x) for x = 1, -1, 0, 0.5.
fn four_rows() -> Examples {
    rows(&[1.0, 9.0, -1.0, 9.0, 0.0, 9.0, 0.5, 9.0], 2, Targets::Classes(vec![0, 1, 0, 0]))
}

fn quick() -> LatencySettings {
    LatencySettings { warmup: 1, runs: 7, ..LatencySettings::default() }
}

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "found {found}, expected {expected}");
}

#[test]
fn a_classifier_worked_by_hand() {
    let names = ["accuracy", "balanced_accuracy", "roc_auc", "log_loss", "loss"];
    let found = measure_all(&names, &classifier(), Some(&four_rows()), None, &quick()).unwrap();
    assert_eq!(found.keys().map(String::as_str).collect::<Vec<_>>(), names);
    assert_close(found["accuracy"], 0.75);
    assert_close(found["balanced_accuracy"], (2.0 / 3.0 + 1.0) / 2.0);
    assert_close(found["roc_auc"], 1.0);
    // log(1 + exp(the other logit - the right one)): margins 1.5, 2.5, -0.5, 0.5
    let loss = [1.5, 2.5, -0.5, 0.5].map(|margin: f64| (-margin).exp().ln_1p()).iter().sum::<f64>() / 4.0;
    assert_close(found["log_loss"], loss);
    assert_close(found["loss"], loss);
}

#[test]
fn a_regression_is_measured_in_the_unit_of_its_target() {
    let outputs = Outputs::Regress { column: "price".to_owned(), mean: 100.0, scale: 10.0 };
    let model = line(&[1.0], &[0.0], outputs);
    let rows = rows(&[1.0, 2.0, 3.0], 1, Targets::Values(vec![1.0, 2.0, 5.0]));
    let found = measure_all(&["rmse", "mae", "r2", "loss"], &model, Some(&rows), None, &quick()).unwrap();
    assert_close(found["rmse"], 10.0 * f64::sqrt(4.0 / 3.0));
    assert_close(found["mae"], 20.0 / 3.0);
    assert_close(found["loss"], 4.0 / 3.0);
    // squared error 4, deviation of 1, 2, 5 from their mean: 26 / 3
    assert_close(found["r2"], 1.0 - 4.0 / (26.0 / 3.0));
}

#[test]
fn costs_follow_from_the_weights() {
    let model = classifier();
    let found =
        measure_all(&["size", "params", "nonzeros", "bits_per_weight", "macs"], &model, None, None, &quick()).unwrap();
    assert_eq!([found["params"], found["nonzeros"], found["bits_per_weight"], found["macs"]], [6.0, 3.0, 32.0, 4.0]);
    assert_eq!(found["size"], model.outline().file_size() as f64);
}

#[test]
fn a_quantized_weight_counts_its_scales_and_its_zeros() {
    let mut model = classifier();
    let scheme = WeightScheme { bits: 4, symmetric: false, granularity: Granularity::Channel };
    let weight = model.tensor("head.weight").unwrap();
    // rows (1, 0) and (-1, 0) in steps of 1/8, shifted by -8 and 7: integers (0, -8) and (-1, 7)
    let quantized = QuantizedWeight::round(&weight, scheme, &[0.125, 0.125], &[-8, 7]).unwrap();
    assert_eq!(quantized.values, [0, -8, -1, 7]);
    model.set_weight("head.weight", Weight::Quantized(quantized));
    let found =
        measure_all(&["params", "nonzeros", "bits_per_weight", "accuracy"], &model, Some(&four_rows()), None, &quick());
    let found = found.unwrap();
    // packed 2 x i32, shape 2 x i64, scales 2 x f32, zero points 1 x i32, bias 2 x f32
    assert_close(found["bits_per_weight"], f64::from((8 + 16 + 8 + 4 + 8) * 8) / 6.0);
    assert_eq!([found["params"], found["nonzeros"], found["accuracy"]], [6.0, 3.0, 0.75]);
}

#[rstest]
#[case(Some(four_rows()), 1)]
#[case(Some(four_rows()), 64)]
#[case(None, 64)]
fn latency_has_a_median_and_a_tail(#[case] rows: Option<Examples>, #[case] batch: usize) {
    let settings = LatencySettings { batch, ..quick() };
    let found = measure("latency", &classifier(), rows.as_ref(), None, &settings).unwrap();
    assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["latency", "latency_p95"]);
    assert!(found[0].1 > 0.0 && found[1].1 >= found[0].1, "{found:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn peak_memory_is_at_least_the_program() {
    let found = measure("peak_memory", &classifier(), None, None, &quick()).unwrap();
    assert!(found[0].1 > 1e6, "{found:?}");
}

#[rstest]
#[case("acuracy", "no measure is called `acuracy`")]
#[case("rmse", "measure `rmse` does not suit a classification")]
fn measures_that_do_not_fit_are_named(#[case] name: &str, #[case] expected: &str) {
    let message = measure(name, &classifier(), Some(&four_rows()), None, &quick()).unwrap_err().to_string();
    assert_eq!(message, expected);
}

#[test]
fn outputs_that_are_not_numbers_are_not_scored() {
    let mut model = classifier();
    model.set_tensor("head.bias", Tensor::new(&[f32::NAN, 0.0], &Device::Cpu).unwrap());
    let message = measure("accuracy", &model, Some(&four_rows()), None, &quick()).unwrap_err().to_string();
    assert_eq!(message, "the model's output for row 1 is not a finite number");
    let message = measure("accuracy", &model, None, None, &quick()).unwrap_err().to_string();
    assert_eq!(message, "there are no test rows");
}

#[test]
fn the_table_names_each_measure_once_and_each_can_be_taken() {
    let names: std::collections::BTreeSet<&str> = MEASURES.iter().map(|measure| measure.name).collect();
    assert_eq!(names.len(), MEASURES.len());
    for measure in MEASURES.iter().filter(|measure| measure.tasks.is_empty()) {
        assert!(!measure.needs_rows);
        measure_all(&[measure.name], &classifier(), None, None, &quick()).unwrap();
    }
    assert_eq!(info("accuracy").map(|measure| measure.direction), Some(Direction::Higher));
    assert_eq!(info("accurcy"), None);
}

#[test]
fn the_conditions_of_a_latency_are_stated() {
    let stated = LatencySettings::default().stated();
    assert!(stated.starts_with("batch 1, "), "{stated}");
    assert!(stated.ends_with("warm (10 runs), 100 timed runs"), "{stated}");
}

#[test]
fn embeddings_are_compared_with_those_of_the_baseline() {
    let embed = |weights: &[f32]| line(weights, &[0.0, 0.0], Outputs::Embed { width: 2, pair: None, score: None });
    // The baseline gives (x, y); the model (x, 0): its cosine with (3, 4) is 3 / 5, with (1, 0) it is 1.
    let (baseline, model) = (embed(&[1.0, 0.0, 0.0, 1.0]), embed(&[1.0, 0.0, 0.0, 0.0]));
    let rows = rows(&[3.0, 4.0, 1.0, 0.0], 2, Targets::None);
    let names = ["cosine", "cosine_p1", "cosine_min"];
    let found = measure_all(&names, &model, Some(&rows), Some(&baseline), &quick()).unwrap();
    assert_close(found["cosine"], 0.8);
    assert_close(found["cosine_p1"], 0.604);
    assert_close(found["cosine_min"], 0.6);
    let message = measure("cosine", &model, Some(&rows), None, &quick()).unwrap_err().to_string();
    assert_eq!(message, "measure `cosine` compares with the model before all stages, and there is none");
}

#[test]
fn pairs_of_embeddings_are_ranked_and_found() {
    let model = line(&[1.0, 0.0, 0.0, 1.0], &[0.0, 0.0], Outputs::Embed { width: 2, pair: None, score: None });
    // Cosines with the second texts: 1, 0 and 0.6; the second text of row 2 is nearer to row 1 than to it.
    let others = Matrix { rows: 3, columns: 2, data: vec![1.0, 0.0, 1.0, 0.0, 3.0, 4.0] }.into();
    let targets = Targets::Pairs { others, scores: Some(vec![0.9, 0.1, 0.2]) };
    let rows = rows(&[2.0, 0.0, 0.0, 3.0, 1.0, 0.0], 2, targets);
    let found = measure_all(&["spearman", "recall_at_1", "recall_at_10"], &model, Some(&rows), None, &quick()).unwrap();
    assert_close(found["spearman"], 1.0);
    assert_close(found["recall_at_1"], 1.0 / 3.0);
    assert_close(found["recall_at_10"], 1.0);
    let message = measure("recall_at_1", &model, Some(&four_rows()), None, &quick()).unwrap_err().to_string();
    assert_eq!(message, "the rows are no pairs of texts: name the second ones as `pair`");
}

#[test]
fn throughput_is_taken_without_rows_too() {
    let taken = |rows| measure("throughput", &classifier(), rows, None, &quick()).unwrap()[0].1;
    for rows in [None, Some(&four_rows())] {
        let found = taken(rows);
        assert!(found.is_finite() && found > 0.0, "{found}");
    }
}

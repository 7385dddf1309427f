//! `quantize/gguf` against the float model it came from.

use paring_model::config::Spec;
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, GgmlType, ImportanceMatrix, Weight, families};
use paring_train::Stream;
use rand::RngExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use super::Gguf;
use crate::testing::{Bench, classes, inputs, labels};

/// Numbers of a row.
const WIDTH: usize = 32;

/// Rows whose first number is far larger than the others.
fn rows(seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Stream::new(seed).split("rows").rng();
    let number = |column: usize, number: f64| if column == 0 { 20.0 * number } else { number };
    let row = |_| (0..WIDTH).map(|column| number(column, rng.random_range(-1.0..1.0))).collect();
    (0..40).map(row).collect()
}

fn bench() -> Bench {
    let rows = rows(3);
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = (0..rows.len()).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    Bench::with_rows(classes(&rows, &labels))
}

/// 32 inputs, layers of 256 and 64, two outputs.
fn model() -> Checkpoint {
    let spec = Spec::from_parts("mlp", &json!({"hidden": [256, 64], "activation": "gelu"})).unwrap();
    let stream = Stream::new(5);
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random());
    };
    families::initialize(&spec, &inputs(WIDTH), &labels(&["a", "b"]), fill).unwrap()
}

fn kinds(model: &Checkpoint) -> Vec<Option<GgmlType>> {
    let kind = |name| match model.weight(name).unwrap() {
        Weight::Blocks(weight) => Some(weight.kind),
        _ => None,
    };
    ["layers.0.weight", "layers.1.weight", "head.weight"].map(kind).to_vec()
}

/// Root mean squared difference of the outputs of two models, over that of the first from zero.
fn distance(one: &Checkpoint, other: &Checkpoint) -> f64 {
    let data: Vec<f32> = rows(11).concat().into_iter().map(|number| number as f32).collect();
    let rows = Matrix { rows: 40, columns: WIDTH, data }.into();
    let outputs = |model: &Checkpoint| -> Vec<f32> {
        model.predict(&rows, 16).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let (one, other) = (outputs(one), outputs(other));
    let squared: f64 = one.iter().zip(&other).map(|(one, other)| f64::from(one - other).powi(2)).sum();
    (squared / one.iter().map(|one| f64::from(*one).powi(2)).sum::<f64>()).sqrt()
}

#[rstest]
#[case("q8_0", 0.03)]
#[case("q5_0", 0.1)]
#[case("q4_1", 0.15)]
#[case("q4_0", 0.15)]
fn outputs_stay_near_those_of_floats(#[case] types: &str, #[case] most: f64) {
    let model = model();
    let outcome = Bench::empty().run::<Gguf>(&json!({"types": types}), &model).unwrap();
    let distance = distance(&model, &outcome.model);
    assert!(distance > 1e-5 && distance < most, "{distance}");
    let figures = &outcome.receipt.sites["layers.0"];
    assert!(figures["relative_error"] > 0.0 && figures["relative_error"] < most, "{figures:?}");
}

#[test]
fn what_does_not_fit_gets_another_type_where_that_is_allowed() {
    let parameters = json!({"types": "q4_k_m", "fallback": true});
    let outcome = Bench::empty().run::<Gguf>(&parameters, &model()).unwrap();
    assert_eq!(kinds(&outcome.model), [Some(GgmlType::Q5_0), Some(GgmlType::Q4K), Some(GgmlType::Q8_0)]);
    assert_eq!(outcome.receipt.summary, "rounded 3 sites: 1 in Q5_0, 1 in Q4_K, 1 in Q8_0");
    assert_eq!(outcome.receipt.sites["layers.1"]["bits_per_weight"], 4.5);
    let effect = Bench::empty().plan::<Gguf>(&parameters, &model()).unwrap();
    assert_eq!(effect.notes, ["`layers.0` has 32 inputs, so Q5_0 stands in for Q4_K"]);
}

#[test]
fn single_sites_have_types_of_their_own() {
    let parameters = json!({"types": "q4_0", "overrides": {"head": "q5_1", "layers.*": "q8_0"}});
    let outcome = Bench::empty().run::<Gguf>(&parameters, &model()).unwrap();
    assert_eq!(kinds(&outcome.model), [Some(GgmlType::Q8_0), Some(GgmlType::Q8_0), Some(GgmlType::Q5_1)]);
}

/// The squared difference that a layer's outputs have over the calibration rows, whose numbers are the layer's inputs.
fn output_error(one: &Checkpoint, other: &Checkpoint) -> f64 {
    let weight = |model: &Checkpoint| model.tensor("layers.0.weight").unwrap().to_vec2::<f32>().unwrap();
    let (one, other, rows) = (weight(one), weight(other), rows(3));
    let error = |row: &Vec<f64>, (one, other): (&Vec<f32>, &Vec<f32>)| -> f64 {
        let differences = one.iter().zip(other).map(|(one, other)| f64::from(one - other));
        row.iter().zip(differences).map(|(input, difference)| input * difference).sum::<f64>().powi(2)
    };
    rows.iter().map(|row| one.iter().zip(&other).map(|pair| error(row, pair)).sum::<f64>()).sum()
}

#[test]
fn inputs_that_are_large_count_for_more() {
    let model = model();
    for types in ["q4_0", "q4_1", "q5_0", "q5_1"] {
        let run = |importance| {
            let parameters = json!({"types": types, "importance": importance});
            bench().run::<Gguf>(&parameters, &model).unwrap()
        };
        let (plain, weighed) = (run(false), run(true));
        assert_eq!(weighed.receipt.figures["calibration_rows"], 40.0);
        let [plain, weighed] = [plain, weighed].map(|outcome| output_error(&model, &outcome.model));
        assert!(weighed < 0.7 * plain, "{types}: {plain} to {weighed}");
    }
}

/// A run leaves what it saw; another takes it in place of rows, and does the same.
#[test]
fn what_rows_tell_can_come_from_a_file() {
    let model = model();
    let outcome = bench().run::<Gguf>(&json!({"types": "q4_0", "importance": true}), &model).unwrap();
    let matrix = outcome.receipt.files["imatrix.gguf"].clone();
    let with = |bytes: &[u8]| Bench { files: [("seen.gguf".to_owned(), bytes.to_vec())].into(), ..Bench::empty() };
    let parameters = json!({"types": "q4_0", "importance": {"load": "seen.gguf"}});
    let again = with(&matrix).run::<Gguf>(&parameters, &model).unwrap();
    assert_eq!(again.model.digest().unwrap(), outcome.model.digest().unwrap());
    assert!(again.receipt.files.is_empty() && !again.receipt.figures.contains_key("calibration_rows"));

    let plain = Bench::empty().run::<Gguf>(&json!({"types": "q4_0"}), &model).unwrap();
    assert_ne!(plain.model.digest().unwrap(), outcome.model.digest().unwrap());
    assert!(plain.receipt.files.is_empty());

    let problem = |message: &str| vec![("/importance/load".to_owned(), message.to_owned())];
    let cut = "is no importance matrix that can be read: 8 bytes are expected here, but only 6 follow";
    assert_eq!(said(&with(&matrix[..30]), &parameters), problem(cut));
    let unknown = "says nothing of `layers.1` (and so of 1 more)";
    assert_eq!(said(&with(&first_layer(32)), &parameters), problem(unknown));
    let few = "has 3 inputs of `layers.0`, expected 32 (and so of 2 more)";
    assert_eq!(said(&with(&first_layer(3)), &parameters), problem(few));
    let mut zeros = ImportanceMatrix::default();
    for site in ["layers.0", "layers.1", "head"] {
        zeros.add(&format!("{site}.weight"), vec![0.0; WIDTH], 1.0);
    }
    let only = "says that `layers.0` sees only zeros (and so of 2 more)";
    assert_eq!(said(&with(&zeros.bytes()), &parameters), problem(only));
    let both = json!({"types": "q4_0", "method": "gptq", "importance": {"load": "seen.gguf"}});
    let message = "is a file, but with `method: gptq` the rows tell how large inputs are";
    assert_eq!(said(&bench(), &both), vec![("/importance".to_owned(), message.to_owned())]);
}

/// A matrix that knows the first layer alone, with so many inputs.
fn first_layer(inputs: usize) -> Vec<u8> {
    let mut matrix = ImportanceMatrix::default();
    matrix.add("layers.0.weight", vec![1.0; inputs], 1.0);
    matrix.bytes()
}

#[rstest]
#[case("q4_0", false)]
#[case("q4_0", true)]
#[case("q4_1", false)]
#[case("q5_0", true)]
#[case("q5_1", false)]
#[case("q8_0", false)]
fn later_columns_make_up_for_the_error_of_earlier_ones(#[case] types: &str, #[case] importance: bool) {
    let model = model();
    let run = |method| {
        let parameters = json!({"types": types, "importance": importance, "method": method});
        bench().run::<Gguf>(&parameters, &model).unwrap()
    };
    let (nearest, gptq) = (run("nearest"), run("gptq"));
    assert_eq!(kinds(&gptq.model), kinds(&nearest.model));
    for (site, figures) in &gptq.receipt.sites {
        assert!(figures["output_error"] < figures["nearest_output_error"], "{site}: {figures:?}");
        assert_eq!(figures["bits_per_weight"], nearest.receipt.sites[site]["bits_per_weight"]);
    }
    let [nearest, gptq] = [nearest, gptq].map(|outcome| output_error(&model, &outcome.model));
    assert!(gptq < 0.6 * nearest, "{types}: {nearest} to {gptq}");
}

#[test]
fn what_cannot_make_up_for_errors_is_rounded_to_nearest_and_told() {
    let parameters = json!({"types": "q4_k_m", "fallback": true, "method": "gptq"});
    let notes = bench().plan::<Gguf>(&parameters, &model()).unwrap().notes;
    assert!(notes.contains(&"rounded to nearest: `layers.1` (Q4_K has larger blocks)".to_owned()), "{notes:?}");
    let outcome = bench().run::<Gguf>(&parameters, &model()).unwrap();
    let compensated = |site: &str| outcome.receipt.sites[site].contains_key("output_error");
    assert_eq!(["layers.0", "layers.1", "head"].map(compensated), [true, false, true]);

    let parameters = json!({"types": "q4_0", "overrides": {"*": "q4_k"}, "fallback": false, "method": "gptq"});
    let wide = families::initialize(
        &Spec::from_parts("mlp", &json!({"hidden": []})).unwrap(),
        &inputs(256),
        &labels(&["a", "b"]),
        &mut |_, buffer| buffer.fill(0.5),
    );
    let problems = bench().plan::<Gguf>(&parameters, &wide.unwrap()).unwrap_err();
    let said: Vec<_> = problems.iter().map(|problem| (problem.pointer.as_str(), problem.message.as_str())).collect();
    assert_eq!(said, [("/method", "is `gptq`, but no target is a layer in blocks of 32 numbers")]);
}

#[test]
fn a_layer_that_sees_only_zeros_is_refused() {
    let rows = vec![vec![0.0; WIDTH]; 40];
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = (0..rows.len()).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    let bench = Bench::with_rows(classes(&rows, &labels));
    for method in ["nearest", "gptq"] {
        let parameters = json!({"types": "q4_0", "importance": true, "method": method});
        let message = bench.run::<Gguf>(&parameters, &model()).unwrap_err().to_string();
        assert!(message.starts_with("the input of `layers.0` is zero in all calibration rows"), "{message}");
    }
}

fn said(bench: &Bench, parameters: &Value) -> Vec<(String, String)> {
    let problems = bench.plan::<Gguf>(parameters, &model()).unwrap_err();
    problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect()
}

#[test]
fn what_cannot_be_done_is_refused() {
    let problem = |pointer: &str, message: &str| vec![(pointer.to_owned(), message.to_owned())];
    let whole = "does not fit: `layers.0.weight` has 32 inputs, expected a multiple of 256 for Q4_K";
    assert_eq!(said(&Bench::empty(), &json!({"types": "q4_k"})), problem("/types", whole));
    let glob = "has the glob `heads`, which matches no target";
    let parameters = json!({"types": "q4_0", "overrides": {"heads": "q8_0"}});
    assert_eq!(said(&Bench::empty(), &parameters), problem("/overrides", glob));
    let rows = "has 0 calibration rows, expected at least 8";
    assert_eq!(said(&Bench::empty(), &json!({"types": "q4_0", "importance": true})), problem("", rows));
}

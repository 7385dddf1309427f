//! Training of a model that continues texts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use paring_data::{Examples, Targets};
use paring_model::inputs::{ColumnEncoding, Encoding, Matrix};
use paring_model::text::TokenRow;
use paring_model::{Checkpoint, Inputs, Outputs, Rows, Weight};
use paring_train::Stream;
use paring_train::fit::{FitReport, FitSettings, Teacher, Watch, fit};
use paring_train::measure::{LatencySettings, measure_all};

struct Silent;

impl Watch for Silent {
    fn step(&mut self, _: usize, _: usize, _: f32, _: f64) {}

    fn cancelled(&self) -> bool {
        false
    }
}

fn model() -> Checkpoint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bad/files/tiny-llama");
    let mut model = Checkpoint::open(&path).unwrap();
    let column = ColumnEncoding { name: "tokens".to_owned(), encoding: Encoding::Tokens { length: 8 } };
    model.set_inputs(Inputs { columns: vec![column], steps: Vec::new(), shape: vec![8] });
    let vocabulary = model.config().unwrap().output;
    model.set_outputs(Outputs::Generate { vocabulary });
    model
}

/// Windows that count up in steps of 1, from places that differ.
fn windows(count: u32) -> Examples {
    let window = |start: u32| {
        let ids: Vec<u32> = (0..8).map(|place| 3 + (start * 5 + place) % 17).collect();
        TokenRow { types: vec![0; ids.len()], ids }
    };
    Examples { inputs: Rows::Tokens((0..count).map(window).collect()), targets: Targets::None }
}

fn run(model: &mut Checkpoint, rows: &Examples, settings: &FitSettings) -> FitReport {
    fit(model, rows, Some(rows), None, settings, &Stream::new(1), &mut Silent).unwrap()
}

fn perplexity(model: &Checkpoint, rows: &Examples) -> f64 {
    measure_all(&["perplexity"], model, Some(rows), None, &LatencySettings::default()).unwrap()["perplexity"]
}

/// With next to no steps the loss is the logarithm of the perplexity, which is computed in another way.
#[test]
fn the_loss_is_the_logarithm_of_the_perplexity() {
    let (mut model, rows) = (model(), windows(7));
    let expected = perplexity(&model, &rows).ln();
    let settings = FitSettings { epochs: 1, batch_size: 3, learning_rate: 1e-9, ..FitSettings::default() };
    let report = run(&mut model, &rows, &settings);
    for found in [report.train_loss[0], report.validate_loss[0]] {
        assert!((f64::from(found) - expected).abs() < 1e-5, "{found} {expected}");
    }
}

#[test]
fn what_follows_is_learned() {
    let (mut model, rows) = (model(), windows(17));
    let before = perplexity(&model, &rows);
    let settings = FitSettings { epochs: 30, batch_size: 4, learning_rate: 1e-2, ..FitSettings::default() };
    run(&mut model, &rows, &settings);
    let after = perplexity(&model, &rows);
    assert!(before > 10.0 && after < 1.2, "{before} {after}");
}

/// A student's loss is its mean divergence from the teacher over all tokens that another follows, which is measured in
/// another way; and training brings it down, whatever the texts say. Its zeros are a mask.
#[test]
fn a_student_learns_its_teachers_distributions() {
    let (mut teaching, rows) = (model(), windows(17));
    let settings = FitSettings { epochs: 10, batch_size: 4, learning_rate: 1e-2, ..FitSettings::default() };
    run(&mut teaching, &rows, &settings);
    let name = "model.layers.0.mlp.up_proj.weight";
    let mut pruned = teaching.clone();
    let weight = teaching.tensor(name).unwrap();
    let large = weight.abs().unwrap().gt(0.1).unwrap().to_dtype(weight.dtype()).unwrap();
    pruned.set_weight(name, Weight::Dense { tensor: (weight * &large).unwrap(), masked: true });
    let divergence = |student: &Checkpoint| {
        let settings = LatencySettings::default();
        measure_all(&["kl_divergence"], student, Some(&rows), Some(&teaching), &settings).unwrap()["kl_divergence"]
    };
    let before = divergence(&pruned);
    let learns = |student: &mut Checkpoint, settings: &FitSettings| {
        let teacher = Teacher::new(std::slice::from_ref(&teaching));
        fit(student, &rows, None, Some(teacher), settings, &Stream::new(1), &mut Silent).unwrap()
    };
    let still = FitSettings { epochs: 1, batch_size: 5, learning_rate: 1e-9, ..FitSettings::default() };
    let loss = f64::from(learns(&mut pruned.clone(), &still).train_loss[0]);
    assert!((loss - before).abs() < 1e-5, "{loss} {before}");
    let mut student = pruned.clone();
    learns(&mut student, &FitSettings { learning_rate: 1e-3, epochs: 20, ..settings });
    let after = divergence(&student);
    assert!(before > 1e-3 && after < before / 2.0, "{before} {after}");
    let zeros = |model: &Checkpoint| {
        let numbers = model.tensor(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers.into_iter().map(|number| number == 0.0).collect::<Vec<bool>>()
    };
    assert!(zeros(&pruned).contains(&true));
    assert_eq!(zeros(&student), zeros(&pruned));
}

#[test]
fn rows_that_are_no_windows_are_refused() {
    let row = |ids: &[u32]| TokenRow { ids: ids.to_vec(), types: vec![0; ids.len()] };
    let features = Matrix { rows: 1, columns: 1, data: vec![0.0] };
    let lengths = "windows of tokens have different lengths, or one token each";
    let refused = [
        (Rows::from(features), "the rows are no windows of tokens"),
        (Rows::Tokens(vec![row(&[3, 4]), row(&[3])]), lengths),
        (Rows::Tokens(vec![row(&[3])]), lengths),
    ];
    for (inputs, expected) in refused {
        let rows = Examples { inputs, targets: Targets::None };
        let settings = FitSettings::default();
        let error = fit(&mut model(), &rows, None, None, &settings, &Stream::new(1), &mut Silent).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

//! The tables that ship with the recipes, through reading, splitting and fitting; figures from scikit-learn 1.9.1.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use paring_data::fit::{FitOptions, MissingPolicy, Scaling, classes, complete_rows, fit_inputs, fit_outputs};
use paring_data::read::{ReadOptions, read};
use paring_data::split::split;
use paring_data::{DataError, Dataset, Examples, Result, SplitPlan, Targets, examples::examples};
use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::inputs::{Encoding, InputStep};
use paring_model::{Checkpoint, Inputs, Outputs, Task};

fn shipped(name: &str) -> Dataset {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/data").join(name);
    read(&path, &ReadOptions::default()).unwrap()
}

fn csv(text: &str) -> Dataset {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    read(&path, &ReadOptions::default()).unwrap()
}

fn options(label: &str) -> FitOptions {
    FitOptions { label: label.to_owned(), ..FitOptions::default() }
}

fn all(data: &Dataset) -> Vec<usize> {
    (0..data.rows()).collect()
}

/// Rows as a model with these ends reads them.
fn examples_of(data: &Dataset, rows: &[usize], inputs: &Inputs, outputs: &Outputs) -> Result<Examples> {
    let spec = Spec::Mlp(MlpSpec { hidden: Vec::new(), activation: Activation::Relu, dropout: 0.0 });
    examples(data, rows, &Checkpoint::unbuilt(spec, inputs.clone(), outputs.clone()), outputs)
}

fn close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}

/// `StandardScaler().fit_transform(load_diabetes(scaled=False).data)[0]`.
const DIABETES_STANDARD: [f64; 10] = [
    0.8005000909564214,
    1.065488479751468,
    1.2970884623909968,
    0.4598405719909804,
    -0.929745811122838,
    -0.7320646159137049,
    -0.9124505270223768,
    -0.05449918753626995,
    0.41853092894935107,
    -0.37098853628476647,
];

/// `MinMaxScaler().fit_transform(load_diabetes(scaled=False).data)[0]`.
const DIABETES_MIN_MAX: [f64; 10] = [
    0.6666666666666666,
    1.0,
    0.5826446280991736,
    0.5492957746478874,
    0.2941176470588236,
    0.25697211155378485,
    0.2077922077922078,
    0.2820874471086037,
    0.5622169960335566,
    0.43939393939393934,
];

#[test]
fn scaling_agrees_with_scikit_learn() {
    let data = shipped("diabetes.csv");
    let outputs = fit_outputs(&data, &all(&data), "progression", Task::Regress).unwrap();
    for (scale, expected) in [(Scaling::Standard, DIABETES_STANDARD), (Scaling::MinMax, DIABETES_MIN_MAX)] {
        let inputs = fit_inputs(&data, &all(&data), &FitOptions { scale, ..options("progression") }).unwrap();
        let first = examples_of(&data, &[0], &inputs, &outputs).unwrap();
        close(&first.inputs.features().unwrap().data, &expected);
    }
    let Outputs::Regress { mean, scale, .. } = outputs else { panic!("not a regression") };
    assert!((mean - 152.13348416289594).abs() < 1e-9 && (scale - 77.00574586945044).abs() < 1e-9);
}

#[test]
fn digits_are_ten_classes_named_without_decimals() {
    let data = shipped("digits.csv");
    let Outputs::Classify { labels, .. } = fit_outputs(&data, &[], "digit", Task::Classify).unwrap() else {
        panic!("not a classification")
    };
    assert_eq!(labels, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let mut counts = [0; 10];
    classes(&data, "digit").unwrap().into_iter().for_each(|class| counts[class as usize] += 1);
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
}

#[test]
fn pixels_may_be_shaped_as_an_image() {
    let mut data = shipped("digits.csv");
    assert_eq!(fit_inputs(&data, &all(&data), &options("digit")).unwrap().shape, [64]);
    data.image = Some([1, 8, 8]);
    assert_eq!(fit_inputs(&data, &all(&data), &options("digit")).unwrap().shape, [1, 8, 8]);
}

#[test]
fn text_labels_are_sorted() {
    let data = shipped("breast_cancer.csv");
    let outputs = fit_outputs(&data, &[], "diagnosis", Task::Classify).unwrap();
    let Outputs::Classify { labels, .. } = &outputs else { panic!("not a classification") };
    assert_eq!(labels, &["benign", "malignant"]);
    let inputs = fit_inputs(&data, &all(&data), &options("diagnosis")).unwrap();
    let first = examples_of(&data, &[0, 568], &inputs, &outputs).unwrap();
    assert_eq!(first.targets, Targets::Classes(vec![1, 0]));
}

#[test]
fn only_training_rows_are_looked_at() {
    let data = shipped("diabetes.csv");
    let classes = None;
    let plan = SplitPlan::Fractions { train: 0.5, validate: 0.0, calibrate: 0.0, test: 0.5, stratify: false };
    let parts = split(data.rows(), classes, &plan, 1).unwrap();
    let inputs = fit_inputs(&data, &parts.train, &options("progression")).unwrap();
    let alone = data.table(&data.columns(), &parts.train).unwrap();
    let bmi: Vec<f64> = match &alone.column("bmi").unwrap().values {
        paring_model::Values::Number(cells) => cells.iter().copied().flatten().collect(),
        _ => panic!("not numbers"),
    };
    let [InputStep::Scale { mean, .. }] = inputs.steps.as_slice() else { panic!("not scaled") };
    let expected = bmi.iter().sum::<f64>() / bmi.len() as f64;
    assert!((f64::from(mean[2]) - expected).abs() < 1e-5);
    assert!((expected - 26.37579185520364).abs() > 1e-3, "the half has the whole's mean");
}

#[test]
fn codes_become_categories_and_stay_zero_and_one() {
    let data = shipped("diabetes.csv");
    let fit = FitOptions { categorical: vec!["sex".to_owned()], ..options("progression") };
    let inputs = fit_inputs(&data, &all(&data), &fit).unwrap();
    assert_eq!(inputs.shape, [11]);
    let categories = vec!["1".to_owned(), "2".to_owned()];
    assert_eq!(inputs.columns[1].encoding, Encoding::Category { categories, fill: None });
    let outputs = fit_outputs(&data, &all(&data), "progression", Task::Regress).unwrap();
    let first = examples_of(&data, &[0], &inputs, &outputs).unwrap();
    assert_eq!(&first.inputs.features().unwrap().data[1..3], &[0.0, 1.0]);
}

#[test]
fn missing_cells_follow_the_policy() {
    let data = csv("a,b,y\n1,x,0\n,x,1\n3,,0\n5,z,1\n");
    let rows = all(&data);
    let fitted = |missing| fit_inputs(&data, &rows, &FitOptions { missing, ..options("y") });
    let refused = fitted(MissingPolicy::Error).unwrap_err();
    assert_eq!(refused.to_string(), "column `a` has no value in row 2");
    assert!(refused.help().unwrap().contains("drop_rows"));
    let filled = fitted(MissingPolicy::Mean).unwrap();
    assert_eq!(filled.columns[0].encoding, Encoding::Number { fill: Some(3.0) });
    let dropping = FitOptions { missing: MissingPolicy::DropRows, ..options("y") };
    let left = complete_rows(&data, &dropping).unwrap();
    assert_eq!(left, [0, 3]);
    assert_eq!(fit_inputs(&data, &left, &dropping).unwrap().columns[0].encoding, Encoding::Number { fill: None });
    // A missing row that is not among the training rows stays an error for whoever asks for it.
    let outputs = fit_outputs(&data, &left, "y", Task::Classify).unwrap();
    assert!(examples_of(&data, &[1], &fit_inputs(&data, &left, &dropping).unwrap(), &outputs).is_err());
}

#[test]
fn numbers_that_are_not_finite_are_refused_wherever_they_are() {
    let data = csv("a,y\n1,0\n2,1\nNaN,0\n");
    let refused = fit_inputs(&data, &[0, 1], &options("y")).unwrap_err();
    assert_eq!(refused.to_string(), "column `a` holds `NaN` in row 3, expected a finite 32-bit float");
    let large = csv("a,y\n1,0\n1e300,1\n");
    assert!(matches!(fit_inputs(&large, &[0], &options("y")), Err(DataError::NotFinite { row: 2, .. })));
}

#[test]
fn labels_that_cannot_be_learned_are_refused() {
    let refused = |text: &str, task| fit_outputs(&csv(text), &[0, 1], "y", task).unwrap_err().to_string();
    assert_eq!(
        refused("a,y\n1,5\n2,5\n", Task::Classify),
        "label column `y` has one class only, `5`, expected at least 2"
    );
    assert_eq!(
        refused("a,y\n1,5\n2,\n3,\n", Task::Classify),
        "label column `y` has no value in row 2 and in 1 more row"
    );
    assert_eq!(
        refused("a,y\n1,low\n2,high\n", Task::Regress),
        "column `y` holds text, expected numbers: a regression predicts a number"
    );
    assert_eq!(
        refused("a,y\n1,5\n2,5\n3,6\n", Task::Regress),
        "column `y`: is `5` in every training row, expected targets that differ"
    );
}

#[test]
fn columns_that_are_named_wrong_are_refused() {
    let data = csv("a,b,y\n1,2,0\n3,4,1\n");
    let refused = |features: &[&str], label: &str| {
        let features = Some(features.iter().map(|name| (*name).to_owned()).collect());
        fit_inputs(&data, &[0, 1], &FitOptions { features, ..options(label) }).unwrap_err().to_string()
    };
    assert_eq!(refused(&["a"], "z"), "there is no column `z`");
    assert_eq!(refused(&["c"], "y"), "there is no column `c`");
    assert_eq!(refused(&["a", "y"], "y"), "column `y`: is the label and a feature, expected one of them");
    assert_eq!(refused(&["a", "a"], "y"), "column `a`: is named twice as a feature");
    assert_eq!(
        refused(&[], "y"),
        "column `y`: is the only column, expected at least one feature column beside the label"
    );
}

#[test]
fn too_many_categories_are_refused() {
    let rows: String = (0..1001).map(|row| format!("name{row},{}\n", row % 2)).collect();
    let data = csv(&format!("a,y\n{rows}"));
    let refused = fit_inputs(&data, &all(&data), &options("y")).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "column `a` has 1001 different values, expected at most 1000 for a column of categories"
    );
}

#[test]
fn a_class_that_the_model_does_not_know_is_named() {
    let train = csv("a,y\n1,cat\n2,dog\n");
    let inputs = fit_inputs(&train, &[0, 1], &options("y")).unwrap();
    let outputs = fit_outputs(&train, &[0, 1], "y", Task::Classify).unwrap();
    let refused = examples_of(&csv("a,y\n1,cow\n"), &[0], &inputs, &outputs).unwrap_err();
    assert_eq!(refused.to_string(), "column `y` holds `cow` in row 1, which is not a class that the model knows");
}

#[test]
fn a_test_file_is_appended() {
    let both = csv("a,y\n1,0\n2,1\n").append(&csv("y,a\n1,4\n")).unwrap();
    let inputs = fit_inputs(&both, &[0, 1], &FitOptions { scale: Scaling::None, ..options("y") }).unwrap();
    let outputs = fit_outputs(&both, &[0, 1], "y", Task::Classify).unwrap();
    let test = examples_of(&both, &[2], &inputs, &outputs).unwrap();
    assert_eq!((test.inputs.features().unwrap().data.clone(), test.targets), (vec![4.0], Targets::Classes(vec![1])));
}

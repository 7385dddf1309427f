//! No pass of the kind `select` looks at rows that it is not trained on: where the answers have nothing to do with the
//! features, a model that reads what it leaves is right on held-out rows no more often than by chance.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a failure is a panic")]

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::record_batch::RecordBatch;
use indexmap::IndexMap;
use paring_data::fit::{FitOptions, fit_inputs, fit_outputs};
use paring_data::{Dataset, Part, Parts, Targets};
use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::{Checkpoint, Task};
use paring_passes::registry::builtin;
use paring_passes::{Cx, PassError, Services, Trial};
use paring_train::Stream;
use paring_train::metrics::{accuracy, most_likely};
use rand::RngExt as _;
use serde_json::{Value, json};

/// An engine that has nothing to do.
struct Idle;

impl Services for Idle {
    fn progress(&self, _: usize, _: usize, _: &str) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn trial(&self, _: usize, _: &Checkpoint, _: &IndexMap<String, Value>) -> Result<Trial, PassError> {
        Err(PassError::Failed("selection runs no trials".to_owned()))
    }

    fn measure(&self, _: &str, _: &Checkpoint, _: Part) -> Result<f64, PassError> {
        Err(PassError::Failed("selection takes no measures".to_owned()))
    }
}

/// Rows of each part.
const ROWS: usize = 60;
const FEATURES: usize = 400;
/// Tables that are drawn: 480 held-out rows in all, so that the share that is right has a deviation of 0.023.
const TABLES: u64 = 8;

/// Features from 0 to 1, and classes that are drawn without looking at them.
fn noise(seed: u64) -> (Dataset, Parts) {
    let mut rng = Stream::new(seed).split("noise").rng();
    let rows = 3 * ROWS;
    let mut columns: Vec<(String, ArrayRef)> = (0..FEATURES)
        .map(|index| {
            let cells = (0..rows).map(|_| rng.random::<f64>());
            (format!("x{index}"), Arc::new(Float64Array::from_iter_values(cells)) as ArrayRef)
        })
        .collect();
    // One feature follows another, for the pass that drops such.
    columns.push(("copy".to_owned(), columns[0].1.clone()));
    let labels: Vec<&str> = (0..rows).map(|_| if rng.random::<f64>() < 0.5 { "a" } else { "b" }).collect();
    columns.push(("label".to_owned(), Arc::new(StringArray::from(labels))));
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let parts = Parts {
        train: (0..ROWS).collect(),
        validate: (ROWS..2 * ROWS).collect(),
        test: (2 * ROWS..rows).collect(),
        ..Parts::default()
    };
    (Dataset { batch, image: None, paths: Vec::new(), digest: String::new() }, parts)
}

fn run(pass: &str, parameters: &Value, data: (&Dataset, &Parts), model: Checkpoint) -> Checkpoint {
    let pass = builtin().into_iter().find(|candidate| candidate.info().id == pass).unwrap();
    let mut cx = Cx { stage: "select", sites: &[], data: Some(data), stream: Stream::new(0), services: &Idle };
    pass.configure(parameters).unwrap().run(&mut cx, model).unwrap().model
}

/// The share of held-out rows that models are right on which were trained after the pass, which was given the rows that
/// `shown` makes of the parts.
fn accuracy_after(pass: &str, parameters: &Value, shown: fn(&Parts) -> Parts) -> f64 {
    let one = |seed| {
        let (dataset, parts) = noise(seed);
        let options = FitOptions { label: "label".to_owned(), ..FitOptions::default() };
        let inputs = fit_inputs(&dataset, &parts.train, &options).unwrap();
        let outputs = fit_outputs(&dataset, &parts.train, "label", Task::Classify).unwrap();
        let spec = Spec::Mlp(MlpSpec { hidden: vec![8], activation: Activation::Relu, dropout: 0.0 });
        let selected = run(pass, parameters, (&dataset, &shown(&parts)), Checkpoint::unbuilt(spec, inputs, outputs));
        let training = json!({"epochs": 15, "learning_rate": 0.01});
        let trained = run("train/fit", &training, (&dataset, &parts), selected);
        let outputs = trained.outputs().unwrap();
        let rows = paring_data::examples::examples(&dataset, &parts.test, &trained, outputs).unwrap();
        let told = trained.predict(&rows.inputs, 256).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let Targets::Classes(truth) = rows.targets else { panic!("no classes") };
        accuracy(&most_likely(&told, 2), &truth).unwrap()
    };
    (0..TABLES).map(one).sum::<f64>() / TABLES as f64
}

/// Every pass of the kind, with parameters that leave few features of this table.
const PASSES: &[(&str, &str)] = &[
    ("select/variance", r#"{"threshold": 0.083}"#),
    ("select/correlation", "{}"),
    ("select/anova-f", r#"{"keep": 10}"#),
    ("select/chi2", r#"{"keep": 10}"#),
    ("select/mutual-information", r#"{"keep": 10}"#),
    ("select/l1", r#"{"c": 0.2}"#),
    ("select/rfe", r#"{"keep": 10, "step": 20}"#),
    ("select/rfecv", r#"{"step": 20}"#),
    ("select/sequential", r#"{"keep": 2, "folds": 3}"#),
    ("select/permutation", r#"{"keep": 10}"#),
    ("select/scale", r#"{"method": "quantile"}"#),
    ("select/polynomial", "{}"),
    ("select/pca", r#"{"keep": 10}"#),
    ("select/truncated-svd", r#"{"keep": 10}"#),
];

#[test]
fn held_out_rows_stay_unseen() {
    for (pass, parameters) in PASSES {
        let parameters: Value = serde_json::from_str(parameters).unwrap();
        let right = accuracy_after(pass, &parameters, Parts::clone);
        assert!((right - 0.5).abs() < 0.07, "{pass}: {right}");
    }
}

/// What a leak looks like: features chosen on training and test rows together.
#[test]
fn held_out_rows_that_are_seen_show() {
    let all = |parts: &Parts| Parts { train: [parts.train.clone(), parts.test.clone()].concat(), ..parts.clone() };
    let right = accuracy_after("select/anova-f", &json!({"keep": 10}), all);
    assert!(right > 0.6, "{right}");
}

#[test]
fn every_pass_of_the_kind_is_asked() {
    let ids = builtin().into_iter().map(|pass| pass.info().id).filter(|id| id.starts_with("select/"));
    let missing: Vec<&str> = ids.filter(|id| !PASSES.iter().any(|(known, _)| known == id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

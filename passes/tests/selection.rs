//! Selection against scikit-learn 1.9.1, on whole tables that were standardized first (`StandardScaler`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::path::Path;

use indexmap::IndexMap;
use paring_data::fit::{FitOptions, fit_inputs, fit_outputs};
use paring_data::read::{ReadOptions, read};
use paring_data::{Dataset, Part, Parts};
use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::{Checkpoint, InputStep, Task};
use paring_passes::registry::builtin;
use paring_passes::{Cx, Outcome, PassError, Services, Trial};
use paring_train::Stream;
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

/// A shipped table with all its rows for training, and a model from nothing that reads it.
struct Table {
    dataset: Dataset,
    parts: Parts,
    model: Checkpoint,
}

impl Table {
    fn open(name: &str, label: &str, task: Task) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/data").join(name);
        let dataset = read(&path, &ReadOptions::default()).unwrap();
        let rows: Vec<usize> = (0..dataset.rows()).collect();
        let options = FitOptions { label: label.to_owned(), ..FitOptions::default() };
        let inputs = fit_inputs(&dataset, &rows, &options).unwrap();
        let outputs = fit_outputs(&dataset, &rows, label, task).unwrap();
        let spec = Spec::Mlp(MlpSpec { hidden: vec![4], activation: Activation::Relu, dropout: 0.0 });
        let model = Checkpoint::unbuilt(spec, inputs, outputs);
        Self { dataset, parts: Parts { train: rows, ..Parts::default() }, model }
    }

    fn run(&self, pass: &str, parameters: &Value) -> Outcome {
        let pass = builtin().into_iter().find(|candidate| candidate.info().id == pass).unwrap();
        let step = pass.configure(parameters).unwrap();
        let data = Some((&self.dataset, &self.parts));
        let mut cx = Cx { stage: "select", sites: &[], data, stream: Stream::new(0), services: &Idle };
        step.run(&mut cx, self.model.clone()).unwrap()
    }

    /// Column numbers of the features that the pass leaves.
    fn kept(&self, pass: &str, parameters: &Value) -> Vec<usize> {
        match self.run(pass, parameters).model.inputs().unwrap().steps.last() {
            Some(InputStep::Select { keep, .. }) => keep.clone(),
            other => panic!("{other:?}"),
        }
    }
}

/// `RFE(LogisticRegression(max_iter=100000), n_features_to_select=32)`.
#[test]
fn rfe_keeps_the_pixels_that_the_reference_keeps() {
    let reference = [
        3, 4, 5, 6, 10, 12, 18, 19, 20, 21, 26, 27, 28, 29, 30, 33, 34, 35, 36, 38, 41, 42, 43, 44, 45, 51, 52, 53, 54,
        58, 61, 62,
    ];
    let kept = Table::open("digits.csv", "digit", Task::Classify).kept("select/rfe", &json!({"keep": 32}));
    assert_eq!(kept, reference);
}

/// `RFE(LogisticRegression(max_iter=100000), n_features_to_select=15)`.
#[test]
fn rfe_keeps_the_measurements_that_the_reference_keeps() {
    let reference = [3, 5, 7, 10, 12, 13, 15, 20, 21, 22, 23, 24, 26, 27, 28];
    let kept = Table::open("breast_cancer.csv", "diagnosis", Task::Classify).kept("select/rfe", &json!({"keep": 15}));
    assert_eq!(kept, reference);
}

/// `RFE(Ridge(alpha=1.0), n_features_to_select=4)` on the standardized target.
#[test]
fn rfe_ranks_as_the_reference_for_numbers() {
    let reference = [7.0, 3.0, 1.0, 2.0, 1.0, 1.0, 6.0, 4.0, 1.0, 5.0];
    let table = Table::open("diabetes.csv", "progression", Task::Regress);
    let outcome = table.run("select/rfe", &json!({"keep": 4}));
    let ranks: Vec<f64> = outcome.receipt.sites.values().map(|feature| feature["rank"]).collect();
    assert_eq!(ranks, reference);
}

/// `VarianceThreshold(0.5)` on the table as it is, for features are compared in their own unit.
#[test]
fn variance_drops_what_the_reference_drops() {
    let dropped = [0, 8, 16, 23, 24, 31, 32, 39, 40, 47, 48, 56];
    let kept = Table::open("digits.csv", "digit", Task::Classify).kept("select/variance", &json!({"threshold": 0.5}));
    let expected: Vec<usize> = (0..64).filter(|pixel| !dropped.contains(pixel)).collect();
    assert_eq!(kept, expected);
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < 1e-4, "{what} {index}: found {found}, expected {expected}");
    }
}

/// `PCA(n_components=3)`: variances, their shares, and the components with their signs.
#[test]
fn principal_components_are_those_of_the_reference() {
    let components = [
        [
            0.218902, 0.103725, 0.227537, 0.220995, 0.14259, 0.239285, 0.2584, 0.260854, 0.138167, 0.064363, 0.205979,
            0.017428, 0.211326, 0.20287, 0.014531, 0.170393, 0.15359, 0.183417, 0.042498, 0.102568, 0.227997, 0.104469,
            0.23664, 0.224871, 0.127953, 0.210096, 0.228768, 0.250886, 0.122905, 0.131784,
        ],
        [
            -0.233857, -0.059706, -0.215181, -0.231077, 0.186113, 0.151892, 0.060165, -0.034768, 0.190349, 0.366575,
            -0.105552, 0.08998, -0.089457, -0.152293, 0.20443, 0.232716, 0.197207, 0.130322, 0.183848, 0.280092,
            -0.219866, -0.045467, -0.199878, -0.219352, 0.172304, 0.143593, 0.097964, -0.008257, 0.141883, 0.275339,
        ],
        [
            -0.008531, 0.06455, -0.009314, 0.0287, -0.104292, -0.074092, 0.002734, -0.025564, -0.04024, -0.022574,
            0.268481, 0.374634, 0.266645, 0.216007, 0.308839, 0.15478, 0.176464, 0.224658, 0.288584, 0.211504,
            -0.047507, -0.042298, -0.048547, -0.011902, -0.259798, -0.236076, -0.173057, -0.170344, -0.271313,
            -0.232791,
        ],
    ];
    let table = Table::open("breast_cancer.csv", "diagnosis", Task::Classify);
    let outcome = table.run("select/pca", &json!({"keep": 3}));
    let figure = |name: &str| outcome.receipt.sites.values().map(|component| component[name]).collect::<Vec<_>>();
    assert_close(&figure("explained_variance"), &[13.304991, 5.701375, 2.82291], "variance");
    assert_close(&figure("explained_variance_ratio"), &[0.44272, 0.189712, 0.093932], "share");
    let Some(InputStep::Project { components: found, .. }) = outcome.model.inputs().unwrap().steps.last() else {
        panic!("no projection");
    };
    for (index, (found, expected)) in found.chunks(30).zip(&components).enumerate() {
        let found: Vec<f64> = found.iter().map(|&entry| f64::from(entry)).collect();
        assert_close(&found, expected, &format!("component {index}, entry"));
    }
}

/// `PCA(n_components=0.95)` keeps 40 components of the pixels and 10 of the measurements.
#[test]
fn a_share_of_the_variance_needs_as_many_components_as_in_the_reference() {
    let count = |table: &Table| table.run("select/pca", &json!({"variance": 0.95})).receipt.figures["components"];
    assert_eq!(count(&Table::open("digits.csv", "digit", Task::Classify)), 40.0);
    assert_eq!(count(&Table::open("breast_cancer.csv", "diagnosis", Task::Classify)), 10.0);
}

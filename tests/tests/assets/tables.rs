//! Selection against scikit-learn 1.9.1 on whole tables of wines (13 features), spam mails (57) and letters (16), which
//! were standardized first but for chi-squared.

use indexmap::IndexMap;
use paring_data::fit::{FitOptions, fit_inputs, fit_outputs};
use paring_data::read::{ReadOptions, read};
use paring_data::{Part, Parts};
use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::{Checkpoint, InputStep, Task};
use paring_passes::registry::builtin;
use paring_passes::{Cx, PassError, Receipt, Services, Trial};
use paring_train::Stream;
use rstest::rstest;
use serde_json::{Value, json};

use super::asset;

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

/// Runs a pass with all rows for training: the last step of the model's inputs, and the receipt.
fn select(table: &str, pass: &str, parameters: &Value) -> (InputStep, Receipt) {
    let data = read(&asset(&format!("tables/{table}.csv")), &ReadOptions::default()).unwrap();
    let parts = Parts { train: (0..data.rows()).collect(), ..Parts::default() };
    let options = FitOptions { label: "class".to_owned(), ..FitOptions::default() };
    let inputs = fit_inputs(&data, &parts.train, &options).unwrap();
    let outputs = fit_outputs(&data, &parts.train, "class", Task::Classify).unwrap();
    let spec = Spec::Mlp(MlpSpec { hidden: vec![4], activation: Activation::Relu, dropout: 0.0 });
    let model = Checkpoint::unbuilt(spec, inputs, outputs);
    let mut cx =
        Cx { stage: "select", sites: &[], data: Some((&data, &parts)), stream: Stream::new(0), services: &Idle };
    let pass = builtin().into_iter().find(|candidate| candidate.info().id == pass).unwrap();
    let outcome = pass.configure(parameters).unwrap().run(&mut cx, model).unwrap();
    let step = outcome.model.inputs().unwrap().steps.last().cloned().unwrap();
    (step, outcome.receipt)
}

fn kept(table: &str, pass: &str, parameters: &Value) -> Vec<usize> {
    match select(table, pass, parameters).0 {
        InputStep::Select { keep, .. } => keep,
        other => panic!("{other:?}"),
    }
}

const SPAM_ANOVA: [usize; 28] =
    [2, 4, 5, 6, 7, 8, 10, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 25, 26, 27, 29, 34, 36, 45, 51, 52, 55, 56];
const SPAM_CHI: [usize; 28] =
    [3, 4, 6, 7, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 34, 41, 44, 45, 51, 52, 54, 55, 56];
const SPAM_ELIMINATION: [usize; 28] =
    [3, 4, 6, 15, 16, 19, 22, 23, 24, 25, 26, 28, 30, 32, 34, 38, 40, 41, 43, 44, 45, 47, 51, 52, 53, 54, 55, 56];

#[rstest]
#[case("wine", &[0, 6, 9, 10, 11, 12])]
#[case("spambase", &SPAM_ANOVA)]
#[case("letter", &[6, 7, 8, 10, 11, 12, 13, 14])]
fn analysis_of_variance(#[case] table: &str, #[case] expected: &[usize]) {
    assert_eq!(kept(table, "select/anova-f", &json!({"keep": expected.len()})), expected);
}

#[rstest]
#[case("wine", &[1, 3, 4, 6, 9, 12])]
#[case("spambase", &SPAM_CHI)]
#[case("letter", &[6, 7, 8, 9, 10, 11, 12, 14])]
fn chi_squared(#[case] table: &str, #[case] expected: &[usize]) {
    assert_eq!(kept(table, "select/chi2", &json!({"keep": expected.len()})), expected);
}

#[rstest]
#[case("wine", &[0, 6, 9, 10, 11, 12])]
#[case("letter", &[6, 7, 8, 10, 11, 12, 13, 14])]
fn mutual_information(#[case] table: &str, #[case] expected: &[usize]) {
    assert_eq!(kept(table, "select/mutual-information", &json!({"keep": expected.len()})), expected);
}

/// `RFE(LogisticRegression(max_iter=100000, tol=1e-10))`.
#[rstest]
#[case("wine", &[0, 6, 9, 10, 11, 12])]
#[case("spambase", &SPAM_ELIMINATION)]
fn recursive_elimination(#[case] table: &str, #[case] expected: &[usize]) {
    assert_eq!(kept(table, "select/rfe", &json!({"keep": expected.len()})), expected);
}

/// `RFECV(LogisticRegression(max_iter=100000, tol=1e-10), cv=5)`, and `SequentialFeatureSelector`.
#[test]
fn held_out_rows_choose_what_the_reference_chooses() {
    assert_eq!(kept("wine", "select/rfecv", &json!({})), [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert_eq!(kept("wine", "select/sequential", &json!({"keep": 6})), [0, 6, 9, 10, 11, 12]);
    let backward = kept("wine", "select/sequential", &json!({"keep": 6, "direction": "backward"}));
    assert_eq!(backward, [0, 2, 3, 10, 11, 12]);
}

/// `LogisticRegression(l1_ratio=1, solver="saga", C=0.1, tol=1e-9)` uses these for one class or another.
#[test]
fn few_coefficients_are_left() {
    assert_eq!(kept("wine", "select/l1", &json!({"c": 0.1})), [0, 2, 3, 6, 9, 10, 11, 12]);
}

/// `PCA(n_components=0.95)`.
#[rstest]
#[case("wine", 10, [4.732437, 2.511081])]
#[case("spambase", 48, [6.594016, 3.268354])]
#[case("letter", 12, [4.2956, 2.625573])]
fn principal_components(#[case] table: &str, #[case] expected: usize, #[case] variances: [f64; 2]) {
    let (step, receipt) = select(table, "select/pca", &json!({}));
    assert_eq!(step.width(), expected);
    for (component, variance) in receipt.sites.values().zip(variances) {
        assert!((component["explained_variance"] - variance).abs() < 1e-5 * variance, "{component:?}");
    }
}

//! Gradients of whole networks against central differences, in f64, with batch statistics and pooling.

use candle_core::{DType, Tensor, Var};
use paring_model::tap::WeightSource;
use paring_model::{Forward, Input, Mode, Outline, families};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Weights, outline, random, spec, uniform};

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 2e-6;

/// A number that depends on every output: their sum, weighted.
fn loss(outline: &Outline, weights: &Weights, x: &Tensor, mode: Mode) -> Tensor {
    let network = families::network(outline, weights).unwrap().unwrap();
    let mut noise = uniform(3);
    let mut cx = Forward { mode, observer: None, uniform: Some(&mut noise), statistics: None };
    let y = network.forward(&Input::Features(x.clone()), &mut cx).unwrap();
    let factors = random(y.dims(), -1.0, 1.0, 99).to_dtype(DType::F64).unwrap();
    y.mul(&factors).unwrap().sum_all().unwrap()
}

/// Moves one entry of a variable.
fn shift(variable: &Var, entry: usize, by: f64) {
    let mut numbers = variable.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    numbers[entry] += by;
    variable.set(&Tensor::from_vec(numbers, variable.dims(), variable.device()).unwrap()).unwrap();
}

/// The slope of the loss along one entry.
fn slope(variable: &Var, entry: usize, loss: &dyn Fn() -> Tensor) -> f64 {
    shift(variable, entry, STEP);
    let above = loss().to_scalar::<f64>().unwrap();
    shift(variable, entry, -2.0 * STEP);
    let below = loss().to_scalar::<f64>().unwrap();
    shift(variable, entry, STEP);
    (above - below) / (2.0 * STEP)
}

fn check(family: &str, settings: Value, shape: &[usize], mode: Mode) {
    let outline = outline(&spec(family, settings), shape, 3);
    let weights = Weights::new(&outline, DType::F64, 5);
    let rows = [&[4], shape].concat();
    let x = Var::from_tensor(&random(&rows, -1.0, 1.0, 1).to_dtype(DType::F64).unwrap()).unwrap();
    let loss = || loss(&outline, &weights, &x, mode);
    let gradients = loss().backward().unwrap();
    let learned = outline.weights.keys().filter(|name| !name.contains("running"));
    let mut variables: Vec<(String, Var)> =
        learned.map(|name| (name.clone(), Var::from_tensor(&weights.tensor(name).unwrap()).unwrap())).collect();
    variables.push(("input".to_owned(), x.clone()));
    for (name, variable) in &variables {
        let gradient = gradients.get(variable).unwrap_or_else(|| panic!("`{name}` has no gradient"));
        let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        for entry in [0, gradient.len() / 2, gradient.len() - 1] {
            let (found, expected) = (gradient[entry], slope(variable, entry, &loss));
            let apart = (found - expected).abs();
            assert!(apart <= TOLERANCE * (1.0 + expected.abs()), "`{name}` entry {entry}: {found} is not {expected}");
        }
    }
}

#[rstest]
fn mlp(
    #[values("relu", "gelu", "silu", "tanh")] activation: &str,
    #[values(Mode::Training, Mode::Differentiable)] mode: Mode,
) {
    check("mlp", json!({"hidden": [6, 5], "activation": activation, "dropout": 0.3}), &[7], mode);
}

#[rstest]
#[case::overlapping_max(json!({"max_pool": {"size": 3, "stride": 2, "padding": 1}}))]
#[case::uneven_max(json!({"max_pool": {"size": 2}}))]
#[case::overlapping_mean(json!({"average_pool": {"size": 3, "stride": 2, "padding": 1}}))]
#[case::uneven_mean(json!({"average_pool": {"size": 2}}))]
#[case::global_mean(json!({"global_average_pool": {}}))]
#[case::residual(json!({"residual": {"channels": 3}}))]
#[case::projected(json!({"residual": {"channels": 4, "stride": 2, "inner": 2}}))]
#[case::strided(json!({"conv": {"channels": 2, "kernel": 3, "stride": 2}}))]
#[case::five(json!({"conv": {"channels": 2, "kernel": 5, "stride": 3, "padding": 2, "activation": "silu"}}))]
#[case::dense(json!({"dense": {"width": 4, "dropout": 0.25}}))]
fn convnet(
    #[case] layer: Value,
    #[values(Mode::Training, Mode::Differentiable)] mode: Mode,
    #[values([2, 7, 7], [2, 6, 7])] image: [usize; 3],
) {
    let stem = json!({"conv": {"channels": 3, "batch_norm": true, "activation": "tanh"}});
    check("convnet", json!({"layers": [stem, layer]}), &image, mode);
}

//! Worked examples on two small variables, and resuming.

use candle_core::{Device, Tensor, Var};
use rstest::rstest;

use super::{AdamwSpec, Optimizer, OptimizerSpec, SgdSpec};

fn variables() -> Vec<(String, Var)> {
    let weight = Var::new(&[[1.0_f64, -2.0], [0.5, 3.0]], &Device::Cpu).unwrap();
    let bias = Var::new(&[0.1_f64, -0.2], &Device::Cpu).unwrap();
    vec![("weight".to_owned(), weight), ("bias".to_owned(), bias)]
}

/// sum(a w^2) + sum(b^2 + 0.3 b), with a = [[1, 2], [3, 0.5]].
fn loss(variables: &[(String, Var)]) -> Tensor {
    let a = Tensor::new(&[[1.0_f64, 2.0], [3.0, 0.5]], &Device::Cpu).unwrap();
    let weights = (variables[0].1.sqr().unwrap() * a).unwrap().sum_all().unwrap();
    let bias = &variables[1].1;
    let biases = (bias.sqr().unwrap() + (bias.as_tensor() * 0.3).unwrap()).unwrap().sum_all().unwrap();
    (weights + biases).unwrap()
}

fn take(optimizer: &mut Optimizer, variables: &[(String, Var)], steps: usize, rate: f64) {
    for _ in 0..steps {
        optimizer.step(&loss(variables).backward().unwrap(), rate, 1.0).unwrap();
    }
}

fn numbers(variables: &[(String, Var)]) -> Vec<f64> {
    variables.iter().flat_map(|(_, variable)| variable.flatten_all().unwrap().to_vec1::<f64>().unwrap()).collect()
}

fn adamw() -> OptimizerSpec {
    OptimizerSpec::Adamw(AdamwSpec { beta1: 0.8, beta2: 0.9, epsilon: 1e-3, weight_decay: 0.05 })
}

fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> OptimizerSpec {
    OptimizerSpec::Sgd(SgdSpec { momentum, nesterov, weight_decay })
}

/// Four steps of the formulae that PyTorch documents for AdamW and SGD, computed with numpy 2.4 in float64.
#[rstest]
#[case(adamw(), 0.1, [0.5879153560446851, -1.5651848541086106, 0.10779607135066932, 2.5447504937434924, -0.23589116657100567, -0.18222003948871643])]
#[case(sgd(0.9, true, 0.1), 0.05, [0.06291923411256248, 0.6723058461648752, -0.2129269349887187, 1.2899655103426872, -0.1265280225, -0.1546943955])]
#[case(sgd(0.9, false, 0.0), 0.05, [0.2268, 0.6172, -0.3214, 1.74388125, -0.0933, -0.16134])]
#[case(sgd(0.0, false, 0.0), 0.05, [0.6561, -0.8192, 0.12005, 2.44351875, 0.014025, -0.182805])]
fn steps_follow_the_published_formulae(#[case] spec: OptimizerSpec, #[case] rate: f64, #[case] expected: [f64; 6]) {
    let variables = variables();
    take(&mut Optimizer::new(spec, variables.clone()).unwrap(), &variables, 4, rate);
    for (found, expected) in numbers(&variables).iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
    }
}

#[rstest]
#[case(adamw())]
#[case(sgd(0.9, true, 0.1))]
fn a_restored_optimizer_goes_on_bit_for_bit(#[case] spec: OptimizerSpec) {
    let whole = variables();
    take(&mut Optimizer::new(spec, whole.clone()).unwrap(), &whole, 7, 0.05);

    let halves = variables();
    let mut first = Optimizer::new(spec, halves.clone()).unwrap();
    take(&mut first, &halves, 3, 0.05);
    let saved = first.state().unwrap();
    take(&mut first, &halves, 1, 0.05);
    let resumed = variables();
    take(&mut Optimizer::new(spec, resumed.clone()).unwrap(), &resumed, 3, 0.05);
    let mut second = Optimizer::new(spec, resumed.clone()).unwrap();
    second.restore(&saved).unwrap();
    take(&mut second, &resumed, 4, 0.05);
    assert_eq!(numbers(&whole), numbers(&resumed));
    assert_eq!(second.state().unwrap().steps, 7);
}

#[test]
fn a_state_that_does_not_fit_is_refused() {
    let mut optimizer = Optimizer::new(adamw(), variables()).unwrap();
    let mut state = optimizer.state().unwrap();
    state.tensors.remove("bias.mean");
    let message = optimizer.restore(&state).unwrap_err().to_string();
    assert_eq!(message, "the optimizer's state has no tensor `bias.mean`");
}

#[test]
fn a_variable_outside_the_loss_is_an_error() {
    let mut variables = variables();
    let gradients = loss(&variables).backward().unwrap();
    variables.push(("idle".to_owned(), Var::new(&[1.0_f64], &Device::Cpu).unwrap()));
    let mut optimizer = Optimizer::new(adamw(), variables).unwrap();
    let message = optimizer.step(&gradients, 0.1, 1.0).unwrap_err().to_string();
    assert_eq!(message, "the loss has no gradient for `idle`");
}

#[test]
fn the_gradient_norm_covers_all_variables() {
    let variables = variables();
    let optimizer = Optimizer::new(adamw(), variables.clone()).unwrap();
    let norm = optimizer.gradient_norm(&loss(&variables).backward().unwrap()).unwrap();
    // gradients: 2, -8, 3, 3 and 0.5, -0.1
    assert!((norm - f64::sqrt(4.0 + 64.0 + 9.0 + 9.0 + 0.25 + 0.01)).abs() < 1e-12);
}

//! The loop on small problems.

use candle_core::{Device, Tensor};
use paring_data::{Examples, Targets};
use paring_model::config::{Activation, ConvSpec, ConvnetLayer, ConvnetSpec, MlpSpec, NoSettings, Spec};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Inputs, Outputs, Weight, families};
use rand::RngExt as _;

use super::{ClassWeights, FitReport, FitSettings, Watch, fit};
use crate::error::{Result, TrainError};
use crate::loss::cross_entropy;
use crate::metrics::{accuracy, most_likely};
use crate::optimizer::{OptimizerSpec, SgdSpec};
use crate::rng::Stream;
use crate::schedule::Schedule;

mod taught;

/// Notes each learning rate; says stop after `limit` steps.
struct Note {
    rates: Vec<f64>,
    limit: usize,
}

impl Watch for Note {
    fn step(&mut self, _done: usize, _total: usize, _loss: f32, learning_rate: f64) {
        self.rates.push(learning_rate);
    }

    fn cancelled(&self) -> bool {
        self.rates.len() >= self.limit
    }
}

fn model(spec: Spec, shape: &[usize], outputs: Outputs) -> Checkpoint {
    let inputs = Inputs { columns: Vec::new(), steps: Vec::new(), shape: shape.to_vec() };
    let stream = Stream::new(1);
    let mut uniform = |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random());
    };
    families::initialize(&spec, &inputs, &outputs, &mut uniform).unwrap()
}

pub(super) fn mlp(hidden: &[usize], features: usize, dropout: f64, outputs: Outputs) -> Checkpoint {
    let spec = MlpSpec { hidden: hidden.to_vec(), activation: Activation::Relu, dropout };
    model(Spec::Mlp(spec), &[features], outputs)
}

pub(super) fn two_classes() -> Outputs {
    Outputs::Classify { column: "label".to_owned(), labels: vec!["no".to_owned(), "yes".to_owned()] }
}

pub(super) fn number() -> Outputs {
    Outputs::Regress { column: "y".to_owned(), mean: 0.0, scale: 1.0 }
}

/// Rows in [-1, 1)^features.
fn inputs(rows: usize, features: usize, name: &str) -> Matrix {
    let mut rng = Stream::new(5).split(name).rng();
    Matrix { rows, columns: features, data: (0..rows * features).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect() }
}

/// Class 1 where the first two features have the same sign.
fn same_sign(rows: usize, features: usize, name: &str) -> Examples {
    let inputs = inputs(rows, features, name);
    let class = |row: &[f32]| u32::from(row[0] * row[1] > 0.0);
    let targets = Targets::Classes(inputs.data.chunks(features).map(class).collect());
    Examples { inputs: inputs.into(), targets }
}

fn settings(epochs: usize) -> FitSettings {
    FitSettings { epochs, batch_size: 16, learning_rate: 0.02, ..FitSettings::default() }
}

fn run(model: &mut Checkpoint, train: &Examples, settings: &FitSettings) -> Result<FitReport> {
    fit(model, train, None, None, settings, &Stream::new(3), &mut Note { rates: Vec::new(), limit: usize::MAX })
}

fn numbers(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn everything(model: &Checkpoint) -> Vec<Vec<f32>> {
    model.names().iter().map(|name| numbers(model, name)).collect()
}

fn share_right(model: &Checkpoint, rows: &Examples) -> f64 {
    let Targets::Classes(truth) = &rows.targets else { panic!("no classes") };
    let logits = model.predict(&rows.inputs, 64).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    accuracy(&most_likely(&logits, 2), truth).unwrap()
}

#[test]
fn a_network_learns_what_no_line_separates() {
    let mut model = mlp(&[16], 2, 0.0, two_classes());
    let report = run(&mut model, &same_sign(256, 2, "train"), &settings(40)).unwrap();
    assert_eq!((report.steps, report.epochs, report.best_epoch), (640, 40, 40));
    assert!(report.train_loss[39] < report.train_loss[0] / 3.0, "{:?}", report.train_loss);
    let right = share_right(&model, &same_sign(256, 2, "test"));
    assert!(right > 0.93, "{right}");
}

#[test]
fn the_same_stream_gives_the_same_bits_on_one_thread_and_two() {
    let trained = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut model = mlp(&[256, 128], 64, 0.2, two_classes());
            let settings = FitSettings { batch_size: 64, clip_norm: Some(1.0), ..settings(2) };
            let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
            fit(&mut model, &same_sign(160, 64, "train"), None, None, &settings, &Stream::new(seed), &mut watch)
                .unwrap();
            everything(&model)
        })
    };
    let once = trained(1, 3);
    assert_eq!(once, trained(2, 3));
    assert_ne!(once, trained(1, 4));
}

#[test]
fn without_dropout_a_model_trains_as_one_that_names_no_rate() {
    let rows = same_sign(64, 2, "train");
    let trained = |rate: f64, dropout: bool| {
        let mut model = mlp(&[16], 2, rate, two_classes());
        run(&mut model, &rows, &FitSettings { dropout, ..settings(2) }).unwrap();
        everything(&model)
    };
    assert_eq!(trained(0.5, false), trained(0.0, true));
    assert_ne!(trained(0.5, true), trained(0.0, true));
}

#[test]
fn early_stopping_keeps_the_best_weights() {
    let mut train = same_sign(32, 8, "train");
    train.targets = Targets::Classes((0..32).map(|row| row % 2).collect());
    let validate = same_sign(64, 8, "validate");
    let settings = FitSettings { early_stopping: Some(3), ..settings(50) };
    let mut model = mlp(&[64], 8, 0.0, two_classes());
    let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
    let report = fit(&mut model, &train, Some(&validate), None, &settings, &Stream::new(3), &mut watch).unwrap();
    assert_eq!(report.epochs, report.best_epoch + 3);
    let Targets::Classes(truth) = &validate.targets else { panic!("no classes") };
    let truth = Tensor::from_slice(truth, 64, &Device::Cpu).unwrap();
    let logits = model.predict(&validate.inputs, 64).unwrap();
    let kept = cross_entropy(&logits, &truth, None, 0.0).unwrap().to_scalar::<f32>().unwrap();
    assert!((kept - report.validate_loss[report.best_epoch - 1]).abs() < 1e-6, "{kept}: {:?}", report.validate_loss);
    assert!(report.validate_loss.iter().all(|&loss| loss >= kept - 1e-6));
}

#[test]
fn early_stopping_needs_validation_rows() {
    let settings = FitSettings { early_stopping: Some(3), ..settings(5) };
    let failed = run(&mut mlp(&[4], 2, 0.0, two_classes()), &same_sign(8, 2, "train"), &settings);
    assert_eq!(failed.unwrap_err().to_string(), "there are no validation rows");
}

#[test]
fn a_rate_that_is_too_high_is_told_from_training() {
    let inputs = inputs(64, 4, "train");
    let targets = Targets::Values(inputs.data.iter().step_by(4).copied().collect());
    let examples = Examples { targets, inputs: inputs.into() };
    let optimizer = OptimizerSpec::Sgd(SgdSpec::default());
    let settings = FitSettings { learning_rate: 50.0, optimizer, ..settings(20) };
    let mut model = mlp(&[8], 4, 0.0, number());
    let before = everything(&model);
    let failed = run(&mut model, &examples, &settings).unwrap_err();
    assert!(matches!(failed, TrainError::Diverged { epoch: 1..=3, .. }), "{failed}");
    assert_eq!(everything(&model), before);
}

#[test]
fn an_interrupted_run_leaves_the_model_as_it_was() {
    let mut model = mlp(&[4], 2, 0.0, two_classes());
    let before = everything(&model);
    let mut watch = Note { rates: Vec::new(), limit: 5 };
    let rows = same_sign(64, 2, "train");
    let failed = fit(&mut model, &rows, None, None, &settings(10), &Stream::new(3), &mut watch).unwrap_err();
    assert!(matches!(failed, TrainError::Interrupted));
    assert_eq!((watch.rates.len(), everything(&model) == before), (5, true));
}

#[test]
fn masked_weights_stay_exactly_zero() {
    let mut model = mlp(&[16], 2, 0.0, two_classes());
    let mask = Tensor::arange(0_f32, 32.0, &Device::Cpu).unwrap().reshape((16, 2)).unwrap().lt(16.0).unwrap();
    let pruned = (model.tensor("layers.0.weight").unwrap() * mask.to_dtype(candle_core::DType::F32).unwrap()).unwrap();
    model.set_weight("layers.0.weight", Weight::Dense { tensor: pruned, masked: true });
    run(&mut model, &same_sign(64, 2, "train"), &settings(5)).unwrap();
    let weights = numbers(&model, "layers.0.weight");
    assert!(weights[16..].iter().all(|&weight| weight == 0.0), "{weights:?}");
    assert!(weights[..16].iter().all(|&weight| weight != 0.0), "{weights:?}");
    assert!(matches!(model.weight("layers.0.weight").unwrap(), Weight::Dense { masked: true, .. }));
}

#[test]
fn batch_norm_keeps_running_statistics_that_the_optimizer_leaves_alone() {
    let conv =
        ConvSpec { channels: 4, kernel: 3, stride: 1, padding: None, batch_norm: true, activation: Activation::Relu };
    let layers = vec![ConvnetLayer::Conv(conv), ConvnetLayer::GlobalAveragePool(NoSettings {})];
    let spec = Spec::Convnet(ConvnetSpec { input: None, layers });
    let mut model = model(spec, &[1, 4, 4], two_classes());
    run(&mut model, &same_sign(33, 16, "train"), &settings(1)).unwrap();
    let (mean, variance) =
        (numbers(&model, "layers.0.norm.running_mean"), numbers(&model, "layers.0.norm.running_var"));
    assert!(mean.iter().all(|&mean| mean != 0.0 && mean.is_finite()), "{mean:?}");
    // two batches (16 and 17 rows) at momentum 0.1 leave 0.81 of the ones that it began with
    assert!(variance.iter().all(|&variance| variance > 0.81 && variance < 1.2), "{variance:?}");
}

#[test]
fn clipping_bounds_the_step() {
    let mut model = mlp(&[], 2, 0.0, two_classes());
    let before = everything(&model);
    let plain = OptimizerSpec::Sgd(SgdSpec { momentum: 0.0, nesterov: false, weight_decay: 0.0 });
    let schedule = Schedule::Constant;
    let base = FitSettings { batch_size: 64, optimizer: plain, learning_rate: 1.0, schedule, ..settings(1) };
    run(&mut model, &same_sign(64, 2, "train"), &FitSettings { clip_norm: Some(1e-3), ..base }).unwrap();
    let after = everything(&model);
    let moved = before.concat().iter().zip(after.concat()).map(|(before, after)| (after - before).powi(2)).sum::<f32>();
    assert!((moved.sqrt() - 1e-3).abs() < 1e-6, "{}", moved.sqrt());
}

#[test]
fn the_rate_warms_up_and_follows_the_schedule() {
    let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
    let settings = FitSettings {
        learning_rate: 1.0,
        schedule: Schedule::Linear,
        warmup_epochs: 0.5,
        class_weights: ClassWeights::Balanced,
        label_smoothing: 0.1,
        ..settings(2)
    };
    let rows = same_sign(32, 2, "train");
    let mut model = mlp(&[4], 2, 0.0, two_classes());
    fit(&mut model, &rows, None, None, &settings, &Stream::new(3), &mut watch).unwrap();
    let expected = [0.5, 1.0, 2.0 / 3.0, 1.0 / 3.0];
    let close = watch.rates.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12);
    assert!(close && watch.rates.len() == 4, "{:?}", watch.rates);
}

#[test]
fn frozen_weights_stay_and_others_have_their_own_rate() {
    let rows = same_sign(64, 2, "train");
    let trained = |settings: &FitSettings| {
        let mut model = mlp(&[8], 2, 0.0, two_classes());
        run(&mut model, &rows, settings).unwrap();
        ["layers.0.weight", "layers.0.bias", "head.weight"].map(|name| numbers(&model, name))
    };
    let first = mlp(&[8], 2, 0.0, two_classes());
    let before = ["layers.0.weight", "layers.0.bias", "head.weight"].map(|name| numbers(&first, name));
    let frozen = trained(&FitSettings { freeze: vec!["layers.0.weight".to_owned()], ..settings(2) });
    assert_eq!(frozen[0], before[0]);
    assert!(frozen[1] != before[1] && frozen[2] != before[2]);
    // A rate of its own is the run's rate for that weight: with plain descent the first step is as long.
    let optimizer = OptimizerSpec::Sgd(SgdSpec { momentum: 0.0, nesterov: false, weight_decay: 0.0 });
    let one = FitSettings { batch_size: 64, optimizer, schedule: Schedule::Constant, ..settings(1) };
    let usual = trained(&one);
    let rates = [("head.*".to_owned(), one.learning_rate * 3.0)].into();
    let faster = trained(&FitSettings { learning_rates: rates, ..one });
    assert_eq!(faster[0], usual[0]);
    for ((faster, usual), before) in faster[2].iter().zip(&usual[2]).zip(&before[2]) {
        assert!((faster - before - 3.0 * (usual - before)).abs() < 1e-6);
    }
}

#[test]
fn accumulated_batches_are_one_large_batch() {
    let rows = same_sign(60, 2, "train");
    let trained = |batch_size: usize, accumulate: usize| {
        let mut model = mlp(&[8], 2, 0.0, two_classes());
        let report = run(&mut model, &rows, &FitSettings { batch_size, accumulate, ..settings(3) }).unwrap();
        (report, everything(&model).concat())
    };
    let ((large, expected), (small, found)) = (trained(24, 1), trained(8, 3));
    assert_eq!((small.steps, large.steps), (9, 9));
    let furthest = expected.iter().zip(&found).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-5, "{furthest}");
    assert_ne!(expected, trained(8, 1).1);
}

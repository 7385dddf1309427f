//! Runs that are cut off go on to the same bits; runs that diverge go back; averages and budgets.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::collections::BTreeMap;

use paring_data::{Examples, Targets};
use paring_model::config::{Activation, ConvSpec, ConvnetLayer, ConvnetSpec, MlpSpec, NoSettings, Spec};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Inputs, Outputs, Weight, families};
use paring_train::fit::{Budget, FitReport, FitSettings, GradualPruning, SavedRun, Watch, fit};
use paring_train::lora::Lora;
use paring_train::optimizer::{OptimizerSpec, SgdSpec};
use paring_train::sparse::SparsityScope;
use paring_train::{Result, Stream, TrainError};
use rand::RngExt as _;
use rstest::rstest;

/// Saves in memory, stops after some batches, and says what time it is.
#[derive(Default)]
struct Desk {
    saved: Option<SavedRun>,
    seen: Vec<f32>,
    rates: Vec<f64>,
    limit: Option<usize>,
    /// Whether it is gone then, so that nothing is saved any more.
    killed: bool,
    /// The share of the time that a batch takes.
    batch_time: f64,
    /// What the measure says, epoch after epoch.
    measures: Vec<f64>,
    measured: usize,
}

impl Watch for Desk {
    fn step(&mut self, _done: usize, _total: usize, loss: f32, rate: f64) {
        self.seen.push(loss);
        self.rates.push(rate);
    }

    fn cancelled(&self) -> bool {
        self.limit.is_some_and(|limit| self.seen.len() >= limit)
    }

    fn time_used(&mut self) -> f64 {
        self.seen.len() as f64 * self.batch_time
    }

    fn measure(&mut self, name: &str, _model: &Checkpoint) -> Result<f64> {
        assert_eq!(name, "accuracy");
        self.measured += 1;
        Ok(self.measures[self.measured - 1])
    }

    fn saved(&mut self) -> Option<SavedRun> {
        self.saved.take()
    }

    fn save(&mut self, run: &SavedRun) -> Result<()> {
        if !(self.killed && self.cancelled()) {
            self.saved = Some(run.copied()?);
        }
        Ok(())
    }
}

fn model(spec: Spec, shape: &[usize]) -> Checkpoint {
    let inputs = Inputs { columns: Vec::new(), steps: Vec::new(), shape: shape.to_vec() };
    let outputs = Outputs::Classify { column: "label".to_owned(), labels: vec!["no".to_owned(), "yes".to_owned()] };
    let stream = Stream::new(1);
    let mut uniform = |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random());
    };
    families::initialize(&spec, &inputs, &outputs, &mut uniform).unwrap()
}

/// With dropout, whose stream has a place.
fn mlp() -> Checkpoint {
    model(Spec::Mlp(MlpSpec { hidden: vec![24], activation: Activation::Relu, dropout: 0.3 }), &[16])
}

/// With batch norm, whose statistics are part of the state.
fn convnet() -> Checkpoint {
    let conv =
        ConvSpec { channels: 4, kernel: 3, stride: 1, padding: None, batch_norm: true, activation: Activation::Relu };
    let layers = vec![ConvnetLayer::Conv(conv), ConvnetLayer::GlobalAveragePool(NoSettings {})];
    model(Spec::Convnet(ConvnetSpec { input: None, layers }), &[1, 4, 4])
}

/// Class 1 where the first two features have the same sign.
fn rows(count: usize) -> Examples {
    let mut rng = Stream::new(5).rng();
    let data: Vec<f32> = (0..count * 16).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect();
    let targets = Targets::Classes(data.chunks(16).map(|row| u32::from(row[0] * row[1] > 0.0)).collect());
    Examples { inputs: Matrix { rows: count, columns: 16, data }.into(), targets }
}

fn settings(epochs: usize) -> FitSettings {
    FitSettings { epochs, batch_size: 8, learning_rate: 0.02, ..FitSettings::default() }
}

fn run(model: &mut Checkpoint, settings: &FitSettings, desk: &mut Desk) -> Result<FitReport> {
    let (train, validate) = (rows(60), rows(40));
    fit(model, &train, Some(&validate), None, settings, &Stream::new(3), desk)
}

fn bits(model: &Checkpoint) -> BTreeMap<String, Vec<u32>> {
    let of = |name: String| {
        let numbers = model.tensor(&name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (name, numbers.into_iter().map(f32::to_bits).collect())
    };
    model.names().into_iter().map(of).collect()
}

/// Cut off within an epoch, at its end, and in the first and the last one.
#[rstest]
#[case(mlp())]
#[case(convnet())]
fn a_run_that_was_cut_off_goes_on_to_the_same_bits(
    #[case] start: Checkpoint,
    #[values(1, 7, 11, 16, 30)] cut: usize,
    #[values(1, 3)] every: usize,
) {
    let settings = FitSettings {
        early_stopping: Some(30),
        ema_decay: Some(0.9),
        checkpoint_steps: Some(every),
        accumulate: if every == 3 { 2 } else { 1 },
        ..settings(4)
    };
    let mut whole = start.clone();
    let expected = run(&mut whole, &settings, &mut Desk::default()).unwrap();
    let mut desk = Desk { limit: Some(cut), killed: true, ..Desk::default() };
    let mut model = start.clone();
    let stopped = run(&mut model, &settings, &mut desk).unwrap_err();
    assert!(matches!(stopped, TrainError::Interrupted), "{stopped}");
    let (seen, started_anew) = (desk.seen.len(), desk.saved.is_none());
    let mut desk = Desk { saved: desk.saved, ..Desk::default() };
    let report = run(&mut model, &settings, &mut desk).unwrap();
    assert_eq!(report, expected);
    assert_eq!(bits(&model), bits(&whole));
    assert_ne!(bits(&model), bits(&start));
    // What was saved is not trained again.
    let all = 8 * 4;
    assert!(started_anew || desk.seen.len() < all, "{seen} and {} of {all}", desk.seen.len());
}

/// One that is asked to stop, unlike one that is killed, leaves nothing to do again.
#[test]
fn a_run_that_is_stopped_is_saved_where_it_stands() {
    let settings = FitSettings { accumulate: 2, ..settings(4) };
    let mut whole = mlp();
    let expected = run(&mut whole, &settings, &mut Desk::default()).unwrap();
    let mut desk = Desk { limit: Some(12), ..Desk::default() };
    let stopped = run(&mut mlp(), &settings, &mut desk).unwrap_err();
    assert!(matches!(stopped, TrainError::Interrupted), "{stopped}");
    let mut desk = Desk { saved: desk.saved, ..Desk::default() };
    let mut model = mlp();
    assert_eq!(run(&mut model, &settings, &mut desk).unwrap(), expected);
    assert_eq!(bits(&model), bits(&whole));
    assert_eq!(desk.seen.len(), 8 * 4 - 12);
}

#[test]
fn a_saved_run_of_other_weights_is_refused() {
    let settings = FitSettings { checkpoint_steps: Some(1), ..settings(2) };
    let mut desk = Desk { limit: Some(3), ..Desk::default() };
    run(&mut mlp(), &settings, &mut desk).unwrap_err();
    let mut desk = Desk { saved: desk.saved, ..Desk::default() };
    let failed = run(&mut convnet(), &settings, &mut desk).unwrap_err();
    assert_eq!(failed.to_string(), "tensor `head.weight` has shape [2, 24], expected [2, 4]");
}

/// Rows of numbers far from zero, and a rate at which plain descent grows without bound; at an eighth of it it does not.
#[test]
fn a_run_that_diverges_goes_back_and_on_at_half_the_rate() {
    let optimizer = OptimizerSpec::Sgd(SgdSpec { momentum: 0.0, nesterov: false, weight_decay: 0.0 });
    let numbers = Outputs::Regress { column: "y".to_owned(), mean: 0.0, scale: 1.0 };
    let inputs = Inputs { columns: Vec::new(), steps: Vec::new(), shape: vec![1] };
    let spec = Spec::Mlp(MlpSpec { hidden: vec![], activation: Activation::Relu, dropout: 0.0 });
    let start = families::initialize(&spec, &inputs, &numbers, &mut |_, buffer| buffer.fill(0.9)).unwrap();
    let data: Vec<f32> = (0..32).map(|row| row as f32 / 16.0 - 1.0).collect();
    let targets = Targets::Values(data.iter().map(|x| 3.0 * x + 1.0).collect());
    let train = Examples { inputs: Matrix { rows: 32, columns: 1, data }.into(), targets };
    let tried = |back_off: Option<usize>, desk: &mut Desk| {
        let settings = FitSettings { optimizer, learning_rate: 3.0, back_off, ..settings(40) };
        let mut model = start.clone();
        fit(&mut model, &train, None, None, &settings, &Stream::new(3), desk).map(|report| (report, model))
    };
    let failed = tried(None, &mut Desk::default()).unwrap_err();
    assert!(matches!(failed, TrainError::Diverged { .. }), "{failed}");
    assert!(failed.to_string().ends_with("lower `learning_rate`, or set `clip_norm` or `back_off`"), "{failed}");
    let failed = tried(Some(1), &mut Desk::default()).unwrap_err();
    assert!(matches!(failed, TrainError::Diverged { .. }), "{failed}");
    let mut desk = Desk::default();
    let (report, model) = tried(Some(8), &mut desk).unwrap();
    assert!((2..=8).contains(&report.backed_off.len()), "{report:?}");
    assert_eq!((report.epochs, report.steps, report.train_loss.len()), (40, 160, 40));
    let (first, most) = (desk.rates[0], desk.rates.last().unwrap());
    assert!(first == 3.0 && *most < 3.0 / 4.0, "{first} {most}");
    let weight = model.tensor("head.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
    assert!((weight - 3.0).abs() < 0.05, "{weight}");
}

#[test]
fn a_budget_of_steps_ends_the_run_and_its_schedule() {
    let mut desk = Desk::default();
    let settings = FitSettings { budget: Some(Budget::Steps(11)), ..settings(30) };
    let report = run(&mut mlp(), &settings, &mut desk).unwrap();
    // eight batches an epoch: seven of eight rows, and the four that are left
    assert_eq!((report.steps, report.epochs, report.train_loss.len()), (11, 2, 2));
    assert!(desk.rates[10] < desk.rates[0] / 40.0, "{:?}", desk.rates);
    let longer = FitSettings { budget: Some(Budget::Steps(1000)), epochs: 2, ..settings };
    assert_eq!(run(&mut mlp(), &longer, &mut Desk::default()).unwrap().steps, 16);
}

#[test]
fn a_budget_of_time_ends_the_run_and_its_schedule() {
    let mut desk = Desk { batch_time: 0.1, ..Desk::default() };
    let settings = FitSettings { budget: Some(Budget::Time("10min".to_owned())), ..settings(30) };
    let report = run(&mut mlp(), &settings, &mut desk).unwrap();
    assert_eq!((report.steps, report.epochs), (10, 2));
    let half = settings.learning_rate / 2.0;
    assert!((desk.rates[5] - half).abs() < 1e-6 && desk.rates[9] < half / 10.0, "{:?}", desk.rates);
}

/// The measure is best in the second epoch, whatever the loss says; accuracy is the better the higher.
#[test]
fn early_stopping_watches_the_measure_that_is_named() {
    let mut desk = Desk { measures: vec![0.5, 0.9, 0.7, 0.8, 0.6], ..Desk::default() };
    let settings = FitSettings { early_stopping: Some(3), monitor: Some("accuracy".to_owned()), ..settings(30) };
    let report = run(&mut mlp(), &settings, &mut desk).unwrap();
    assert_eq!((report.best_epoch, report.epochs), (2, 5));
    assert_eq!(report.monitored, [0.5, 0.9, 0.7, 0.8, 0.6]);
}

/// After one step the decay is 2/11: the mean of the weights before it and after it, by hand.
#[test]
fn averages_follow_the_weights() {
    let trained = |ema_decay: Option<f64>| {
        let mut model = mlp();
        let settings = FitSettings { ema_decay, budget: Some(Budget::Steps(1)), ..settings(1) };
        run(&mut model, &settings, &mut Desk::default()).unwrap();
        model.tensor("head.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let before = mlp().tensor("head.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (after, averaged) = (trained(None), trained(Some(0.99)));
    for ((before, after), averaged) in before.iter().zip(&after).zip(&averaged) {
        let expected = before * 2.0 / 11.0 + after * 9.0 / 11.0;
        assert!((averaged - expected).abs() < 1e-6, "{averaged}, expected {expected}");
    }
    assert_ne!(after, averaged);
}

/// With masks that grow, the masks are part of what is saved.
#[test]
fn a_run_whose_weights_become_zero_goes_on_to_the_same_bits() {
    let pruning = GradualPruning {
        sparsity: 0.6,
        scope: SparsityScope::PerSite,
        begin: 0.1,
        end: 0.6,
        every_steps: 3,
        targets: vec!["layers.*".to_owned()],
    };
    let settings = FitSettings {
        gradual_pruning: Some(pruning),
        checkpoint_steps: Some(4),
        early_stopping: Some(9),
        ..settings(4)
    };
    let mut whole = mlp();
    let expected = run(&mut whole, &settings, &mut Desk::default()).unwrap();
    assert_eq!(expected.sparsity.map(|share| (share * 384.0).round()), Some(230.0));
    assert!(expected.best_epoch >= 3, "the best epoch is after the growth: {expected:?}");
    let zeros = |name: &str| bits(&whole)[name].iter().filter(|bits| **bits == 0 || **bits == 1 << 31).count();
    assert_eq!((zeros("layers.0.weight"), zeros("head.weight")), (230, 0));
    assert!(matches!(whole.weight("layers.0.weight").unwrap(), Weight::Dense { masked: true, .. }));
    for cut in [5, 14, 21, 31] {
        let mut desk = Desk { limit: Some(cut), killed: true, ..Desk::default() };
        let mut model = mlp();
        run(&mut model, &settings, &mut desk).unwrap_err();
        let mut desk = Desk { saved: desk.saved, ..Desk::default() };
        assert_eq!(run(&mut model, &settings, &mut desk).unwrap(), expected);
        assert_eq!(bits(&model), bits(&whole));
    }
}

/// Only adapters and the output layer move; at the end they are part of the weights, by no more than their rank.
#[test]
fn adapters_become_part_of_weights_that_stay() {
    let spec = MlpSpec { hidden: vec![24, 20], activation: Activation::Relu, dropout: 0.0 };
    let start = model(Spec::Mlp(spec), &[16]);
    let mut trained = start.clone();
    let lora = Lora { rank: 2, alpha: 4.0, targets: vec!["layers.1".to_owned()], keep_adapters: true, dropout: 0.3 };
    let settings = FitSettings { lora: Some(lora), checkpoint_steps: Some(5), ..settings(6) };
    let report = run(&mut trained, &settings, &mut Desk::default()).unwrap();
    assert!(report.train_loss[5] < report.train_loss[0], "{report:?}");
    let (before, after) = (bits(&start), bits(&trained));
    for name in ["layers.0.weight", "layers.0.bias", "layers.1.bias"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert!(before["head.weight"] != after["head.weight"] && before["head.bias"] != after["head.bias"]);
    let change = (trained.tensor("layers.1.weight").unwrap() - start.tensor("layers.1.weight").unwrap()).unwrap();
    let rows = change.to_vec2::<f32>().unwrap();
    // Of a matrix of rank 2 every minor of three rows and columns is zero, and not every one of two.
    let minor2 = |a: usize, b: usize| rows[a][0] * rows[b][1] - rows[a][1] * rows[b][0];
    let minor3 = rows[0][2] * minor2(1, 2) - rows[1][2] * minor2(0, 2) + rows[2][2] * minor2(0, 1);
    let adapter = &report.adapters[0];
    assert_eq!((adapter.site.as_str(), adapter.sides, report.adapters.len()), ("layers.1", [24, 20], 1));
    let product = (0..2).map(|rank| adapter.up[3 * 2 + rank] * adapter.down[rank * 24 + 5]).sum::<f32>() * 2.0;
    assert!((product - rows[3][5]).abs() < 1e-6, "{product}, {}", rows[3][5]);
    let size = rows.iter().flatten().fold(0.0_f32, |most, number| most.max(number.abs()));
    assert!(size > 1e-3 && minor3.abs() < 1e-4 * size.powi(3), "{minor3} beside {size}");
    assert!((0..20).any(|a| (0..a).any(|b| minor2(a, b).abs() > 1e-3 * size * size)));
    let mut desk = Desk { limit: Some(20), killed: true, ..Desk::default() };
    let mut again = start.clone();
    run(&mut again, &settings, &mut desk).unwrap_err();
    run(&mut again, &settings, &mut Desk { saved: desk.saved, ..Desk::default() }).unwrap();
    assert_eq!(bits(&again), after);
    let lora = settings.lora.map(|lora| Lora { dropout: 0.0, ..lora });
    let mut whole = start.clone();
    run(&mut whole, &FitSettings { lora, ..settings }, &mut Desk::default()).unwrap();
    assert_ne!(bits(&whole), after, "nothing is dropped");
}

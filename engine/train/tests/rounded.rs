//! Training of models whose weights and inputs are rounded: at the end their integers compute what training saw.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use paring_data::{Examples, Targets};
use paring_model::config::{Activation, ConvSpec, ConvnetLayer, ConvnetSpec, MlpSpec, NoSettings, Spec};
use paring_model::inputs::Matrix;
use paring_model::{
    Checkpoint, Forward, Granularity, Input, Inputs, Outputs, SiteKind, Tokens, Weight, WeightScheme, families,
};
use paring_train::fake::{FakeInput, FakeQuantization, Method, WeightRange};
use paring_train::fit::{Extras, FitReport, FitSettings, Lesson, Watch, fit_with};
use paring_train::loss::cross_entropy;
use paring_train::trainable::Trainable;
use paring_train::{Result, Stream};
use rand::RngExt as _;
use rstest::rstest;

struct Silent;

impl Watch for Silent {
    fn step(&mut self, _: usize, _: usize, _: f32, _: f64) {}

    fn cancelled(&self) -> bool {
        false
    }
}

const STE: Method = Method::Ste { range: WeightRange::Mse };

fn built(spec: &Spec, shape: &[usize]) -> Checkpoint {
    let inputs = Inputs { columns: Vec::new(), steps: Vec::new(), shape: shape.to_vec() };
    let labels = vec!["no".to_owned(), "yes".to_owned()];
    let outputs = Outputs::Classify { column: "label".to_owned(), labels };
    let stream = Stream::new(1);
    let mut uniform = |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random());
    };
    families::initialize(spec, &inputs, &outputs, &mut uniform).unwrap()
}

fn mlp() -> Checkpoint {
    built(&Spec::Mlp(MlpSpec { hidden: vec![16, 12], activation: Activation::Gelu, dropout: 0.0 }), &[8])
}

fn convnet() -> Checkpoint {
    let conv = |channels, batch_norm| {
        let activation = Activation::Relu;
        ConvnetLayer::Conv(ConvSpec { channels, kernel: 3, stride: 1, padding: None, batch_norm, activation })
    };
    let layers = vec![conv(4, true), conv(5, false), ConvnetLayer::GlobalAveragePool(NoSettings {})];
    built(&Spec::Convnet(ConvnetSpec { input: Some([1, 4, 4]), layers }), &[1, 4, 4])
}

fn text(name: &str) -> Checkpoint {
    Checkpoint::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bad/files").join(name)).unwrap()
}

fn features(shape: &[usize]) -> Input {
    let mut rng = Stream::new(2).rng();
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..2.0)).collect();
    Input::Features(Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap())
}

fn tokens() -> Input {
    let ids: Vec<u32> = (0..24).map(|place| 3 + place * 7 % 15).collect();
    Input::Tokens(Tokens::new(Tensor::from_vec(ids, (4, 6), &Device::Cpu).unwrap()))
}

/// Every site of the model, tables without an input.
fn sites(model: &Checkpoint, method: Method, bits: u8, inputs: bool) -> BTreeMap<String, FakeQuantization> {
    let weight = WeightScheme { bits, symmetric: true, granularity: Granularity::Channel };
    let of = |kind| {
        let multiplies = !matches!(kind, SiteKind::Embedding { tied: false });
        let input = (inputs && multiplies).then_some(FakeInput { bits, symmetric: false });
        FakeQuantization { method, weight, input }
    };
    model.outline().sites().unwrap().into_iter().map(|site| (site.name, of(site.kind))).collect()
}

/// The largest difference of two outputs over the largest output, but for the hundredth that differs most: sums before
/// a layer that differ in their last bit may fall on two sides of a half.
fn difference(one: &Tensor, other: &Tensor) -> f32 {
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (one, other) = (flat(one), flat(other));
    let most = one.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
    let mut apart: Vec<f32> = one.iter().zip(&other).map(|(one, other)| (one - other).abs() / most).collect();
    apart.sort_by(f32::total_cmp);
    apart[apart.len() - 1 - apart.len() / 100]
}

#[rstest]
#[case(mlp(), features(&[20, 8]))]
#[case(convnet(), features(&[20, 1, 4, 4]))]
#[case(text("tiny-bert"), tokens())]
#[case(text("tiny-llama"), tokens())]
fn integers_compute_what_training_saw(
    #[case] model: Checkpoint,
    #[case] input: Input,
    #[values(Method::Lsq, STE)] method: Method,
    #[values((8, true), (4, true), (3, false))] (bits, inputs): (u8, bool),
) {
    let sites = sites(&model, method, bits, inputs);
    let trainable = Trainable::new(&model, |_| false).unwrap().rounded(&sites, |_| false).unwrap();
    let network = model.network_from(&trainable).unwrap();
    let mut uniform = |buffer: &mut [f32]| buffer.fill(0.9);
    network.forward(&input, &mut Forward::training(&trainable, &mut uniform)).unwrap();
    let network = model.network_from(&trainable).unwrap();
    let seen = network.forward(&input, &mut Forward::inference()).unwrap();
    let float = model.network().unwrap().forward(&input, &mut Forward::inference()).unwrap();
    let mut integers = model.clone();
    trainable.store(&mut integers).unwrap();
    let computed = integers.network().unwrap().forward(&input, &mut Forward::inference()).unwrap();
    // Inputs that training does not round become integers of 16 bits.
    let most = if inputs { 1e-5 } else { 2e-4 };
    assert!(difference(&seen, &computed) < most, "{}", difference(&seen, &computed));
    assert!(difference(&seen, &float) > 1e-3, "nothing is rounded: {}", difference(&seen, &float));
    for site in sites.keys() {
        let weight = integers.weight(&format!("{site}.weight")).unwrap();
        assert!(matches!(weight, Weight::Quantized(_)), "{site}");
    }
}

/// Class 1 where the first two features have the same sign.
fn same_sign(rows: usize) -> Examples {
    let mut rng = Stream::new(5).rng();
    let data: Vec<f32> = (0..rows * 8).map(|_| rng.random_range(-1.0..1.0)).collect();
    let targets = Targets::Classes(data.chunks(8).map(|row| u32::from(row[0] * row[1] > 0.0)).collect());
    Examples { inputs: Matrix { rows, columns: 8, data }.into(), targets }
}

fn run(model: &mut Checkpoint, method: Method, settings: &FitSettings) -> Result<FitReport> {
    let rows = same_sign(200);
    let lesson = Lesson { train: &rows, validate: Some(&rows), teacher: None };
    let sites = sites(model, method, 4, true);
    let extras = Extras { rounded: Some(&sites), ..Extras::default() };
    fit_with(model, lesson, extras, settings, &Stream::new(3), &mut Silent)
}

fn loss(model: &Checkpoint, rows: &Examples) -> f32 {
    let Targets::Classes(classes) = &rows.targets else { panic!("no classes") };
    let targets = Tensor::from_slice(classes, classes.len(), &Device::Cpu).unwrap();
    let outputs = model.predict(&rows.inputs, 64).unwrap();
    cross_entropy(&outputs, &targets, None, 0.0).unwrap().to_scalar::<f32>().unwrap()
}

fn settings(epochs: usize) -> FitSettings {
    FitSettings { epochs, batch_size: 20, learning_rate: 0.01, ..FitSettings::default() }
}

/// The loss that the rounded model had in training is that of its integers.
#[rstest]
#[case(Method::Lsq)]
#[case(STE)]
fn rounded_models_learn_and_keep_what_they_learned(#[case] method: Method) {
    let mut model = mlp();
    let report = run(&mut model, method, &settings(40)).unwrap();
    assert!(report.train_loss[39] < report.train_loss[0] * 0.6, "{report:?}");
    let found = loss(&model, &same_sign(200));
    assert!((found - report.validate_loss[39]).abs() < 1e-3, "{found}, {:?}", report.validate_loss.last());
}

/// Early stopping puts back the scales of the best epoch with its weights. Validation rows that say the opposite are
/// best before much is learned.
#[rstest]
#[case(Method::Lsq)]
#[case(STE)]
fn the_best_epoch_comes_back_whole(#[case] method: Method) {
    let mut model = mlp();
    let rows = same_sign(200);
    let Targets::Classes(classes) = &rows.targets else { panic!("no classes") };
    let opposite: Vec<u32> = classes.iter().map(|class| 1 - class).collect();
    let judges = Examples { inputs: rows.inputs.clone(), targets: Targets::Classes(opposite) };
    let lesson = Lesson { train: &rows, validate: Some(&judges), teacher: None };
    let patient = FitSettings { early_stopping: Some(50), ..settings(20) };
    let sites = sites(&model, method, 4, true);
    let extras = Extras { rounded: Some(&sites), ..Extras::default() };
    let report = fit_with(&mut model, lesson, extras, &patient, &Stream::new(3), &mut Silent).unwrap();
    assert!(report.best_epoch < 20, "{report:?}");
    let (found, best) = (loss(&model, &judges), report.validate_loss[report.best_epoch - 1]);
    assert!((found - best).abs() < 1e-3, "{found}, {best}");
}

#[test]
fn a_rate_of_its_own_moves_a_step_alone() {
    let (mut slow, mut quick) = (mlp(), mlp());
    let frozen = FitSettings { freeze: vec!["*.weight".to_owned(), "*.bias".to_owned()], ..settings(2) };
    run(&mut slow, Method::Lsq, &FitSettings { freeze: vec!["*".to_owned()], ..settings(2) }).unwrap();
    run(&mut quick, Method::Lsq, &frozen).unwrap();
    let scales = |model: &Checkpoint| match model.weight("head.weight").unwrap() {
        Weight::Quantized(weight) => weight.scales,
        Weight::Dense { .. } | Weight::Blocks(_) => panic!("head is not rounded"),
    };
    assert_ne!(scales(&slow), scales(&quick));
    let Weight::Dense { tensor, .. } = mlp().weight("head.bias").unwrap() else { panic!("no bias") };
    let bias = quick.tensor("head.bias").unwrap();
    assert_eq!(bias.to_vec1::<f32>().unwrap(), tensor.to_vec1::<f32>().unwrap());
}

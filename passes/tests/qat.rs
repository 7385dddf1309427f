//! Quantization-aware training against rounding after training, both with weights and inputs of layers in 4 bits, on
//! the digits that ship.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;
use indexmap::IndexMap;
use paring_data::fit::{FitOptions, fit_inputs, fit_outputs};
use paring_data::read::{ReadOptions, read};
use paring_data::split::{SplitPlan, split};
use paring_data::{Dataset, Part, Parts, Targets};
use paring_model::config::Spec;
use paring_model::tap::Observer;
use paring_model::{
    ActivationScheme, Checkpoint, FixedInput, Forward, Granularity, QuantizedWeight, Task, Weight, WeightScheme,
};
use paring_passes::registry::builtin;
use paring_passes::{Cx, PassError, Services, Trial};
use paring_train::Stream;
use paring_train::metrics::{accuracy, most_likely};
use serde_json::{Value, json};

/// An engine that has nothing to do.
struct Idle;

impl Services for Idle {
    fn progress(&self, _: usize, _: usize, _: &str) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn trial(&self, _: usize, _: &Checkpoint, _: &IndexMap<String, Value>) -> Result<Trial, PassError> {
        Err(PassError::Failed("training runs no trials".to_owned()))
    }

    fn measure(&self, _: &str, _: &Checkpoint, _: Part) -> Result<f64, PassError> {
        Err(PassError::Failed("training takes no measures".to_owned()))
    }
}

/// Rows in two parts, and a seed.
struct Scene {
    dataset: Dataset,
    parts: Parts,
    seed: u64,
}

impl Scene {
    /// The digits, a fifth of them for the test.
    fn digits(seed: u64) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/data/digits.csv");
        let dataset = read(&path, &ReadOptions::default()).unwrap();
        let plan = SplitPlan::Fractions { train: 0.8, validate: 0.0, calibrate: 0.0, test: 0.2, stratify: false };
        let parts = split(dataset.rows(), None, &plan, seed).unwrap();
        Self { dataset, parts, seed }
    }

    fn unbuilt(&self, spec: Spec) -> Checkpoint {
        let options = FitOptions { label: "digit".to_owned(), ..FitOptions::default() };
        let inputs = fit_inputs(&self.dataset, &self.parts.train, &options).unwrap();
        let outputs = fit_outputs(&self.dataset, &self.parts.train, "digit", Task::Classify).unwrap();
        Checkpoint::unbuilt(spec, inputs, outputs)
    }

    fn run(&self, id: &str, block: &Value, model: &Checkpoint) -> Checkpoint {
        let pass = builtin().into_iter().find(|pass| pass.info().id == id).unwrap();
        let step = pass.configure(block).unwrap_or_else(|problems| panic!("{problems:?}"));
        let sites = if model.is_built() { model.outline().sites().unwrap() } else { Vec::new() };
        let data = Some((&self.dataset, &self.parts));
        let mut cx = Cx { stage: id, sites: &sites, data, stream: Stream::new(self.seed).split(id), services: &Idle };
        step.run(&mut cx, model.clone()).unwrap().model
    }

    fn accuracy(&self, model: &Checkpoint) -> f64 {
        let rows = paring_data::examples::examples(&self.dataset, &self.parts.test, model, model.outputs().unwrap());
        let rows = rows.unwrap();
        let Targets::Classes(truth) = &rows.targets else { panic!("no classes") };
        let outputs = model.predict(&rows.inputs, 256).unwrap();
        let classes = outputs.dim(1).unwrap();
        accuracy(&most_likely(&outputs.flatten_all().unwrap().to_vec1::<f32>().unwrap(), classes), truth).unwrap()
    }

    /// Weights and inputs of all layers in 4 bits, in ranges that `least` says to shrink to the least squared error, or
    /// whole. Inputs are those of 512 training rows in the float model.
    fn rounded(&self, model: &Checkpoint, least: bool) -> Checkpoint {
        let rows = self.parts.train.iter().copied().take(512).collect::<Vec<_>>();
        let rows = paring_data::examples::read(&self.dataset, &rows, model).unwrap();
        let mut seen = Seen::default();
        let input = rows.batch(&(0..rows.len()).collect::<Vec<_>>()).unwrap();
        model.network().unwrap().forward(&input, &mut Forward::observed(&mut seen)).unwrap();
        let mut rounded = model.clone();
        for site in model.outline().sites().unwrap() {
            let tensor = model.tensor(&site.weight()).unwrap();
            let rows: Vec<Vec<f32>> = tensor.flatten_from(1).unwrap().to_vec2().unwrap();
            let scales: Vec<f32> = rows.iter().map(|row| signed(row, least)).collect();
            let scheme = WeightScheme { bits: 4, symmetric: true, granularity: Granularity::Channel };
            let mut weight = QuantizedWeight::round(&tensor, scheme, &scales, &[]).unwrap();
            weight.activation = Some(ActivationScheme::Fixed(unsigned(&seen.0[&site.name], least)));
            rounded.set_weight(&site.weight(), Weight::Quantized(weight));
        }
        rounded
    }
}

/// All inputs of every site.
#[derive(Default)]
struct Seen(BTreeMap<String, Vec<f32>>);

impl Observer for Seen {
    fn see(&mut self, name: &str, input: &Tensor) -> paring_model::Result<()> {
        let numbers = input.flatten_all()?.to_vec1::<f32>()?;
        self.0.entry(name.to_owned()).or_default().extend(numbers);
        Ok(())
    }
}

/// The share of the whole range, from 1.00 down to 0.10, whose grid has the least squared error.
fn share(numbers: &[f32], least: bool, rounded: impl Fn(f32, f32) -> f32) -> f32 {
    let shares = (10..=100).rev().map(|percent| percent as f32 / 100.0).take(if least { 91 } else { 1 });
    let error = |share: f32| numbers.iter().map(|&x| f64::from(rounded(x, share) - x).powi(2)).sum::<f64>();
    shares.map(|share| (error(share), share)).min_by(|one, other| one.0.total_cmp(&other.0)).unwrap().1
}

fn signed(row: &[f32], least: bool) -> f32 {
    let whole = row.iter().fold(f32::MIN_POSITIVE, |most, weight| most.max(weight.abs())) / 7.5;
    whole * share(row, least, |x, share| (x / (whole * share)).round().clamp(-8.0, 7.0) * whole * share)
}

fn unsigned(numbers: &[f32], least: bool) -> FixedInput {
    let low = numbers.iter().copied().fold(0.0, f32::min);
    let high = numbers.iter().copied().fold(0.0, f32::max);
    let whole = (high - low) / 15.0;
    let zero = (-low / whole).round();
    let share = share(numbers, least, |x, share| {
        let scale = whole * share;
        (((x / scale).round() + zero).clamp(0.0, 15.0) - zero) * scale
    });
    FixedInput { bits: 4, scale: whole * share, zero_point: zero as u16 }
}

/// Float, rounded after training in the whole range and in that of least error, and trained while rounded: test
/// accuracies.
fn compare(scene: &Scene, spec: &Value, fit: &Value, qat: &Value) -> [f64; 4] {
    let spec = Spec::from_parts("mlp", spec).unwrap();
    let float = scene.run("train/fit", fit, &scene.unbuilt(spec));
    let after = [false, true].map(|least| scene.accuracy(&scene.rounded(&float, least)));
    let trained = scene.run("quantize/qat", qat, &float);
    [scene.accuracy(&float), after[0], after[1], scene.accuracy(&trained)]
}

#[test]
fn training_with_rounded_numbers_beats_rounding_after_training() {
    let fit = json!({"epochs": 20, "learning_rate": 0.003});
    let qat = json!({"bits": 4, "activation_bits": 4, "epochs": 20, "learning_rate": 0.003});
    for seed in [1, 2, 3] {
        let [float, minmax, mse, trained] = compare(&Scene::digits(seed), &json!({"hidden": [64]}), &fit, &qat);
        let found = format!("seed {seed}: float {float:.4}, after training {minmax:.4} and {mse:.4}, qat {trained:.4}");
        assert!(trained > minmax.max(mse), "{found}");
        assert!(trained > float - 0.01, "{found}");
    }
}

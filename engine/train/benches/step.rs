//! What training costs: one epoch of 17 steps on a 64-256-128-10 network at batch 64.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use paring_data::{Examples, Targets};
use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Inputs, Outputs, families};
use paring_train::Stream;
use paring_train::fit::{FitSettings, Watch, fit};
use rand::RngExt as _;

const STEPS: usize = 17;
const FEATURES: usize = 64;
const CLASSES: usize = 10;

fn main() {
    divan::main();
}

struct Quiet;

impl Watch for Quiet {
    fn step(&mut self, _done: usize, _total: usize, _loss: f32, _learning_rate: f64) {}

    fn cancelled(&self) -> bool {
        false
    }
}

fn rows() -> Examples {
    let count = STEPS * 64;
    let mut rng = Stream::new(1).rng();
    let data = (0..count * FEATURES).map(|_| rng.random::<f32>() * 2.0 - 1.0).collect();
    let targets = Targets::Classes((0..count as u32).map(|row| row % CLASSES as u32).collect());
    Examples { inputs: Matrix { rows: count, columns: FEATURES, data }.into(), targets }
}

fn network() -> paring_model::Result<Checkpoint> {
    let inputs = Inputs { columns: Vec::new(), steps: Vec::new(), shape: vec![FEATURES] };
    let labels = (0..CLASSES).map(|class| class.to_string()).collect();
    let outputs = Outputs::Classify { column: "label".to_owned(), labels };
    let spec = Spec::Mlp(MlpSpec { hidden: vec![256, 128], activation: Activation::Relu, dropout: 0.0 });
    let mut rng = Stream::new(2).rng();
    let mut uniform = |_: &str, buffer: &mut [f32]| buffer.iter_mut().for_each(|number| *number = rng.random());
    families::initialize(&spec, &inputs, &outputs, &mut uniform)
}

#[divan::bench]
fn epoch_of_17_steps(bencher: Bencher) {
    let rows = rows();
    let settings = FitSettings { epochs: 1, ..FitSettings::default() };
    bencher.counter(ItemsCount::new(STEPS)).with_inputs(network).bench_values(
        |model| -> Result<_, paring_train::TrainError> {
            fit(&mut model?, black_box(&rows), None, None, &settings, &Stream::new(3), &mut Quiet)
        },
    );
}

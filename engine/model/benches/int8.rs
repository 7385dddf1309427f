//! Integer multiplication against candle's floats, on one thread:
//! `RAYON_NUM_THREADS=1 cargo bench -p paring-model --bench int8`.

use candle_core::{Device, Tensor};
use divan::Bencher;
use paring_model::int8::{Panels, Rows};
use paring_model::{Granularity, QuantizedWeight, WeightScheme};

/// Inputs and outputs of layers as small encoders have them.
const LAYERS: [(usize, usize); 3] = [(384, 384), (384, 1536), (1536, 384)];

/// Rows: a token, a query, a text, a batch.
const ROWS: [usize; 5] = [1, 16, 64, 512, 2048];

fn main() {
    divan::main();
}

fn shapes() -> impl Iterator<Item = (usize, usize, usize)> {
    ROWS.into_iter().flat_map(|rows| LAYERS.map(|(inputs, outputs)| (rows, inputs, outputs)))
}

#[divan::bench(args = shapes())]
fn integers(bencher: Bencher, &(rows, inputs, outputs): &(usize, usize, usize)) {
    let weight = QuantizedWeight {
        shape: vec![outputs, inputs],
        scheme: WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Channel },
        values: (0..outputs * inputs).map(|index| (index * 104_729 % 256) as u8 as i8).collect(),
        scales: vec![0.01; outputs],
        zero_points: Vec::new(),
        activation: None,
    };
    let panels = Panels::new(&weight, 2048);
    let numbers = (0..rows * inputs).map(|index| (index * 7919 % 4095) as i16 - 2047).collect();
    let (x, bias) = (Rows::new(&panels, numbers, vec![0.01; rows]), vec![0.5; outputs]);
    bencher.bench(|| divan::black_box(&panels).multiply(divan::black_box(&x), Some(&bias)));
}

#[divan::bench(args = shapes())]
fn floats(bencher: Bencher, &(rows, inputs, outputs): &(usize, usize, usize)) {
    let numbers = |rows: usize| Tensor::rand(-1.0_f32, 1.0, (rows, inputs), &Device::Cpu);
    let (Ok(x), Ok(weight)) = (numbers(rows), numbers(outputs)) else { return };
    bencher.bench(|| divan::black_box(&x).matmul(&weight.t()?));
}

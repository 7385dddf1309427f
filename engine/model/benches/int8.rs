//! Integer multiplication against candle's floats, on one thread:
//! `RAYON_NUM_THREADS=1 cargo bench -p paring-model --bench int8`.

use candle_core::{Device, Tensor};
use divan::Bencher;
use paring_model::int8::{Inputs, Panels, Rows};
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

/// Weights of 8 bits, inputs of 12.
#[divan::bench(args = shapes())]
fn w8a12(bencher: Bencher, shape: &(usize, usize, usize)) {
    integers(bencher, *shape, (8, Granularity::Channel), 12);
}

#[divan::bench(args = shapes())]
fn w8a8(bencher: Bencher, shape: &(usize, usize, usize)) {
    integers(bencher, *shape, (8, Granularity::Channel), 8);
}

#[divan::bench(args = shapes())]
fn w7a8(bencher: Bencher, shape: &(usize, usize, usize)) {
    integers(bencher, *shape, (7, Granularity::Channel), 8);
}

/// Weights of 4 bits in groups of 64.
#[divan::bench(args = shapes())]
fn w4a8(bencher: Bencher, shape: &(usize, usize, usize)) {
    integers(bencher, *shape, (4, Granularity::Group(64)), 8);
}

/// The same, with inputs that are not quantized.
#[divan::bench(args = shapes())]
fn w4a16(bencher: Bencher, shape: &(usize, usize, usize)) {
    integers(bencher, *shape, (4, Granularity::Group(64)), 16);
}

fn integers(
    bencher: Bencher,
    (rows, inputs, outputs): (usize, usize, usize),
    (bits, granularity): (u8, Granularity),
    input_bits: u8,
) {
    let numbers = |count: usize, bits: u8| {
        let half = 1 << (bits - 1);
        (0..count).map(move |index| (index * 7919 % (2 * half)) as i32 - half as i32)
    };
    let weight = QuantizedWeight {
        shape: vec![outputs, inputs],
        scheme: WeightScheme { bits, symmetric: true, granularity },
        values: numbers(outputs * inputs, bits).map(|value| value as i8).collect(),
        scales: vec![0.01; granularity.scales(outputs, inputs)],
        zero_points: Vec::new(),
        activation: None,
    };
    let half = 1 << (input_bits - 1);
    let panels = Panels::new(&weight, Inputs { lowest: -half, highest: half - 1 });
    let x = numbers(rows * inputs, input_bits).map(|x| x as i16).collect();
    let (x, bias) = (Rows::new(&panels, x, vec![0.01; rows]), vec![0.5; outputs]);
    bencher.bench(|| divan::black_box(&panels).multiply(divan::black_box(&x), Some(&bias)));
}

#[divan::bench(args = shapes())]
fn floats(bencher: Bencher, &(rows, inputs, outputs): &(usize, usize, usize)) {
    let numbers = |rows: usize| Tensor::rand(-1.0_f32, 1.0, (rows, inputs), &Device::Cpu);
    let (Ok(x), Ok(weight)) = (numbers(rows), numbers(outputs)) else { return };
    bencher.bench(|| divan::black_box(&x).matmul(&weight.t()?));
}

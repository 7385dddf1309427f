//! Integer multiplication against candle's floats, on one thread: `RAYON_NUM_THREADS=1 cargo bench -p paring-model`.

use candle_core::{Device, Tensor};
use divan::Bencher;
use paring_model::int8::multiply;

/// Rows, inputs and outputs of layers as small models have them.
const SHAPES: &[(usize, usize, usize)] =
    &[(1, 64, 256), (1, 384, 1536), (8, 384, 1536), (64, 784, 256), (64, 384, 1536), (512, 1536, 384), (784, 144, 32)];

fn main() {
    divan::main();
}

#[divan::bench(args = SHAPES)]
fn integers(bencher: Bencher, &(rows, inputs, outputs): &(usize, usize, usize)) {
    let x: Vec<i16> = (0..rows * inputs).map(|index| (index * 7919 % 511) as i16 - 255).collect();
    let weight: Vec<i8> = (0..outputs * inputs).map(|index| (index * 104_729 % 256) as u8 as i8).collect();
    bencher.bench(|| multiply(divan::black_box(&x), divan::black_box(&weight), inputs, 0..inputs));
}

#[divan::bench(args = SHAPES)]
fn floats(bencher: Bencher, &(rows, inputs, outputs): &(usize, usize, usize)) {
    let numbers = |rows: usize| Tensor::rand(-1.0_f32, 1.0, (rows, inputs), &Device::Cpu);
    let (Ok(x), Ok(weight)) = (numbers(rows), numbers(outputs)) else { return };
    bencher.bench(|| divan::black_box(&x).matmul(&weight.t()?));
}

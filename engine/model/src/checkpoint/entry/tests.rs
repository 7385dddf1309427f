//! Weights in memory and in files, shown as the numbers that they stand for.

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{Checkpoint, Weight};
use crate::error::ModelError;
use crate::ggml::{BlockWeight, GgmlType};
use crate::quantized::{Granularity, QuantizedWeight, WeightScheme};

/// Numbers of every type, in memory and from a file; those of the larger one pass in parts.
#[test]
fn floats_are_the_numbers_of_the_tensor() {
    let tensor = |count: u32| Tensor::arange(0_f32, count as f32, &Device::Cpu).unwrap().affine(0.25, -3.0).unwrap();
    let types = [DType::F32, DType::F16, DType::BF16, DType::F64];
    let mut tensors: Vec<(String, Tensor)> =
        types.iter().map(|&dtype| (format!("{dtype:?}"), tensor(30).to_dtype(dtype).unwrap())).collect();
    tensors.push(("large".to_owned(), tensor(9_000_001)));
    let model = Checkpoint::of_tensors(tensors.clone());
    let directory = tempfile::tempdir().unwrap();
    model.save(directory.path()).unwrap();
    let opened = Checkpoint::open(directory.path()).unwrap();
    for (name, tensor) in tensors {
        let expected = tensor.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        assert!(model.floats(&name).unwrap() == expected, "{name} in memory");
        assert!(opened.floats(&name).unwrap() == expected, "{name} in a file");
        for model in [&model, &opened] {
            let mut shown = Vec::new();
            model.in_parts(&name, &mut |part| shown.extend_from_slice(part)).unwrap();
            assert!(shown == expected, "{name} in parts");
        }
    }
}

#[test]
fn integers_are_no_floats() {
    let scheme = WeightScheme { bits: 4, symmetric: true, granularity: Granularity::Tensor };
    let weight = QuantizedWeight::round_numbers(&[1.0, 2.0], &[1, 2], scheme, &[1.0], &[]).unwrap();
    let mut model = Checkpoint::of_tensors([]);
    model.set_weight("a.weight", Weight::Quantized(weight));
    assert!(matches!(model.floats("a.weight"), Err(ModelError::Quantized { .. })));
}

/// More rows than are shown at once.
#[test]
fn integers_and_blocks_are_shown_as_what_they_stand_for() {
    let (rows, inputs) = (140_000, 32);
    let floats: Vec<f32> = (0..rows * inputs).map(|place| (place % 251) as f32 / 100.0 - 1.0).collect();
    let scheme = WeightScheme { bits: 4, symmetric: true, granularity: Granularity::Channel };
    let shape = [rows, inputs];
    let integers = QuantizedWeight::round_numbers(&floats, &shape, scheme, &vec![0.1; rows], &[]).unwrap();
    let blocks = BlockWeight::round(&floats, &shape, GgmlType::Q5_1, None).unwrap();
    for weight in [Weight::Quantized(integers), Weight::Blocks(blocks)] {
        let mut model = Checkpoint::of_tensors([]);
        model.set_weight("a.weight", weight);
        let expected = model.tensor("a.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut shown = Vec::new();
        model.in_parts("a.weight", &mut |part| shown.extend_from_slice(part)).unwrap();
        assert!(shown == expected);
    }
}

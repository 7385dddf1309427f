//! Files that PyTorch wrote.

use std::fs;

use paring_model::Checkpoint;
use rstest::rstest;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

use crate::{fixture, reason};

/// The tensors of a file, as the stock loader reads them from what Paring saves.
fn saved(file: &str) -> Vec<(String, Dtype, Vec<usize>, Vec<u8>)> {
    let directory = TempDir::new().unwrap();
    Checkpoint::open(&fixture(file)).unwrap().save(directory.path()).unwrap();
    let bytes = fs::read(directory.path().join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    let mut tensors: Vec<_> = tensors
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    tensors.sort();
    tensors
}

fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The numbers -2, 1, 4, 0, 3 (or, unsigned, what is -2 there; or whether they are 0) in a type.
fn typed(dtype: Dtype) -> Vec<u8> {
    let wide: [i64; 5] = [-2, 1, 4, 0, 3];
    let ints = |width: usize| wide.iter().flat_map(move |number| number.to_le_bytes().into_iter().take(width));
    match dtype {
        Dtype::F64 => wide.iter().flat_map(|&number| (number as f64).to_le_bytes()).collect(),
        Dtype::F32 => floats(&wide.map(|number| number as f32)),
        Dtype::F16 => [0xc000_u16, 0x3c00, 0x4400, 0, 0x4200].iter().flat_map(|bits| bits.to_le_bytes()).collect(),
        Dtype::BF16 => [0xc000_u16, 0x3f80, 0x4080, 0, 0x4040].iter().flat_map(|bits| bits.to_le_bytes()).collect(),
        Dtype::F8_E4M3 => vec![0xc0, 0x38, 0x48, 0, 0x44],
        Dtype::F8_E5M2 => vec![0xc0, 0x3c, 0x44, 0, 0x42],
        Dtype::BOOL => vec![1, 1, 1, 0, 1],
        _ => ints(dtype.bitsize() / 8).collect(),
    }
}

#[rstest]
#[case::archive("archive.pt", true)]
#[case::legacy("legacy.pt", false)]
fn every_type_and_view_is_read(#[case] file: &str, #[case] new: bool) {
    let mut expected: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = [
        ("bfloat16", Dtype::BF16),
        ("bool", Dtype::BOOL),
        ("float16", Dtype::F16),
        ("float32", Dtype::F32),
        ("float64", Dtype::F64),
        ("int16", Dtype::I16),
        ("int32", Dtype::I32),
        ("int64", Dtype::I64),
        ("int8", Dtype::I8),
        ("uint8", Dtype::U8),
    ]
    .map(|(name, dtype)| (name, dtype, vec![5], typed(dtype)))
    .into();
    if new {
        let types = [
            ("float8_e4m3fn", Dtype::F8_E4M3),
            ("float8_e5m2", Dtype::F8_E5M2),
            ("uint16", Dtype::U16),
            ("uint32", Dtype::U32),
        ];
        expected.extend(types.map(|(name, dtype)| (name, dtype, vec![5], typed(dtype))));
    }
    let views: [(&str, &[usize], &[f32]); 8] = [
        ("empty", &[0, 4], &[]),
        ("expanded", &[2, 3], &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]),
        ("parameter", &[3], &[-2.0, 1.0, 4.0]),
        ("part", &[2, 2], &[3.0, 2.0, 1.0, 0.0]),
        ("plain", &[2, 3], &[-2.0, 1.0, 4.0, 0.0, 3.0, -1.0]),
        ("scalar", &[], &[2.5]),
        ("tied", &[2, 3], &[-2.0, 1.0, 4.0, 0.0, 3.0, -1.0]),
        ("transposed", &[3, 2], &[-2.0, 0.0, 1.0, 3.0, 4.0, -1.0]),
    ];
    expected.extend(views.map(|(name, shape, numbers)| (name, Dtype::F32, shape.to_vec(), floats(numbers))));
    expected.sort();
    let expected: Vec<_> =
        expected.into_iter().map(|(name, dtype, shape, data)| (name.to_owned(), dtype, shape, data)).collect();
    assert_eq!(saved(file), expected);
}

/// Epoch, optimizer, namespace and path lie beside the weights.
#[rstest]
fn weights_are_found_in_what_training_saved(#[values("training.pt", "training-protocol-4.pt")] file: &str) {
    let names: Vec<String> = saved(file).into_iter().map(|(name, ..)| name).collect();
    let norm =
        ["bias", "num_batches_tracked", "running_mean", "running_var", "weight"].map(|part| format!("norm.{part}"));
    let expected = [&["first.bias".to_owned(), "first.weight".to_owned()], norm.as_slice()].concat();
    assert_eq!(names, expected);
}

#[rstest]
#[case(
    "module.pt",
    "at byte 2 of its pickle: it names `torch.nn.modules.container.Sequential`, which weights are not read from; nothing of it was run; save the weights alone: `torch.save(model.state_dict(), path)`"
)]
#[case(
    "tensor.pt",
    "it holds a tensor, expected a dictionary of tensors, as `torch.save(model.state_dict(), path)` writes"
)]
#[case("script.pt", "it holds a TorchScript program; save the weights alone: `torch.save(module.state_dict(), path)`")]
fn files_without_a_dictionary_of_tensors_are_refused(#[case] file: &str, #[case] expected: &str) {
    assert_eq!(reason(&fixture(file)), expected);
}

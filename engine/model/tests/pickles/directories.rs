//! Directories whose weights PyTorch wrote.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use paring_model::{Checkpoint, ModelError};
use tempfile::TempDir;

use crate::writer::weights;

fn numbers(shape: &[usize]) -> Tensor {
    let count = shape.iter().product::<usize>();
    let numbers: Vec<f32> = (0..count).map(|index| index as f32 / 8.0).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

fn vec(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn write(directory: &Path, name: &str, tensors: &[(&str, &Tensor)]) {
    fs::write(directory.join(name), weights(tensors)).unwrap();
}

/// Weights in every form that others write, and a licence.
fn directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    write(directory.path(), "pytorch_model.bin", &[("a", &numbers(&[2, 3]))]);
    fs::write(directory.path().join("LICENSE"), "free").unwrap();
    fs::write(directory.path().join("tf_model.h5"), "old weights").unwrap();
    fs::create_dir(directory.path().join("onnx")).unwrap();
    fs::write(directory.path().join("onnx/model.onnx"), "old weights").unwrap();
    directory
}

#[test]
fn one_file_opens_and_is_not_carried_along() {
    let (from, to) = (directory(), TempDir::new().unwrap());
    let model = Checkpoint::open(from.path()).unwrap();
    assert_eq!(vec(&model.tensor("a").unwrap()), vec(&numbers(&[2, 3])));
    let carried: Vec<_> = model.carried_files().collect();
    assert_eq!(carried, [Path::new("LICENSE")]);
    model.save(to.path()).unwrap();
    let mut files: Vec<_> = fs::read_dir(to.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["LICENSE", "model.safetensors", "paring.json"]);
    assert_eq!(vec(&Checkpoint::open(to.path()).unwrap().tensor("a").unwrap()), vec(&numbers(&[2, 3])));
}

#[test]
fn safetensors_come_first() {
    let (from, other) = (directory(), TempDir::new().unwrap());
    write(other.path(), "pytorch_model.bin", &[("b", &numbers(&[4]))]);
    Checkpoint::open(other.path()).unwrap().save(from.path()).unwrap();
    assert_eq!(Checkpoint::open(from.path()).unwrap().names(), ["b"]);
}

#[test]
fn shards_open_as_one_model() {
    let directory = TempDir::new().unwrap();
    let (one, other) = (numbers(&[2]), numbers(&[3]));
    write(directory.path(), "pytorch_model-00001-of-00002.bin", &[("one", &one)]);
    write(directory.path(), "pytorch_model-00002-of-00002.bin", &[("other", &other)]);
    let index = serde_json::json!({"weight_map": {
        "one": "pytorch_model-00001-of-00002.bin",
        "other": "pytorch_model-00002-of-00002.bin",
    }});
    fs::write(directory.path().join("pytorch_model.bin.index.json"), index.to_string()).unwrap();
    let model = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(model.names(), ["one", "other"]);
    assert_eq!(vec(&model.tensor("other").unwrap()), vec(&other));
    assert_eq!(model.carried_files().count(), 0);
    fs::remove_file(directory.path().join("pytorch_model-00002-of-00002.bin")).unwrap();
    let message = Checkpoint::open(directory.path()).unwrap_err().to_string();
    assert!(message.ends_with("it lists `pytorch_model-00002-of-00002.bin`, which does not exist"), "{message}");
}

#[test]
fn damaged_weights_of_a_directory_are_named() {
    let directory = directory();
    let path = directory.path().join("pytorch_model.bin");
    fs::write(&path, b"").unwrap();
    let error = Checkpoint::open(directory.path()).unwrap_err();
    assert!(matches!(&error, ModelError::Malformed { path: found, .. } if *found == path), "{error}");
}

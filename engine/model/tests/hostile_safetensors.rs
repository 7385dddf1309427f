//! Weight files that lie: each is refused with a message that says where, before any tensor is read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop where a test would")]

use std::fs;
use std::path::Path;

use paring_model::{Checkpoint, ModelError};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A file with this header text, whose length may be a lie, and this much data.
fn bytes(length: u64, header: &str, data: usize) -> Vec<u8> {
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 7);
    bytes
}

fn honest(header: &Value, data: usize) -> Vec<u8> {
    let header = header.to_string();
    bytes(header.len() as u64, &header, data)
}

fn tensor(dtype: &str, shape: &Value, from: u64, to: u64) -> Value {
    json!({"dtype": dtype, "shape": shape, "data_offsets": [from, to]})
}

/// What is said of a file with these bytes.
fn reason(bytes: &[u8]) -> String {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    match Checkpoint::open(&path).unwrap_err() {
        ModelError::Malformed { path: found, format: "safetensors", reason } => {
            assert_eq!(found, path);
            reason
        }
        other => panic!("{other}"),
    }
}

#[rstest]
#[case::empty(Vec::new(), "it has 0 bytes, expected at least 8")]
#[case::cut_in_the_length(vec![1, 0, 0], "it has 3 bytes, expected at least 8")]
#[case::cut_in_the_header(bytes(90, "{\"a\":", 0), "its header claims 90 bytes, but only 5 follow")]
#[case::endless_header(
    bytes(u64::MAX, "{}", 0),
    "its header claims 18446744073709551615 bytes, expected at most 33554432"
)]
#[case::no_json(bytes(4, "oops", 0), "in its header, expected value at line 1 column 1")]
#[case::no_map(
    bytes(2, "[]", 0),
    "in its header, invalid type: sequence, expected a map of tensors at line 1 column 0"
)]
#[case::text_ends(bytes(10, "{\"a\":{\"dty", 0), "in its header, the text ends within tensor `a`")]
fn files_that_are_none(#[case] file: Vec<u8>, #[case] expected: &str) {
    assert!(reason(&file).starts_with(expected), "{}", reason(&file));
}

#[rstest]
#[case::truncated(json!({"a": tensor("F32", &json!([4]), 0, 16)}), 8,
    "tensor `a` claims bytes 0 to 16, but the file holds 8 bytes of data")]
#[case::backwards(json!({"a": tensor("F32", &json!([1]), 4, 0)}), 4,
    "tensor `a` claims bytes 4 to 0, but the file holds 4 bytes of data")]
#[case::too_short(json!({"a": tensor("F32", &json!([2]), 0, 4)}), 4,
    "tensor `a` of type `F32` and shape [2] needs 8 bytes, but claims 4")]
#[case::overflow(json!({"a": tensor("F32", &json!([1_u64 << 40, 1_u64 << 40]), 0, 4)}), 4,
    "tensor `a` has shape [1099511627776, 1099511627776], which is too large")]
#[case::overlap(json!({"a": tensor("U8", &json!([4]), 0, 4), "b": tensor("U8", &json!([4]), 2, 6)}), 6,
    "tensors `a` and `b` overlap")]
#[case::same_bytes(json!({"a": tensor("U8", &json!([4]), 0, 4), "b": tensor("U8", &json!([4]), 0, 4)}), 4,
    "tensors `a` and `b` overlap")]
#[case::hole(json!({"a": tensor("U8", &json!([2]), 0, 2), "b": tensor("U8", &json!([2]), 4, 6)}), 6,
    "2 bytes before tensor `b` belong to no tensor")]
#[case::appended(json!({"a": tensor("U8", &json!([2]), 0, 2)}), 5, "its last 3 bytes belong to no tensor")]
#[case::unknown_type(json!({"a": tensor("F33", &json!([1]), 0, 4)}), 4, "tensor `a` has unknown type `F33`")]
#[case::half_a_byte(json!({"a": tensor("F4", &json!([3]), 0, 1)}), 1, "tensor `a` of type `F4` and shape [3] ends within a byte")]
#[case::negative(json!({"a": tensor("U8", &json!([-1]), 0, 1)}), 1,
    "in its header, tensor `a` lacks a proper `dtype`, `shape` or `data_offsets` at line 1 column 31")]
#[case::no_offsets(json!({"a": {"dtype": "U8", "shape": [1]}}), 1,
    "in its header, tensor `a` lacks a proper `dtype`, `shape` or `data_offsets` at line 1 column 32")]
fn headers_that_lie(#[case] header: Value, #[case] data: usize, #[case] expected: &str) {
    assert_eq!(reason(&honest(&header, data)), expected);
}

#[test]
fn a_tensor_is_listed_once() {
    let header =
        r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
    let reason = reason(&bytes(header.len() as u64, header, 0));
    assert!(reason.starts_with("in its header, tensor `a` is listed twice"), "{reason}");
}

/// Every prefix of a good file is refused, and none is a panic.
#[test]
fn every_truncation_is_refused() {
    let header = json!({"a": tensor("F32", &json!([2, 3]), 0, 24), "b": tensor("I64", &json!([1]), 24, 32)});
    let good = honest(&header, 32);
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.safetensors");
    for length in 0..good.len() {
        fs::write(&path, &good[..length]).unwrap();
        assert!(Checkpoint::open(&path).is_err(), "{length} bytes");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(Checkpoint::open(&path).unwrap().names(), ["a", "b"]);
}

#[test]
fn a_directory_is_not_a_weights_file() {
    let directory = TempDir::new().unwrap();
    fs::create_dir(directory.path().join("model.safetensors")).unwrap();
    assert!(Checkpoint::open(directory.path()).is_err());
    assert!(matches!(Checkpoint::open(Path::new("/no/such/model")), Err(ModelError::Io { action: "open", .. })));
}

/// A type that candle lacks can be carried, but not computed with.
#[test]
fn a_type_that_cannot_be_computed_with_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("model.safetensors");
    fs::write(&path, honest(&json!({"flags": tensor("BOOL", &json!([4]), 0, 4)}), 4)).unwrap();
    let model = Checkpoint::open(&path).unwrap();
    assert_eq!(
        model.tensor("flags").unwrap_err().to_string(),
        "cannot compute with tensor `flags`: its numbers have type `BOOL`"
    );
    let copy = directory.path().join("copy");
    model.save(&copy).unwrap();
    assert_eq!(Checkpoint::open(&copy).unwrap().digest().unwrap(), model.digest().unwrap());
}

/// A directory with an index that lists `file` for the tensor `a`, beside a good shard `one.safetensors` that holds it.
fn sharded(file: &str) -> (TempDir, String) {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("one.safetensors"), honest(&json!({"a": tensor("U8", &json!([2]), 0, 2)}), 2))
        .unwrap();
    let index = json!({"metadata": {}, "weight_map": {"a": file, "b": "one.safetensors"}});
    fs::write(directory.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let message = match Checkpoint::open(directory.path()) {
        Err(ModelError::Malformed { format: "weight index", reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    (directory, message)
}

#[rstest]
#[case::above("../one.safetensors", "it lists `../one.safetensors`, which is not a file of the same directory")]
#[case::absolute("/etc/passwd", "it lists `/etc/passwd`, which is not a file of the same directory")]
#[case::below("x/one.safetensors", "it lists `x/one.safetensors`, which is not a file of the same directory")]
#[case::nothing("", "it lists ``, which is not a file of the same directory")]
#[case::missing("two.safetensors", "it lists `two.safetensors`, which does not exist")]
#[case::absent_tensor("one.safetensors", "it lists tensor `b` in `one.safetensors`, which does not hold it")]
fn indexes_that_lie(#[case] file: &str, #[case] expected: &str) {
    assert_eq!(sharded(file).1, expected);
}

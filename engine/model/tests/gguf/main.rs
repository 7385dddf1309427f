//! GGUF files: those that llama.cpp's own package wrote (see fixtures/make.py), and files that lie.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop where a test would"
)]

mod exported;
mod hostile;
mod models;
mod tokenizers;
mod types;
mod writer;

use std::fs;
use std::path::{Path, PathBuf};

use paring_model::{Checkpoint, ModelError};
use serde_json::Value;
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gguf/fixtures").join(name)
}

/// What the package, transformers and SentencePiece make of the fixtures.
fn told() -> Value {
    serde_json::from_slice(&fs::read(fixture("told.json")).unwrap()).unwrap()
}

/// A file of these bytes, opened.
fn open(bytes: &[u8]) -> Result<Checkpoint, ModelError> {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.gguf");
    fs::write(&path, bytes).unwrap();
    Checkpoint::open(&path)
}

/// What is said of a file of these bytes.
fn said(bytes: &[u8]) -> String {
    match open(bytes).unwrap_err() {
        ModelError::Malformed { format: "GGUF", reason, .. } => reason,
        other => panic!("{other}"),
    }
}

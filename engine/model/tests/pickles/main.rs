//! Files of `torch.save`: those that PyTorch wrote (see fixtures/make.py), directories of them, and files that lie.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop where a test would"
)]

mod directories;
mod hostile;
mod writer;
mod written;

use std::path::{Path, PathBuf};

use paring_model::{Checkpoint, ModelError};

/// A file that PyTorch wrote.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pickles/fixtures").join(name)
}

/// What is said of a file that is refused.
fn reason(path: &Path) -> String {
    match Checkpoint::open(path).unwrap_err() {
        ModelError::Malformed { path: found, format: "PyTorch", reason } => {
            assert_eq!(found, path);
            reason
        }
        other => panic!("{other}"),
    }
}

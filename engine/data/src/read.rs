//! Readers: a path to a dataset, by its ending.

use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::error::Result;

/// How to read a file.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// CSV: whether the first line names the columns; decided by looking when `None` (a first line with no number in
    /// it above a line with numbers is a header).
    pub header: Option<bool>,
    /// CSV: the character between cells; `,` by default (tab for .tsv).
    pub delimiter: Option<u8>,
    /// CSV: cells that count as missing, besides the empty cell.
    pub missing: Vec<String>,
    /// A second file that holds the labels (IDX, npy), joined as column `label`.
    pub labels: Option<PathBuf>,
}

/// Reads csv, tsv, jsonl, parquet, npy, npz, IDX (`*-ubyte`, `.idx`), each also with `.gz` where that is usual.
/// Columns of a CSV without header are called `c0`, `c1`, ...; an array file's column is called `features`.
///
/// # Errors
/// When the file cannot be read or is not what its ending says.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let _ = (path, options);
    todo!()
}

//! A dataset: one Arrow record batch, where it came from, and its digest.

use std::path::PathBuf;

use arrow::record_batch::RecordBatch;
use paring_model::Table;

use crate::error::Result;

/// Rows of one file (or of a features file and a labels file, side by side).
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The rows. Vectors and images are fixed-size lists.
    pub batch: RecordBatch,
    /// The shape of one image, `[channels, height, width]`, where the format says so (IDX, npy with 3 or 4 dimensions).
    pub image: Option<[usize; 3]>,
    /// The files read.
    pub paths: Vec<PathBuf>,
    /// Digest (hex) of the files' bytes.
    pub digest: String,
}

impl Dataset {
    /// Rows.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Column names in file order.
    pub fn columns(&self) -> Vec<String> {
        self.batch.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// The given rows of the given columns as a table.
    ///
    /// # Errors
    /// When a column is missing or has a type that is not read (nested lists, structs).
    pub fn table(&self, columns: &[String], rows: &[usize]) -> Result<Table> {
        let _ = (columns, rows);
        todo!()
    }
}

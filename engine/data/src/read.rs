//! Readers: a path to a dataset, by its ending. One file a format.

mod csv;
mod idx;
mod jsonl;
mod ndarray;
mod npy;
mod npz;
mod parquet;
mod source;
mod txt;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;

use crate::cells::{NamedColumn, batch};
use crate::dataset::{Dataset, digest_of};
use crate::error::{DataError, Result};

pub use source::digest;

/// How to read a file.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// CSV: whether the first line names the columns; decided by looking when `None`: it does when none of its cells is
    /// a number, or when one of its cells is text above a column of numbers only.
    pub header: Option<bool>,
    /// CSV: the character between cells; `,` by default (tab for .tsv).
    pub delimiter: Option<u8>,
    /// CSV: cells that count as missing, besides the empty cell.
    pub missing: Vec<String>,
    /// A second file that holds the labels (IDX, npy), joined as column `label`.
    pub labels: Option<PathBuf>,
}

/// What a reader found in a file.
struct Found {
    columns: Vec<NamedColumn>,
    image: Option<[usize; 3]>,
}

/// The formats, by ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv { delimiter: u8 },
    JsonLines,
    Parquet,
    Npy,
    Npz,
    Idx,
    Text,
}

/// The endings that are read, for messages.
const ENDINGS: [&str; 10] = [
    ".csv",
    ".tsv",
    ".jsonl",
    ".ndjson",
    ".parquet",
    ".npy",
    ".npz",
    ".idx",
    ".txt",
    "-ubyte (IDX, as in train-images-idx3-ubyte)",
];

impl Format {
    fn name(self) -> &'static str {
        match self {
            Format::Csv { .. } => "CSV",
            Format::JsonLines => "JSON lines",
            Format::Parquet => "Parquet",
            Format::Npy => "npy",
            Format::Npz => "npz",
            Format::Idx => "IDX",
            Format::Text => "text",
        }
    }

    /// The format that a path's ending names.
    fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let packed = source::is_gz(path);
        let name = if packed { name.trim_end_matches(".gz") } else { &name };
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        match ending {
            "csv" => Ok(Format::Csv { delimiter: b',' }),
            "tsv" => Ok(Format::Csv { delimiter: b'\t' }),
            "jsonl" | "ndjson" => Ok(Format::JsonLines),
            "npy" => Ok(Format::Npy),
            "parquet" if !packed => Ok(Format::Parquet),
            "npz" if !packed => Ok(Format::Npz),
            "idx" => Ok(Format::Idx),
            "txt" => Ok(Format::Text),
            _ if name.ends_with("-ubyte") => Ok(Format::Idx),
            _ => Err(DataError::UnknownFormat { path: path.to_owned(), known: ENDINGS.to_vec() }),
        }
    }
}

/// Reads csv, tsv, jsonl, parquet, npy, npz, IDX (`*-ubyte`, `.idx`) and txt, each but parquet and npz also with `.gz`.
///
/// Columns of a CSV without header are called `c0`, `c1`, ...; the column of an npy or IDX file is called `features`:
/// numbers where the array has one dimension, else vectors, and images where it has three or four. The arrays of an npz
/// file are columns by their names. The column of a txt file is called `text`; each line is a row.
///
/// # Errors
/// When the file cannot be read, is not what its ending says, or holds no rows; when the labels file has another number
/// of rows or more than one column.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let format = Format::of(path)?;
    let dataset = read_format(path, format, options)?;
    match &options.labels {
        Some(labels) => join_labels(dataset, labels, options),
        None => Ok(dataset),
    }
}

fn read_format(path: &Path, format: Format, options: &ReadOptions) -> Result<Dataset> {
    let (found, digest) = match format {
        // Parquet is read from the file piece by piece.
        Format::Parquet => (guarded(|| parquet::read(path)), source::digest(path)?),
        _ => {
            let source = source::load(path)?;
            (guarded(|| decode(&source.bytes, format, options)), source.digest)
        }
    };
    let malformed = |reason| DataError::Malformed { path: path.to_owned(), format: format.name(), reason };
    let Found { columns, image } = found.map_err(malformed)?;
    let batch = batch(path, format.name(), columns)?;
    Ok(Dataset { batch, image, paths: vec![path.to_owned()], digest })
}

fn decode(bytes: &[u8], format: Format, options: &ReadOptions) -> Result<Found, String> {
    match format {
        Format::Csv { delimiter } => csv::read(bytes, options.delimiter.unwrap_or(delimiter), options),
        Format::JsonLines => jsonl::read(bytes),
        Format::Npz => npz::read(bytes),
        Format::Npy => npy::read(bytes),
        Format::Idx => idx::read(bytes),
        Format::Text => txt::read(bytes),
        Format::Parquet => Err("is not read from memory".to_owned()),
    }
}

/// Turns a crash of a decoding library on a damaged file into an error.
fn guarded(read: impl FnOnce() -> Result<Found, String>) -> Result<Found, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("is damaged: its contents contradict each other".to_owned()))
}

/// The name of the joined column.
const LABEL: &str = "label";

/// Joins the one column of a labels file as column `label`.
fn join_labels(features: Dataset, path: &Path, options: &ReadOptions) -> Result<Dataset> {
    let format = Format::of(path)?;
    let labels = read_format(path, format, options)?;
    if labels.rows() != features.rows() {
        return Err(DataError::RowCounts {
            path: path.to_owned(),
            found: labels.rows(),
            other: features.paths.first().cloned().unwrap_or_default(),
            expected: features.rows(),
        });
    }
    let [column] = labels.batch.columns() else {
        let reason = format!("has {} columns, expected one column of labels", labels.batch.num_columns());
        return Err(DataError::Malformed { path: path.to_owned(), format: format.name(), reason });
    };
    if features.columns().iter().any(|name| name == LABEL) {
        let reason = "is in the features file already, and would be joined from the labels file".to_owned();
        return Err(DataError::Cell { column: LABEL.to_owned(), reason });
    }
    Ok(Dataset {
        batch: with_label(&features.batch, column)?,
        image: features.image,
        digest: digest_of(&[&features.digest, &labels.digest]),
        paths: features.paths.into_iter().chain(labels.paths).collect(),
    })
}

/// The batch with one more column.
fn with_label(features: &RecordBatch, column: &ArrayRef) -> Result<RecordBatch> {
    let label = Arc::new(Field::new(LABEL, column.data_type().clone(), true));
    let fields: Vec<_> = features.schema().fields().iter().cloned().chain([label]).collect();
    let arrays = features.columns().iter().cloned().chain([Arc::clone(column)]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Format;

    #[test]
    fn the_ending_names_the_format() {
        let of = |name: &str| Format::of(Path::new(name)).ok();
        assert_eq!(of("a/b.CSV"), Some(Format::Csv { delimiter: b',' }));
        assert_eq!(of("b.tsv.gz"), Some(Format::Csv { delimiter: b'\t' }));
        assert_eq!(of("train-images-idx3-ubyte.gz"), Some(Format::Idx));
        assert_eq!(of("train-images.idx3-ubyte"), Some(Format::Idx));
        assert_eq!(of("x.parquet.gz"), None);
        assert_eq!(of("csv"), None);
    }
}

//! Everything that can be wrong with a data file or a split.

use std::path::PathBuf;

/// The result of an operation on data.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// What is wrong with the data. Messages are lower case, name the file, row and column, and have no full stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file is not what its name says.
    #[error("`{}` is not a valid {format} file: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// "CSV", "Parquet", ...
        format: &'static str,
        /// What is wrong with it, with the row where known.
        reason: String,
    },
    /// The ending names no format that is read.
    #[error("`{}` has an ending that names no data format; read are {}", path.display(), known.join(", "))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Endings that are read.
        known: Vec<&'static str>,
    },
    /// A column that does not exist.
    #[error("there is no column `{found}`")]
    MissingColumn {
        /// The name asked for.
        found: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// Cells that are missing, not finite, or of another type.
    #[error("column `{column}`: {reason}")]
    Cell {
        /// The column.
        column: String,
        /// What is wrong, with the (first) row, counted from 1.
        reason: String,
    },
    /// A split that leaves a part empty, a class out, or more rows than there are.
    #[error("{0}")]
    Split(String),
    /// Arrow refused an operation.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// The model's inputs refuse the rows.
    #[error(transparent)]
    Model(#[from] paring_model::ModelError),
}

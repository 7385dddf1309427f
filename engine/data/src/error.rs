//! Everything that can be wrong with a data file or a split.

use std::path::PathBuf;

/// The result of an operation on data.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// What is wrong with the data. Messages are lower case, name the file, row and column, and have no full stop; the cure
/// is in [`DataError::help`].
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
    /// A file without a single row.
    #[error("`{}` has no rows", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The ending names no format that is read.
    #[error("`{}` has an ending that names no data format", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Endings that are read.
        known: Vec<&'static str>,
    },
    /// Two files that belong together have different numbers of rows.
    #[error("`{}` has {found} rows, but `{}` has {expected}", path.display(), other.display())]
    RowCounts {
        /// The second file.
        path: PathBuf,
        /// Its rows.
        found: usize,
        /// The first file.
        other: PathBuf,
        /// The first file's rows.
        expected: usize,
    },
    /// A column that does not exist.
    #[error("there is no column `{found}`")]
    MissingColumn {
        /// The name asked for.
        found: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A column that one of two files of rows has and the other does not.
    #[error("column `{found}` is in one of the two files and not in the other")]
    ColumnOfOneFile {
        /// Its name.
        found: String,
    },
    /// A column that cannot be used as asked.
    #[error("column `{column}`: {reason}")]
    Cell {
        /// The column.
        column: String,
        /// What is wrong, with the (first) row, counted from 1.
        reason: String,
    },
    /// Cells without a value where every row needs one.
    #[error("column `{column}` has no value in row {row}{}", more_rows(*.count))]
    MissingCells {
        /// The column.
        column: String,
        /// The first such row, counted from 1.
        row: usize,
        /// How many rows have no value.
        count: usize,
    },
    /// Rows without an answer.
    #[error("label column `{column}` has no value in row {row}{}", more_rows(*.count))]
    MissingLabels {
        /// The label column.
        column: String,
        /// The first such row, counted from 1.
        row: usize,
        /// How many rows have no value.
        count: usize,
    },
    /// A number that is NaN, infinite, or beyond a 32-bit float.
    #[error("column `{column}` holds `{found}` in row {row}, expected a finite 32-bit float")]
    NotFinite {
        /// The column.
        column: String,
        /// The row, counted from 1.
        row: usize,
        /// The cell.
        found: f64,
    },
    /// A regression label that is text or a vector.
    #[error("column `{column}` holds {found}, expected numbers: a regression predicts a number")]
    NotNumeric {
        /// The label column.
        column: String,
        /// What it holds.
        found: String,
    },
    /// A category column that is not one.
    #[error("column `{column}` has {found} different values, expected at most {limit} for a column of categories")]
    TooManyCategories {
        /// The column.
        column: String,
        /// How many there are.
        found: usize,
        /// The most that are taken.
        limit: usize,
    },
    /// A label that never changes.
    #[error("label column `{column}` has one class only, `{class}`, expected at least 2")]
    OneClass {
        /// The label column.
        column: String,
        /// Its only class.
        class: String,
    },
    /// A label that the model does not know.
    #[error("column `{column}` holds `{found}` in row {row}, which is not a class that the model knows")]
    UnknownClass {
        /// The label column.
        column: String,
        /// The row, counted from 1.
        row: usize,
        /// The cell.
        found: String,
        /// The classes that the model knows.
        known: Vec<String>,
    },
    /// Too few rows of a class to give every part some.
    #[error("class {} has {found} {}, expected at least {needed} to keep its share in every part", class_name(*.class, name), rows(*.found))]
    SmallClass {
        /// The class's number.
        class: u32,
        /// The class's name, where it is known.
        name: Option<String>,
        /// Its rows.
        found: usize,
        /// The fewest that can be divided.
        needed: usize,
    },
    /// A split that leaves a part empty or asks for more rows than there are.
    #[error("{0}")]
    Split(String),
    /// Arrow refused an operation.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// The model's inputs refuse the rows.
    #[error(transparent)]
    Model(#[from] paring_model::ModelError),
}

impl DataError {
    /// The same error with the class's name in it instead of its number.
    #[must_use]
    pub fn with_class_names(self, labels: &[String]) -> Self {
        match self {
            DataError::SmallClass { class, found, needed, .. } => {
                DataError::SmallClass { class, name: labels.get(class as usize).cloned(), found, needed }
            }
            other => other,
        }
    }

    /// What to do about it, where that can be said in general.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            DataError::UnknownFormat { known, .. } => {
                format!("read are {}; each but .parquet and .npz may be packed with .gz", known.join(", "))
            }
            DataError::MissingColumn { known, .. } => format!("the columns are {}", listed(known)),
            DataError::ColumnOfOneFile { .. } => "give both the same columns, or name those to read".to_owned(),
            DataError::UnknownClass { known, .. } => format!("the classes are {}", listed(known)),
            DataError::MissingCells { .. } => {
                "set `missing` to `drop_rows`, `mean`, `median` or `constant`, or fill the cells in the file".to_owned()
            }
            DataError::MissingLabels { .. } => "leave rows without an answer out of the file".to_owned(),
            DataError::NotFinite { .. } => {
                "write an empty cell for a value that is not known, or name its spelling in `missing_values`".to_owned()
            }
            DataError::NotNumeric { .. } => "name a column of numbers as `label`, or set `task: classify`".to_owned(),
            DataError::TooManyCategories { .. } => {
                "leave the column out by naming the feature columns in `features`".to_owned()
            }
            DataError::OneClass { .. } => "name the column of answers as `label`, or use more rows".to_owned(),
            DataError::SmallClass { .. } => "use more rows of the class, or set `stratify: false`".to_owned(),
            _ => return None,
        })
    }
}

/// The first names in backticks, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn class_name(class: u32, name: &Option<String>) -> String {
    name.as_ref().map_or_else(|| format!("number {class}"), |name| format!("`{name}`"))
}

fn more_rows(count: usize) -> String {
    match count.saturating_sub(1) {
        0 => String::new(),
        1 => " and in 1 more row".to_owned(),
        more => format!(" and in {more} more rows"),
    }
}

fn rows(count: usize) -> &'static str {
    if count == 1 { "row" } else { "rows" }
}

#[cfg(test)]
mod tests {
    use super::DataError;

    #[test]
    fn a_missing_cell_says_where_and_how_many() {
        let error = DataError::MissingCells { column: "age".to_owned(), row: 3, count: 13 };
        assert_eq!(error.to_string(), "column `age` has no value in row 3 and in 12 more rows");
    }

    #[test]
    fn help_lists_ten_columns_at_most() {
        let known = (0..12).map(|index| format!("c{index}")).collect();
        let error = DataError::MissingColumn { found: "x".to_owned(), known };
        let help = error.help().unwrap();
        assert!(help.ends_with("`c9` and 2 more"), "{help}");
    }
}

//! A dataset: one Arrow record batch, where it came from, and its digest.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Array, AsArray as _, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;
use paring_model::{Column, Table, Values};

use crate::cells::{UNREAD, kind_name};
use crate::error::{DataError, Result};

/// Rows of one file (or of a features file and a labels file, side by side).
///
/// Numbers are 64-bit floats, text is UTF-8, and vectors and images are fixed-size lists of 32-bit floats, whatever the
/// file's own types are. A column that can be none of these is carried along and refused when it is used.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// The rows. Vectors and images are fixed-size lists.
    pub batch: RecordBatch,
    /// The shape of one image, `[channels, height, width]`, where the format says so (IDX, npy with 3 or 4 dimensions).
    pub image: Option<[usize; 3]>,
    /// The files read.
    pub paths: Vec<PathBuf>,
    /// Digest (BLAKE3, hex) of the file's bytes; of the digests where there are several files; and of the number of
    /// rows where only the first are kept.
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
    /// When a column is missing or has a type that is not read (nested lists, structs), when a row does not exist, or
    /// when a vector is missing.
    pub fn table(&self, columns: &[String], rows: &[usize]) -> Result<Table> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            return Err(DataError::Split(format!("there is no row {row}: the data has {} rows", self.rows())));
        }
        let columns = columns
            .iter()
            .map(|name| Ok(Column { name: name.clone(), values: self.values(name, rows)? }))
            .collect::<Result<_>>()?;
        Ok(Table { columns, rows: rows.len() })
    }

    /// The cells of a column of texts, joined by line feeds.
    ///
    /// # Errors
    /// When there is no such column, or it is no text. Missing cells are left out.
    pub fn running_text(&self, column: &str) -> Result<String> {
        let rows: Vec<usize> = (0..self.rows()).collect();
        match self.values(column, &rows)? {
            Values::Text(cells) => Ok(cells.into_iter().flatten().collect::<Vec<_>>().join("\n")),
            _ => Err(DataError::Cell { column: column.to_owned(), reason: "holds no text".to_owned() }),
        }
    }

    /// Only the first `rows` rows (all of them when there are fewer).
    #[must_use]
    pub fn head(&self, rows: usize) -> Self {
        if rows >= self.rows() {
            return self.clone();
        }
        let digest = digest_of(&[&self.digest, &format!("first {rows}")]);
        Self { batch: self.batch.slice(0, rows), digest, ..self.clone() }
    }

    /// The rows of this dataset followed by those of another with the same columns (in any order), so that a separate
    /// test file becomes a range of rows.
    ///
    /// # Errors
    /// When a column is in one of them only or has another kind of cells, or when the image shapes differ.
    pub fn append(&self, other: &Dataset) -> Result<Dataset> {
        let names = self.columns();
        let others = other.columns();
        let alone = |own: &[String], there: &[String]| own.iter().find(|name| !there.contains(name)).cloned();
        if let Some(found) = alone(&others, &names).or_else(|| alone(&names, &others)) {
            return Err(DataError::ColumnOfOneFile { found });
        }
        let columns = names.iter().map(|name| self.matching(name, other)).collect::<Result<Vec<_>>>()?;
        if self.image != other.image {
            return Err(DataError::Split(format!(
                "the images are {} and {}, expected the same shape",
                image_name(self.image),
                image_name(other.image)
            )));
        }
        let schema = self.batch.schema();
        let second = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        Ok(Dataset {
            batch: concat_batches(&schema, [&self.batch, &second])?,
            image: self.image,
            paths: self.paths.iter().chain(&other.paths).cloned().collect(),
            digest: digest_of(&[&self.digest, &other.digest]),
        })
    }

    /// Of these columns alone, as far as they are there.
    ///
    /// # Errors
    /// When arrow refuses.
    pub fn only(&self, columns: &[&str]) -> Result<Dataset> {
        let names = self.columns();
        let kept: Vec<usize> = (0..names.len()).filter(|&index| columns.contains(&names[index].as_str())).collect();
        Ok(Dataset { batch: self.batch.project(&kept)?, ..self.clone() })
    }

    /// A column's index.
    fn index(&self, name: &str) -> Result<usize> {
        let missing = || DataError::MissingColumn { found: name.to_owned(), known: self.columns() };
        self.batch.schema().index_of(name).map_err(|_| missing())
    }

    /// The column of `other` that continues this one's column `name`.
    fn matching(&self, name: &str, other: &Dataset) -> Result<Arc<dyn Array>> {
        let mine = self.batch.column(self.index(name)?);
        let theirs = other.batch.column(other.index(name)?);
        if mine.data_type() == theirs.data_type() {
            return Ok(Arc::clone(theirs));
        }
        let reason = format!(
            "is {} in one file and {} in the other",
            kind_name(mine.data_type()),
            kind_name(theirs.data_type())
        );
        Err(DataError::Cell { column: name.to_owned(), reason })
    }

    /// The given rows of one column.
    fn values(&self, name: &str, rows: &[usize]) -> Result<Values> {
        let index = self.index(name)?;
        let indices = UInt64Array::from_iter_values(rows.iter().map(|&row| row as u64));
        let array = take(self.batch.column(index), &indices, None)?;
        match array.data_type() {
            DataType::Float64 => Ok(Values::Number(array.as_primitive::<Float64Type>().iter().collect())),
            DataType::Utf8 => {
                Ok(Values::Text(array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()))
            }
            DataType::FixedSizeList(item, width) if item.data_type() == &DataType::Float32 => {
                vectors(name, array.as_ref(), *width as usize, rows)
            }
            other => Err(DataError::Cell { column: name.to_owned(), reason: self.unread_reason(index, other) }),
        }
    }

    /// Why a column is not read.
    fn unread_reason(&self, index: usize, kind: &DataType) -> String {
        let schema = self.batch.schema();
        match schema.fields().get(index).and_then(|field| field.metadata().get(UNREAD)) {
            Some(reason) => reason.clone(),
            None => format!("holds {}, expected numbers, text or lists of numbers of one length", kind_name(kind)),
        }
    }
}

/// A fixed-size list of floats as a vector column; `rows` are the row numbers it was taken from.
fn vectors(name: &str, array: &dyn Array, width: usize, rows: &[usize]) -> Result<Values> {
    if let Some(first) = (0..array.len()).find(|&row| array.is_null(row)) {
        let row = rows.get(first).map_or(0, |row| row + 1);
        return Err(DataError::MissingCells { column: name.to_owned(), row, count: array.null_count() });
    }
    let list = array.as_fixed_size_list();
    let data = list.values().as_primitive::<Float32Type>().values().to_vec();
    Ok(Values::Vector { width, data })
}

/// One digest of several texts, each ended by a line feed.
pub(crate) fn digest_of(parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part.as_bytes()).update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}

fn image_name(image: Option<[usize; 3]>) -> String {
    match image {
        Some([channels, height, width]) => format!("{channels}x{height}x{width}"),
        None => "no images".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use paring_model::Values;

    use super::Dataset;
    use crate::cells::{Cells, NamedColumn, batch};
    use crate::error::DataError;

    fn dataset(columns: Vec<(&str, Cells)>) -> Dataset {
        let columns = columns.into_iter().map(|(name, cells)| NamedColumn { name: name.to_owned(), cells }).collect();
        let batch = batch(Path::new("t.csv"), "CSV", columns).unwrap();
        Dataset { batch, image: None, paths: vec!["t.csv".into()], digest: "d".to_owned() }
    }

    fn numbers(values: &[f64]) -> Cells {
        Cells::Numbers(values.iter().copied().map(Some).collect())
    }

    #[test]
    fn a_table_takes_rows_in_the_order_asked() {
        let data = dataset(vec![("a", numbers(&[1.0, 2.0, 3.0]))]);
        let table = data.table(&["a".to_owned()], &[2, 0]).unwrap();
        assert_eq!(table.column("a").unwrap().values, Values::Number(vec![Some(3.0), Some(1.0)]));
    }

    #[test]
    fn a_row_that_does_not_exist_is_an_error() {
        let data = dataset(vec![("a", numbers(&[1.0]))]);
        assert!(data.table(&["a".to_owned()], &[1]).is_err());
    }

    #[test]
    fn a_missing_vector_names_its_own_row() {
        let cells = Cells::Vectors { width: 1, data: vec![1.0, 0.0], present: vec![true, false] };
        let data = dataset(vec![("v", cells)]);
        let error = data.table(&["v".to_owned()], &[1]).unwrap_err();
        assert_eq!(error.to_string(), "column `v` has no value in row 2");
    }

    #[test]
    fn head_keeps_the_first_rows_and_changes_the_digest() {
        let data = dataset(vec![("a", numbers(&[1.0, 2.0, 3.0]))]);
        let head = data.head(2);
        assert_eq!(head.rows(), 2);
        assert_ne!(head.digest, data.digest);
        assert_eq!(data.head(5).digest, data.digest);
    }

    #[test]
    fn append_puts_columns_in_the_first_files_order() {
        let first = dataset(vec![("a", numbers(&[1.0])), ("b", numbers(&[2.0]))]);
        let second = dataset(vec![("b", numbers(&[4.0])), ("a", numbers(&[3.0]))]);
        let both = first.append(&second).unwrap();
        let table = both.table(&["a".to_owned()], &[0, 1]).unwrap();
        assert_eq!(table.column("a").unwrap().values, Values::Number(vec![Some(1.0), Some(3.0)]));
    }

    #[test]
    fn only_the_columns_asked_for_stay() {
        let all = dataset(vec![("a", numbers(&[1.0])), ("b", numbers(&[2.0])), ("c", numbers(&[3.0]))]);
        let some = all.only(&["c", "a", "z"]).unwrap();
        assert_eq!((some.columns(), some.rows()), (vec!["a".to_owned(), "c".to_owned()], 1));
    }

    #[test]
    fn append_refuses_other_columns_and_other_kinds() {
        let first = dataset(vec![("a", numbers(&[1.0]))]);
        let text = dataset(vec![("a", Cells::Text(vec![Some("x".to_owned())]))]);
        let error = first.append(&text).unwrap_err();
        assert_eq!(error.to_string(), "column `a`: is numbers in one file and text in the other");
        let other = dataset(vec![("a", numbers(&[1.0])), ("z", numbers(&[1.0]))]);
        assert!(matches!(first.append(&other), Err(DataError::ColumnOfOneFile { found }) if found == "z"));
        assert!(matches!(other.append(&first), Err(DataError::ColumnOfOneFile { found }) if found == "z"));
    }
}

//! Cells on their way from a file into an Arrow record batch: three kinds that are read, and one that is carried along.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeListArray, Float32Array, Float64Array, NullArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use crate::error::{DataError, Result};

/// The key of the field metadata that says why a column is not read.
pub(crate) const UNREAD: &str = "paring.unread";

/// A column as a reader found it.
#[derive(Debug)]
pub(crate) struct NamedColumn {
    pub(crate) name: String,
    pub(crate) cells: Cells,
}

/// The cells of a column.
#[derive(Debug)]
pub(crate) enum Cells {
    /// Numbers; `None` is a missing cell.
    Numbers(Vec<Option<f64>>),
    /// Text; `None` is a missing cell.
    Text(Vec<Option<String>>),
    /// Vectors of one width; a row that is not present is filled with zeros.
    Vectors { width: usize, data: Vec<f32>, present: Vec<bool> },
    /// Something else: refused when it is used, so that a column nobody asks for does no harm.
    Unread { rows: usize, reason: String },
}

impl Cells {
    fn array(self) -> Result<ArrayRef> {
        Ok(match self {
            Cells::Numbers(values) => Arc::new(Float64Array::from(values)),
            Cells::Text(values) => Arc::new(StringArray::from(values)),
            Cells::Vectors { width, data, present } => vector_array(width, Float32Array::from(data), present)?,
            Cells::Unread { rows, .. } => Arc::new(NullArray::new(rows)),
        })
    }

    fn unread_reason(&self) -> Option<String> {
        match self {
            Cells::Unread { reason, .. } => Some(reason.clone()),
            _ => None,
        }
    }
}

/// Vectors of 32-bit floats as Arrow keeps them.
fn vector_array(width: usize, values: Float32Array, present: Vec<bool>) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(DataType::Float32, false));
    let size = i32::try_from(width).map_err(|_| {
        DataError::Split(format!("vectors of {width} numbers are too wide, expected at most {}", i32::MAX))
    })?;
    let nulls = present.contains(&false).then(|| NullBuffer::from(present));
    Ok(Arc::new(FixedSizeListArray::try_new(item, size, Arc::new(values), nulls)?))
}

/// The columns side by side.
///
/// # Errors
/// When there are no columns or rows, or two columns share a name.
pub(crate) fn batch(path: &Path, format: &'static str, columns: Vec<NamedColumn>) -> Result<RecordBatch> {
    let mut names = BTreeSet::new();
    if let Some(twice) = columns.iter().find(|column| !names.insert(column.name.as_str())) {
        let reason = format!("two columns are called `{}`", twice.name);
        return Err(DataError::Malformed { path: path.to_owned(), format, reason });
    }
    let mut fields = Vec::with_capacity(columns.len());
    let mut arrays = Vec::with_capacity(columns.len());
    for NamedColumn { name, cells } in columns {
        let metadata: HashMap<_, _> =
            cells.unread_reason().map(|reason| (UNREAD.to_owned(), reason)).into_iter().collect();
        let array = cells.array()?;
        fields.push(Field::new(name, array.data_type().clone(), true).with_metadata(metadata));
        arrays.push(array);
    }
    if arrays.first().is_none_or(|array| array.is_empty()) {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

/// What a column holds, in words.
pub(crate) fn kind_name(kind: &DataType) -> &'static str {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::FixedSizeList(..) => "vectors",
        DataType::List(_) | DataType::LargeList(_) | DataType::ListView(_) | DataType::LargeListView(_) => "lists",
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => "dates",
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) | DataType::Interval(_) => "times",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytes",
        DataType::Struct(_) | DataType::Map(..) | DataType::Union(..) => "records",
        DataType::Null => "nothing that is read",
        _ => "numbers",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Cells, NamedColumn, batch};

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let column = |value| NamedColumn { name: "a".to_owned(), cells: Cells::Numbers(vec![Some(value)]) };
        let error = batch(Path::new("x.csv"), "CSV", vec![column(1.0), column(2.0)]).unwrap_err();
        assert_eq!(error.to_string(), "`x.csv` is not a valid CSV file: two columns are called `a`");
    }

    #[test]
    fn no_rows_are_refused() {
        let column = NamedColumn { name: "a".to_owned(), cells: Cells::Numbers(vec![]) };
        let error = batch(Path::new("x.csv"), "CSV", vec![column]).unwrap_err();
        assert_eq!(error.to_string(), "`x.csv` has no rows");
    }
}

//! Parquet: numbers, booleans, text, dictionaries, and lists of numbers of one length.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::record_batch::RecordBatch;

use super::Found;
use super::source::lower;
use crate::cells::{Cells, NamedColumn, kind_name};

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Found, String> {
    let batch = record_batch(path)?;
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, array)| NamedColumn { name: field.name().clone(), cells: cells(array) });
    Ok(Found { columns: columns.collect(), image: None })
}

fn record_batch(path: &Path) -> Result<RecordBatch, String> {
    let file = File::open(path).map_err(|error| lower(&error))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| lower(&error))?;
    let schema = Arc::clone(builder.schema());
    let reader = builder.build().map_err(|error| lower(&error))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(|error| lower(&error))?;
    concat_batches(&schema, &batches).map_err(|error| lower(&error))
}

/// A column of any type as cells.
fn cells(array: &ArrayRef) -> Cells {
    let kind = match array.data_type() {
        DataType::Dictionary(_, values) => values.as_ref(),
        other => other,
    };
    let read = match kind {
        _ if kind.is_numeric() || matches!(kind, DataType::Boolean | DataType::Null) => numbers(array),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => text(array),
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => vectors(array),
        _ => Err(format!("holds {}, expected numbers, text or lists of numbers of one length", kind_name(kind))),
    };
    read.unwrap_or_else(|reason| Cells::Unread { rows: array.len(), reason })
}

fn numbers(array: &ArrayRef) -> Result<Cells, String> {
    let array = cast(array, &DataType::Float64).map_err(|error| lower(&error))?;
    Ok(Cells::Numbers(array.as_primitive::<Float64Type>().iter().collect()))
}

fn text(array: &ArrayRef) -> Result<Cells, String> {
    let array = cast(array, &DataType::Utf8).map_err(|error| lower(&error))?;
    Ok(Cells::Text(array.as_string::<i32>().iter().map(|cell| cell.map(str::to_owned)).collect()))
}

/// Lists as vectors: every row that is present has as many numbers as the first.
fn vectors(array: &ArrayRef) -> Result<Cells, String> {
    let mut width = None;
    let mut data = Vec::new();
    let mut present = Vec::with_capacity(array.len());
    let lists = (0..array.len()).map(|row| (row, list(array, row)));
    for (row, list) in lists {
        present.push(list.is_some());
        let Some(list) = list else { continue };
        let list = floats(&list, row)?;
        let width = *width.get_or_insert(list.len());
        if list.len() != width || width == 0 {
            return Err(format!("holds {} numbers in row {}, and {width} in rows before it", list.len(), row + 1));
        }
        data.resize(row * width, 0.0);
        data.extend(list);
    }
    let width = width.ok_or("holds no list in any row")?;
    data.resize(array.len() * width, 0.0);
    Ok(Cells::Vectors { width, data, present })
}

/// The list in a row, if there is one.
fn list(array: &ArrayRef, row: usize) -> Option<ArrayRef> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
        DataType::FixedSizeList(..) => Some(array.as_fixed_size_list().value(row)),
        _ => Some(array.as_list::<i32>().value(row)),
    }
}

fn floats(list: &ArrayRef, row: usize) -> Result<Vec<f32>, String> {
    if !list.data_type().is_numeric() && list.data_type() != &DataType::Boolean {
        return Err(format!("holds lists of {}, expected lists of numbers", kind_name(list.data_type())));
    }
    if list.null_count() > 0 {
        return Err(format!("holds a list with a missing number in row {}", row + 1));
    }
    let list = cast(list, &DataType::Float32).map_err(|error| lower(&error))?;
    Ok(list.as_primitive::<Float32Type>().values().to_vec())
}

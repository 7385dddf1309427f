//! Raw cells to numbers, column by column.

use super::{ColumnEncoding, Encoding, Matrix};
use crate::error::{ModelError, Result};
use crate::table::{Column, Table, Values, number_name};

/// The place of a column in each row of the encoded matrix.
type Rows<'a, 'b> = &'a mut dyn Iterator<Item = &'b mut [f32]>;

/// The encoded matrix: every column's numbers side by side.
pub(super) fn encode(columns: &[ColumnEncoding], table: &Table) -> Result<Matrix> {
    let width: usize = columns.iter().map(|column| column.encoding.width()).sum();
    let size = table
        .rows
        .checked_mul(width)
        .ok_or_else(|| ModelError::Input(format!("{} rows of {width} features do not fit in memory", table.rows)))?;
    let mut matrix = Matrix { rows: table.rows, columns: width, data: vec![0.0; size] };
    let mut start = 0;
    for encoding in columns {
        let missing = || ModelError::Input(format!("column `{}` is missing from the rows", encoding.name));
        let column = table.column(&encoding.name).ok_or_else(missing)?;
        let width = encoding.encoding.width();
        let cells = matrix.data.chunks_mut(matrix.columns.max(1)).map(|row| row.get_mut(start..start + width));
        fill(encoding, column, &mut cells.map(Option::unwrap_or_default))?;
        start += width;
    }
    Ok(matrix)
}

/// The names of the features that a column becomes.
pub(super) fn names(column: &ColumnEncoding) -> Vec<String> {
    let name = &column.name;
    match &column.encoding {
        Encoding::Number { .. } => vec![name.clone()],
        Encoding::Category { categories, .. } => {
            categories.iter().map(|category| format!("{name}={category}")).collect()
        }
        Encoding::Text { .. } | Encoding::Tokens { .. } => vec![name.clone()],
        Encoding::Vector { width } => (0..*width).map(|index| format!("{name}[{index}]")).collect(),
    }
}

/// Writes one column into its place in each row.
fn fill(encoding: &ColumnEncoding, column: &Column, rows: Rows<'_, '_>) -> Result<()> {
    match (&encoding.encoding, &column.values) {
        (Encoding::Number { fill }, Values::Number(cells)) => {
            numbers(column, cells.iter().map(|cell| Ok(*cell)), *fill, rows)
        }
        (Encoding::Number { fill }, Values::Text(cells)) => {
            numbers(column, cells.iter().map(|cell| cell.as_deref().map(parse).transpose()), *fill, rows)
        }
        (Encoding::Category { categories, fill }, Values::Text(cells)) => {
            one_hot(column, categories, fill.as_deref(), &mut cells.iter().cloned(), rows)
        }
        (Encoding::Category { categories, fill }, Values::Number(cells)) => {
            let cells = &mut cells.iter().map(|cell| cell.map(number_name));
            one_hot(column, categories, fill.as_deref(), cells, rows)
        }
        (Encoding::Vector { width }, Values::Vector { width: found, data }) if width == found => {
            vectors(column, *width, data, rows)
        }
        (expected, found) => Err(wrong_type(&encoding.name, expected, found)),
    }
}

fn numbers(
    column: &Column,
    cells: impl Iterator<Item = std::result::Result<Option<f64>, String>>,
    fill: Option<f64>,
    rows: Rows<'_, '_>,
) -> Result<()> {
    for (index, (cell, row)) in cells.zip(rows).enumerate() {
        let number = cell.map_err(|reason| at(column, index, &reason))?.or(fill);
        let number = number.ok_or_else(|| at(column, index, EMPTY))? as f32;
        if !number.is_finite() {
            return Err(at(column, index, "the number is not finite"));
        }
        row.fill(number);
    }
    Ok(())
}

fn one_hot(
    column: &Column,
    categories: &[String],
    fill: Option<&str>,
    cells: &mut dyn Iterator<Item = Option<String>>,
    rows: Rows<'_, '_>,
) -> Result<()> {
    for (index, (cell, row)) in cells.zip(rows).enumerate() {
        let cell = cell.or_else(|| fill.map(str::to_owned)).ok_or_else(|| at(column, index, EMPTY))?;
        for (category, number) in categories.iter().zip(row) {
            *number = if *category == cell { 1.0 } else { 0.0 };
        }
    }
    Ok(())
}

fn vectors(column: &Column, width: usize, data: &[f32], rows: Rows<'_, '_>) -> Result<()> {
    for (index, (vector, row)) in data.chunks_exact(width.max(1)).zip(rows).enumerate() {
        if let Some(place) = vector.iter().position(|number| !number.is_finite()) {
            return Err(at(column, index, &format!("number {} is not finite", place + 1)));
        }
        row.copy_from_slice(vector);
    }
    Ok(())
}

const EMPTY: &str = "the cell is empty, and the model has no fill for it";

fn parse(cell: &str) -> std::result::Result<f64, String> {
    cell.trim().parse().map_err(|_| format!("found `{cell}`, expected a number"))
}

fn at(column: &Column, row: usize, reason: &str) -> ModelError {
    ModelError::Input(format!("column `{}`, row {}: {reason}", column.name, row + 1))
}

fn wrong_type(name: &str, expected: &Encoding, found: &Values) -> ModelError {
    let expected = match expected {
        Encoding::Number { .. } => "numbers".to_owned(),
        Encoding::Category { .. } => "categories".to_owned(),
        Encoding::Text { .. } => "text".to_owned(),
        Encoding::Tokens { length } => format!("windows of {length} tokens"),
        Encoding::Vector { width } => format!("vectors of {width} numbers"),
    };
    let found = match found {
        Values::Number(_) => "numbers".to_owned(),
        Values::Text(_) => "text".to_owned(),
        Values::Vector { width, .. } => format!("vectors of {width} numbers"),
    };
    ModelError::Input(format!("column `{name}` holds {found}, but the model reads {expected}"))
}

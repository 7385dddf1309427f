//! How each feature column is read: its encoding, its fill, and the checks on its cells.

use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Column, Table, Values};

use super::names::Names;
use super::{FitOptions, MissingPolicy};
use crate::dataset::Dataset;
use crate::error::{DataError, Result};

/// The most categories that a column may have.
const MOST_CATEGORIES: usize = 1000;
/// The category of missing cells under [`MissingPolicy::Constant`].
const MISSING: &str = "missing";

/// Refuses cells that are not finite and, where the policy says so, missing cells.
pub(super) fn check_cells(dataset: &Dataset, features: &[String], rows: &[usize], options: &FitOptions) -> Result<()> {
    for name in features {
        let table = dataset.table(std::slice::from_ref(name), rows)?;
        let Some(column) = table.columns.first() else { continue };
        check_finite(column, rows)?;
        if options.missing == MissingPolicy::Error {
            check_present(column, rows)?;
        }
    }
    Ok(())
}

/// Refuses numbers that are not finite 32-bit floats; `rows` are the rows of the file that `column` was taken from.
fn check_finite(column: &Column, rows: &[usize]) -> Result<()> {
    let bad = match &column.values {
        Values::Number(cells) => cells
            .iter()
            .enumerate()
            .find_map(|(at, cell)| cell.filter(|&value| !(value as f32).is_finite()).map(|value| (at, value))),
        Values::Vector { width, data } => data
            .iter()
            .enumerate()
            .find(|(_, value)| !value.is_finite())
            .map(|(at, &value)| (at / width.max(&1), f64::from(value))),
        Values::Text(_) => None,
    };
    match bad {
        Some((at, found)) => {
            Err(DataError::NotFinite { column: column.name.clone(), row: row_number(rows, at), found })
        }
        None => Ok(()),
    }
}

/// Refuses missing cells; `rows` are the rows of the file that `column` was taken from.
pub(super) fn check_present(column: &Column, rows: &[usize]) -> Result<()> {
    let missing = match &column.values {
        Values::Number(cells) => missing_cells(cells),
        Values::Text(cells) => missing_cells(cells),
        Values::Vector { .. } => None,
    };
    match missing {
        Some((first, count)) => {
            Err(DataError::MissingCells { column: column.name.clone(), row: row_number(rows, first), count })
        }
        None => Ok(()),
    }
}

/// The first missing cell, and how many there are.
fn missing_cells<T>(cells: &[Option<T>]) -> Option<(usize, usize)> {
    let first = cells.iter().position(Option::is_none)?;
    Some((first, cells.iter().filter(|cell| cell.is_none()).count()))
}

/// The row number in the file, counted from 1.
pub(super) fn row_number(rows: &[usize], at: usize) -> usize {
    rows.get(at).map_or(0, |row| row + 1)
}

/// The encoding of each column, fitted on the rows of `table`.
pub(super) fn encodings(table: &Table, options: &FitOptions) -> Result<Vec<ColumnEncoding>> {
    let encoding = |column: &Column| match &column.values {
        Values::Vector { width, .. } => Ok(Encoding::Vector { width: *width }),
        Values::Number(cells) if !options.categorical.contains(&column.name) => {
            Ok(Encoding::Number { fill: number_fill(&column.name, cells, options.missing)? })
        }
        Values::Number(_) | Values::Text(_) => categories(column, options.missing),
    };
    table
        .columns
        .iter()
        .map(|column| Ok(ColumnEncoding { name: column.name.clone(), encoding: encoding(column)? }))
        .collect()
}

/// What a missing number becomes.
fn number_fill(name: &str, cells: &[Option<f64>], policy: MissingPolicy) -> Result<Option<f64>> {
    let mut present: Vec<f64> = cells.iter().copied().flatten().collect();
    match policy {
        MissingPolicy::Error | MissingPolicy::DropRows => Ok(None),
        MissingPolicy::Constant => Ok(Some(0.0)),
        MissingPolicy::Mean | MissingPolicy::Median if present.is_empty() => Err(nothing_present(name)),
        MissingPolicy::Mean => Ok(Some(present.iter().sum::<f64>() / present.len() as f64)),
        MissingPolicy::Median => {
            present.sort_by(f64::total_cmp);
            Ok(median(&present))
        }
    }
}

/// The middle of sorted numbers, or the mean of the two in the middle.
fn median(sorted: &[f64]) -> Option<f64> {
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted.get((sorted.len() - 1) / 2)?;
    Some(lower + (upper - lower) / 2.0)
}

/// A column of categories; its most frequent one (the first of equals) fills, or `missing`.
fn categories(column: &Column, policy: MissingPolicy) -> Result<Encoding> {
    let names = Names::of(&column.name, &column.values)?;
    let counts = names.counts();
    if counts.len() > MOST_CATEGORIES {
        return Err(DataError::TooManyCategories {
            column: column.name.clone(),
            found: counts.len(),
            limit: MOST_CATEGORIES,
        });
    }
    let mut categories: Vec<String> = counts.iter().map(|(name, _)| name.clone()).collect();
    let fill = match policy {
        MissingPolicy::Error | MissingPolicy::DropRows => None,
        MissingPolicy::Mean | MissingPolicy::Median => {
            Some(most_frequent(&counts).ok_or_else(|| nothing_present(&column.name))?)
        }
        MissingPolicy::Constant => {
            if names.cells.contains(&None) && !categories.iter().any(|name| name == MISSING) {
                categories.push(MISSING.to_owned());
            }
            Some(MISSING.to_owned())
        }
    };
    Ok(Encoding::Category { categories, fill })
}

fn most_frequent(counts: &[(String, usize)]) -> Option<String> {
    let most = counts.iter().map(|(_, count)| *count).max()?;
    counts.iter().find(|(_, count)| *count == most).map(|(name, _)| name.clone())
}

fn nothing_present(name: &str) -> DataError {
    let reason = "has no value in any training row, so there is nothing to fill its missing cells with".to_owned();
    DataError::Cell { column: name.to_owned(), reason }
}

/// Numbers in a row of the encoded matrix.
pub(super) fn encoded_width(columns: &[ColumnEncoding]) -> usize {
    columns.iter().map(|column| column.encoding.width()).sum()
}

/// Whether the features are one image: a vector of its pixels, or a number for each of them.
pub(super) fn is_image(columns: &[ColumnEncoding], image: [usize; 3]) -> bool {
    let pixels = image.iter().product::<usize>();
    let numbers = || columns.iter().all(|column| matches!(column.encoding, Encoding::Number { .. }));
    let vector = || matches!(columns, [ColumnEncoding { encoding: Encoding::Vector { .. }, .. }]);
    encoded_width(columns) == pixels && (vector() || numbers())
}

#[cfg(test)]
mod tests {
    use paring_model::inputs::Encoding;
    use paring_model::{Column, Table, Values};

    use super::{FitOptions, MissingPolicy, encodings};

    fn fitted(values: Values, missing: MissingPolicy) -> Encoding {
        let column = Column { name: "a".to_owned(), values };
        let options = FitOptions { label: "y".to_owned(), missing, ..FitOptions::default() };
        let table = Table { columns: vec![column], rows: 0 };
        encodings(&table, &options).unwrap().remove(0).encoding
    }

    fn text(cells: &[Option<&str>]) -> Values {
        Values::Text(cells.iter().map(|cell| cell.map(str::to_owned)).collect())
    }

    #[test]
    fn numbers_are_filled_by_policy() {
        let cells = || Values::Number(vec![Some(1.0), None, Some(2.0), Some(9.0), Some(4.0)]);
        let fill = |policy| match fitted(cells(), policy) {
            Encoding::Number { fill } => fill,
            _ => panic!("not a number"),
        };
        assert_eq!(fill(MissingPolicy::Mean), Some(4.0));
        assert_eq!(fill(MissingPolicy::Median), Some(3.0));
        assert_eq!(fill(MissingPolicy::Constant), Some(0.0));
        assert_eq!(fill(MissingPolicy::DropRows), None);
    }

    #[test]
    fn categories_are_sorted_and_filled_with_the_most_frequent() {
        let Encoding::Category { categories, fill } =
            fitted(text(&[Some("b"), Some("a"), Some("b"), None]), MissingPolicy::Mean)
        else {
            panic!("not categories")
        };
        assert_eq!((categories, fill), (vec!["a".to_owned(), "b".to_owned()], Some("b".to_owned())));
    }

    #[test]
    fn missing_becomes_a_category_of_its_own() {
        let Encoding::Category { categories, fill } = fitted(text(&[Some("z"), None]), MissingPolicy::Constant) else {
            panic!("not categories")
        };
        assert_eq!((categories, fill), (vec!["z".to_owned(), "missing".to_owned()], Some("missing".to_owned())));
    }
}

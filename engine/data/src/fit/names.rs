//! Cells as names: of categories and of classes. Numbers are named as [`number_name`] does and sorted as numbers.

use std::collections::BTreeMap;

use paring_model::Values;
use paring_model::table::number_name;

use crate::error::{DataError, Result};

/// The largest whole number up to which 64-bit floats tell all whole numbers apart: 2^53.
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// A column of names.
pub(super) struct Names {
    /// One for each row; `None` is a missing cell.
    pub(super) cells: Vec<Option<String>>,
    numeric: bool,
}

impl Names {
    /// The cells of a column as names.
    ///
    /// # Errors
    /// When the column holds vectors, or numbers that cannot be told apart.
    pub(super) fn of(column: &str, values: &Values) -> Result<Self> {
        let refuse = |reason: String| Err(DataError::Cell { column: column.to_owned(), reason });
        match values {
            Values::Text(cells) => Ok(Self { cells: cells.clone(), numeric: false }),
            Values::Vector { .. } => refuse("holds vectors, expected text or numbers to tell classes apart".to_owned()),
            Values::Number(cells) => {
                if let Some(large) = cells.iter().flatten().find(|value| value.abs() > LARGEST_EXACT) {
                    return refuse(format!(
                        "holds `{}`, expected whole numbers of at most {LARGEST_EXACT} so that all can be told apart",
                        number_name(*large)
                    ));
                }
                Ok(Self { cells: cells.iter().map(|cell| cell.map(number_name)).collect(), numeric: true })
            }
        }
    }

    /// How often each name occurs, names sorted.
    pub(super) fn counts(&self) -> Vec<(String, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.cells.iter().flatten() {
            *counts.entry(name).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        if self.numeric {
            let number = |name: &str| name.parse().unwrap_or(f64::INFINITY);
            counts.sort_by(|(left, _), (right, _)| number(left).total_cmp(&number(right)));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use paring_model::Values;

    use super::Names;

    #[test]
    fn numbers_sort_as_numbers() {
        let names = Names::of("a", &Values::Number(vec![Some(10.0), Some(2.0), None, Some(-1.0), Some(2.0)])).unwrap();
        let counts = names.counts();
        assert_eq!(counts, [("-1".to_owned(), 1), ("2".to_owned(), 2), ("10".to_owned(), 1)]);
    }

    #[test]
    fn text_sorts_as_text() {
        let cells = ["10", "2", "b"].map(|text| Some(text.to_owned())).to_vec();
        let names: Vec<_> =
            Names::of("a", &Values::Text(cells)).unwrap().counts().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["10", "2", "b"]);
    }

    #[test]
    fn numbers_that_cannot_be_told_apart_are_refused() {
        assert!(Names::of("id", &Values::Number(vec![Some(9_007_199_254_740_994.0)])).is_err());
        assert!(Names::of("id", &Values::Number(vec![Some(9_007_199_254_740_992.0)])).is_ok());
    }
}

//! Tables of features and the answers that go with their rows.

use crate::error::{Result, StatisticsError, mismatch};

/// A row-major table.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// rows x columns numbers.
    pub data: Vec<f32>,
}

/// What shall be known from a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// One class number a row.
    Classes {
        /// Below `count`.
        numbers: Vec<u32>,
        /// How many classes there are.
        count: usize,
    },
    /// One number a row.
    Numbers(Vec<f32>),
}

impl Features {
    /// One column.
    pub fn column(&self, index: usize) -> impl Iterator<Item = f64> + '_ {
        self.data.iter().skip(index).step_by(self.columns.max(1)).map(|&cell| f64::from(cell))
    }

    /// The rows, one after the other.
    pub fn iter_rows(&self) -> impl Iterator<Item = &[f32]> + '_ {
        self.data.chunks_exact(self.columns.max(1))
    }

    /// Mean of each column.
    pub fn means(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.columns];
        for row in self.iter_rows() {
            sums.iter_mut().zip(row).for_each(|(sum, &cell)| *sum += f64::from(cell));
        }
        sums.iter_mut().for_each(|sum| *sum /= self.rows.max(1) as f64);
        sums
    }

    /// Population variance of each column.
    pub fn variances(&self) -> Vec<f64> {
        let means = self.means();
        let mut sums = vec![0.0; self.columns];
        for row in self.iter_rows() {
            for ((sum, &cell), mean) in sums.iter_mut().zip(row).zip(&means) {
                *sum += (f64::from(cell) - mean).powi(2);
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= self.rows.max(1) as f64);
        sums
    }

    /// The table with these columns only, in this order.
    #[must_use]
    pub fn keep_columns(&self, columns: &[usize]) -> Self {
        let cells = |row| columns.iter().filter_map(move |&index| <[f32]>::get(row, index).copied());
        Self { rows: self.rows, columns: columns.len(), data: self.iter_rows().flat_map(cells).collect() }
    }

    /// The table with these rows only, in this order.
    #[must_use]
    pub fn keep_rows(&self, rows: &[usize]) -> Self {
        let cells = |&row: &usize| self.data.get(row * self.columns..(row + 1) * self.columns).unwrap_or_default();
        let data: Vec<f32> = rows.iter().flat_map(cells).copied().collect();
        Self { rows: rows.len(), columns: self.columns, data }
    }

    /// That there are rows, as many as answers, and that every cell is a number.
    ///
    /// # Errors
    /// Which of these is not so.
    pub(crate) fn check(&self, answers: Option<&Answers>) -> Result<()> {
        if self.rows == 0 {
            return Err(StatisticsError::NoRows);
        }
        if let Some(answers) = answers.filter(|answers| answers.len() != self.rows) {
            return Err(mismatch(format!("there are {} targets for {} rows", answers.len(), self.rows)));
        }
        if let Some(at) = self.data.iter().position(|cell| !cell.is_finite()) {
            let (row, column) = (at / self.columns.max(1) + 1, at % self.columns.max(1) + 1);
            return Err(mismatch(format!("feature {column} of row {row} is not a finite number")));
        }
        answers.map_or(Ok(()), Answers::check)
    }
}

impl Answers {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Answers::Classes { numbers, .. } => numbers.len(),
            Answers::Numbers(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of these rows, in this order.
    #[must_use]
    pub fn keep_rows(&self, rows: &[usize]) -> Self {
        fn picked<T: Copy>(all: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().filter_map(|&row| all.get(row).copied()).collect()
        }
        match self {
            Answers::Classes { numbers, count } => Answers::Classes { numbers: picked(numbers, rows), count: *count },
            Answers::Numbers(values) => Answers::Numbers(picked(values, rows)),
        }
    }

    fn check(&self) -> Result<()> {
        match self {
            Answers::Classes { numbers, count } => {
                let largest = numbers.iter().max().copied().unwrap_or(0);
                if largest as usize >= *count {
                    return Err(mismatch(format!("class number {largest} is unknown; there are {count} classes")));
                }
                Ok(())
            }
            Answers::Numbers(values) => match values.iter().position(|value| !value.is_finite()) {
                Some(at) => Err(mismatch(format!("the target of row {} is not a finite number", at + 1))),
                None => Ok(()),
            },
        }
    }
}

/// Rows of each class.
pub(crate) fn class_counts(numbers: &[u32], classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for &number in numbers {
        if let Some(count) = counts.get_mut(number as usize) {
            *count += 1;
        }
    }
    counts
}

/// Means of each feature within each class, classes x features, and the rows of each class.
pub(crate) fn class_sums(features: &Features, numbers: &[u32], classes: usize) -> Vec<f64> {
    let mut sums = vec![0.0; classes * features.columns];
    for (row, &number) in features.iter_rows().zip(numbers) {
        let start = number as usize * features.columns;
        let sums = sums.get_mut(start..start + features.columns).unwrap_or_default();
        sums.iter_mut().zip(row).for_each(|(sum, &cell)| *sum += f64::from(cell));
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::{Answers, Features};

    fn table() -> Features {
        Features { rows: 2, columns: 3, data: vec![1.0, 2.0, 5.0, 3.0, 2.0, 1.0] }
    }

    #[test]
    fn statistics_of_columns_by_hand() {
        assert_eq!(table().means(), [2.0, 2.0, 3.0]);
        assert_eq!(table().variances(), [1.0, 0.0, 4.0]);
        assert_eq!(table().keep_columns(&[2, 0]).data, [5.0, 1.0, 1.0, 3.0]);
        assert_eq!(table().keep_rows(&[1]).data, [3.0, 2.0, 1.0]);
    }

    #[test]
    fn answers_are_those_of_the_rows() {
        let answers = Answers::Classes { numbers: vec![0, 1, 2], count: 3 };
        assert_eq!(answers.keep_rows(&[2, 0]), Answers::Classes { numbers: vec![2, 0], count: 3 });
        let error = table().check(Some(&answers)).unwrap_err().to_string();
        assert_eq!(error, "there are 3 targets for 2 rows");
    }
}

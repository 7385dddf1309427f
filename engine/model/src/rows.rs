//! Rows as a network reads them, features or tokens, and batches of them.

use candle_core::{Device, Tensor};

use crate::error::{ModelError, Result};
use crate::inputs::Matrix;
use crate::network::Input;
use crate::text::TokenRow;
use crate::tokens::Tokens;

/// Rows after a model's inputs.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Numbers, as many in each row.
    Features(Matrix),
    /// Tokens, as many as each text has.
    Tokens(Vec<TokenRow>),
}

impl From<Matrix> for Rows {
    fn from(matrix: Matrix) -> Self {
        Rows::Features(matrix)
    }
}

impl Rows {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Rows::Features(matrix) => matrix.rows,
            Rows::Tokens(rows) => rows.len(),
        }
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The features.
    ///
    /// # Errors
    /// When these are tokens.
    pub fn features(&self) -> Result<&Matrix> {
        match self {
            Rows::Features(matrix) => Ok(matrix),
            Rows::Tokens(_) => Err(ModelError::Input("the rows are tokens, expected features".to_owned())),
        }
    }

    /// The rows of these numbers, in this order, as one batch. Texts are padded at the end to the longest of them, and
    /// the mask says where they end.
    ///
    /// # Errors
    /// When there is no such row, or none was asked for.
    pub fn batch(&self, rows: &[usize]) -> Result<Input> {
        if let Some(row) = rows.iter().find(|&&row| row >= self.len()) {
            return Err(ModelError::Input(format!("there is no row {row}, but {} rows", self.len())));
        }
        match self {
            Rows::Features(matrix) => features(matrix, rows),
            Rows::Tokens(all) => tokens(&rows.iter().filter_map(|&row| all.get(row)).collect::<Vec<_>>()),
        }
    }

    /// The first rows, at most `count`.
    #[must_use]
    pub fn head(&self, count: usize) -> Self {
        let count = count.min(self.len());
        match self {
            Rows::Features(Matrix { columns, data, .. }) => {
                let data = data.iter().take(count * columns).copied().collect();
                Rows::Features(Matrix { rows: count, columns: *columns, data })
            }
            Rows::Tokens(rows) => Rows::Tokens(rows.iter().take(count).cloned().collect()),
        }
    }
}

fn features(matrix: &Matrix, rows: &[usize]) -> Result<Input> {
    let row = |&row: &usize| matrix.data.get(row * matrix.columns..(row + 1) * matrix.columns).unwrap_or_default();
    let numbers: Vec<f32> = rows.iter().flat_map(row).copied().collect();
    Ok(Input::Features(Tensor::from_vec(numbers, (rows.len(), matrix.columns), &Device::Cpu)?))
}

fn tokens(rows: &[&TokenRow]) -> Result<Input> {
    let length = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0);
    let padded = |of: &dyn Fn(&TokenRow) -> Vec<u32>| -> Result<Tensor> {
        let numbers: Vec<u32> = rows
            .iter()
            .flat_map(|row| of(row).into_iter().chain(std::iter::repeat(0)).take(length).collect::<Vec<_>>())
            .collect();
        Ok(Tensor::from_vec(numbers, (rows.len(), length), &Device::Cpu)?)
    };
    let numbers = Tokens::new(padded(&|row| row.ids.clone())?);
    let is_even = rows.iter().all(|row| row.ids.len() == length);
    let one_segment = rows.iter().all(|row| row.types.iter().all(|&of| of == 0));
    Ok(Input::Tokens(Tokens {
        mask: if is_even { None } else { Some(padded(&|row| vec![1; row.ids.len()])?) },
        types: if one_segment { None } else { Some(padded(&|row| row.types.clone())?) },
        ..numbers
    }))
}

#[cfg(test)]
mod tests {
    use super::Rows;
    use crate::inputs::Matrix;
    use crate::network::Input;
    use crate::text::TokenRow;

    #[test]
    fn a_batch_of_features_has_the_rows_asked_for() {
        let rows = Rows::from(Matrix { rows: 3, columns: 2, data: (0..6).map(|i| i as f32).collect() });
        let Input::Features(batch) = rows.batch(&[2, 0]).unwrap() else { panic!("features") };
        assert_eq!(batch.to_vec2::<f32>().unwrap(), [[4.0, 5.0], [0.0, 1.0]]);
        assert_eq!(rows.batch(&[3]).unwrap_err().to_string(), "there is no row 3, but 3 rows");
        assert_eq!(rows.head(1), Rows::from(Matrix { rows: 1, columns: 2, data: vec![0.0, 1.0] }));
    }

    #[test]
    fn a_batch_of_texts_is_padded_and_masked() {
        let row = |ids: &[u32], types: &[u32]| TokenRow { ids: ids.to_vec(), types: types.to_vec() };
        let rows = Rows::Tokens(vec![row(&[7], &[0]), row(&[9; 5], &[0; 5]), row(&[5, 6, 7], &[0, 1, 1])]);
        let Input::Tokens(batch) = rows.batch(&[2, 0]).unwrap() else { panic!("tokens") };
        let numbers = |tensor: candle_core::Tensor| tensor.to_vec2::<u32>().unwrap();
        assert_eq!(numbers(batch.ids), [[5, 6, 7], [7, 0, 0]]);
        assert_eq!(numbers(batch.types.unwrap()), [[0, 1, 1], [0, 0, 0]]);
        assert_eq!(numbers(batch.mask.unwrap()), [[1, 1, 1], [1, 0, 0]]);
        let Input::Tokens(even) = rows.batch(&[0]).unwrap() else { panic!("tokens") };
        assert!(even.mask.is_none() && even.types.is_none());
        assert!(rows.features().is_err());
    }
}

//! Statistics of features: columns of a matrix, in f64.

use paring_model::inputs::Matrix;

/// One column of the matrix.
pub(super) fn column(matrix: &Matrix, index: usize) -> impl Iterator<Item = f64> + '_ {
    matrix.data.iter().skip(index).step_by(matrix.columns.max(1)).map(|&cell| f64::from(cell))
}

/// Mean of each column.
pub(super) fn means(matrix: &Matrix) -> Vec<f64> {
    (0..matrix.columns).map(|index| column(matrix, index).sum::<f64>() / matrix.rows.max(1) as f64).collect()
}

/// Population variance of each column.
pub(super) fn variances(matrix: &Matrix) -> Vec<f64> {
    let variance = |(index, mean): (usize, f64)| {
        column(matrix, index).map(|cell| (cell - mean).powi(2)).sum::<f64>() / matrix.rows.max(1) as f64
    };
    means(matrix).into_iter().enumerate().map(variance).collect()
}

/// The matrix with these columns only.
pub(super) fn keep(matrix: &Matrix, columns: &[usize]) -> Matrix {
    let rows = matrix.data.chunks(matrix.columns.max(1));
    let cells = |row: &[f32]| columns.iter().filter_map(|&index| row.get(index).copied()).collect::<Vec<_>>();
    Matrix { rows: matrix.rows, columns: columns.len(), data: rows.flat_map(cells).collect() }
}

#[cfg(test)]
mod tests {
    use paring_model::inputs::Matrix;

    use super::{keep, means, variances};

    #[test]
    fn statistics_of_columns_by_hand() {
        let matrix = Matrix { rows: 2, columns: 3, data: vec![1.0, 2.0, 5.0, 3.0, 2.0, 1.0] };
        assert_eq!(means(&matrix), [2.0, 2.0, 3.0]);
        assert_eq!(variances(&matrix), [1.0, 0.0, 4.0]);
        assert_eq!(keep(&matrix, &[2, 0]).data, [5.0, 1.0, 1.0, 3.0]);
    }
}

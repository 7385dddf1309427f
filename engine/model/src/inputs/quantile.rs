//! Columns by the share of the training rows that lie below their cells, as scikit-learn's `QuantileTransformer` has
//! it.

use statrs::function::erf::erf_inv;

use super::Matrix;

/// How near a share of the normal distribution may come to 0 and 1.
const EDGE: f64 = 1e-7;

pub(super) fn check(quantiles: &[f32], count: usize, columns: usize) -> Result<(), String> {
    if count < 2 || count.checked_mul(columns) != Some(quantiles.len()) {
        let numbers = quantiles.len();
        return Err(format!("has {numbers} numbers in its quantiles, expected {count} x {columns}, 2 or more of each"));
    }
    let falls = |column: &usize| !column_of(quantiles, *column, columns).is_sorted();
    match (0..columns).find(falls) {
        Some(column) => Err(format!("has quantiles of column {column} that do not ascend")),
        None => Ok(()),
    }
}

fn column_of(quantiles: &[f32], column: usize, columns: usize) -> Vec<f32> {
    quantiles.iter().skip(column).step_by(columns.max(1)).copied().collect()
}

pub(super) fn applied(mut matrix: Matrix, quantiles: &[f32], count: usize, normal: bool) -> Matrix {
    for column in 0..matrix.columns {
        let known = column_of(quantiles, column, matrix.columns);
        for cell in matrix.data.iter_mut().skip(column).step_by(matrix.columns) {
            let share = share(&known, *cell, (count.max(2) - 1) as f64);
            *cell = if normal { deviate(share) } else { share } as f32;
        }
    }
    matrix
}

/// The share below a cell: in the middle of the quantiles that equal it, or between its neighbours.
fn share(quantiles: &[f32], cell: f32, steps: f64) -> f64 {
    let (below, up_to) =
        (quantiles.partition_point(|&other| other < cell), quantiles.partition_point(|&other| other <= cell));
    if below == 0 && quantiles.first().is_none_or(|&first| cell <= first) {
        return 0.0;
    }
    if up_to == quantiles.len() {
        return 1.0;
    }
    if up_to > below {
        return (below + up_to - 1) as f64 / 2.0 / steps;
    }
    let ends = below.checked_sub(1).and_then(|before| quantiles.get(before)).zip(quantiles.get(below));
    let within =
        ends.map_or(0.0, |(&low, &high)| (f64::from(cell) - f64::from(low)) / (f64::from(high) - f64::from(low)));
    ((below - 1) as f64 + within) / steps
}

/// The number of the normal distribution that has this share below.
fn deviate(share: f64) -> f64 {
    std::f64::consts::SQRT_2 * erf_inv(2.0 * share.clamp(EDGE, 1.0 - EDGE) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::{applied, check};
    use crate::inputs::Matrix;

    const QUANTILES: [f32; 10] = [0.0, 7.0, 1.0, 7.0, 1.0, 7.0, 1.0, 7.0, 3.0, 7.0];

    /// `QuantileTransformer(n_quantiles=5)` of scikit-learn 1.9.1, fitted to (0, 1, 1, 1, 3), and a constant.
    #[test]
    fn shares_by_hand() {
        let cells = [-1.0, 7.0, 0.0, 7.0, 0.5, 6.0, 1.0, 8.0, 2.0, 7.0, 3.0, 7.0, 9.0, 7.0];
        let matrix = Matrix { rows: 7, columns: 2, data: cells.to_vec() };
        let found = applied(matrix.clone(), &QUANTILES, 5, false).data;
        assert_eq!(found, [0.0, 0.0, 0.0, 0.0, 0.125, 0.0, 0.5, 1.0, 0.875, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let normal = applied(matrix, &QUANTILES, 5, true).data;
        let expected = [-5.199_337, -1.150_349_4, 0.0, 1.150_349_4, 5.199_337];
        for (found, expected) in [normal[0], normal[4], normal[6], normal[8], normal[10]].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn quantiles_ascend() {
        check(&QUANTILES, 5, 2).unwrap();
        assert_eq!(check(&[1.0, 0.0], 2, 1).unwrap_err(), "has quantiles of column 0 that do not ascend");
        let message = "has 2 numbers in its quantiles, expected 3 x 1, 2 or more of each";
        assert_eq!(check(&[1.0, 2.0], 3, 1).unwrap_err(), message);
    }
}

//! Ridge regression in closed form: centred normal equations, solved by Cholesky.

use faer::linalg::matmul::matmul;
use faer::linalg::solvers::Solve as _;
use faer::{Accum, Mat, Par, Side};

use super::LinearModel;
use crate::Features;
use crate::error::{Result, mismatch};

/// See [`super::fit_linear`].
pub(super) fn fit(inputs: &Features, values: &[f32], c: f64) -> Result<LinearModel> {
    let (rows, features) = (inputs.rows, inputs.columns);
    let means = inputs.means();
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / rows as f64;
    let mut x = Mat::zeros(rows, features);
    for (row, cells) in inputs.data.chunks(features.max(1)).enumerate() {
        for (column, (cell, mean)) in cells.iter().zip(&means).enumerate() {
            x[(row, column)] = f64::from(*cell) - mean;
        }
    }
    let y = Mat::from_fn(rows, 1, |row, _| values.get(row).map_or(0.0, |&value| f64::from(value) - mean));
    let mut gram = Mat::from_fn(features, features, |i, j| if i == j { 1.0 / c } else { 0.0 });
    matmul(gram.as_mut(), Accum::Add, x.transpose(), x.as_ref(), 1.0, Par::Seq);
    let mut moment = Mat::zeros(features, 1);
    matmul(moment.as_mut(), Accum::Replace, x.transpose(), y.as_ref(), 1.0, Par::Seq);
    let factor = gram.llt(Side::Lower).map_err(|_| mismatch("features depend on each other; give C a finite value"))?;
    let solved = factor.solve(&moment);
    let coefficients: Vec<f64> = (0..features).map(|feature| solved[(feature, 0)]).collect();
    let rest = &gram * &solved - &moment;
    let gradient = (0..features).fold(0.0_f64, |largest, feature| largest.max(rest[(feature, 0)].abs()));
    let intercept = mean - coefficients.iter().zip(&means).map(|(weight, mean)| weight * mean).sum::<f64>();
    Ok(LinearModel { coefficients, intercepts: vec![intercept], iterations: 1, gradient })
}

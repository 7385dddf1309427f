//! The loss of logistic regression over the rows, and its slopes.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use crate::Features;

/// Rows whose scores are computed at once, so that they stay in a cache.
const BLOCK: usize = 512;

/// Rows and their classes.
pub(super) struct Likelihood<'a> {
    /// Centred, row-major, so column-major features x rows.
    pub inputs: Vec<f64>,
    pub means: Vec<f64>,
    numbers: &'a [u32],
    pub features: usize,
    pub rows: usize,
    /// 1 for two classes.
    pub outputs: usize,
    /// The second derivative of a row's loss by its score, at equal probabilities.
    pub curvature: f64,
}

/// Mean loss of a row, and its slopes by weights (features x outputs) and by intercepts.
pub(super) struct Slopes {
    pub loss: f64,
    pub by_weight: Mat<f64>,
    pub by_intercept: Vec<f64>,
}

impl<'a> Likelihood<'a> {
    pub(super) fn new(features: &Features, numbers: &'a [u32], classes: usize) -> Self {
        let means = features.means();
        let centred = |row| <[f32]>::iter(row).zip(&means).map(|(&cell, mean)| f64::from(cell) - mean);
        Self {
            inputs: features.iter_rows().flat_map(centred).collect(),
            numbers,
            features: features.columns,
            rows: features.rows,
            outputs: if classes == 2 { 1 } else { classes },
            curvature: if classes == 2 { 0.25 } else { 1.0 / classes as f64 },
            means,
        }
    }

    /// The features, features x rows.
    pub(super) fn x(&self) -> MatRef<'_, f64> {
        MatRef::from_column_major_slice(&self.inputs, self.features, self.rows)
    }

    /// At weights features x outputs, and intercepts of the centred features.
    pub(super) fn slopes(&self, weights: MatRef<'_, f64>, intercepts: &[f64]) -> Slopes {
        let (outputs, features) = (self.outputs, self.features);
        let scale = 1.0 / self.rows as f64;
        let mut by_weight = Mat::zeros(features, outputs);
        let mut by_intercept = vec![0.0; outputs];
        let mut loss = 0.0;
        let mut scores = Vec::with_capacity(outputs * BLOCK);
        let blocks = self.inputs.chunks(features.max(1) * BLOCK).zip(self.numbers.chunks(BLOCK));
        for (inputs, numbers) in blocks {
            let rows = numbers.len();
            scores.clear();
            scores.extend(intercepts.iter().copied().cycle().take(outputs * rows));
            let x = MatRef::from_column_major_slice(inputs, features, rows);
            let z = MatMut::from_column_major_slice_mut(&mut scores, outputs, rows);
            matmul(z, Accum::Add, weights.transpose(), x, 1.0, Par::Seq);
            loss += residuals(&mut scores, outputs, numbers);
            let r = MatRef::from_column_major_slice(&scores, outputs, rows);
            matmul(by_weight.as_mut(), Accum::Add, x, r.transpose(), scale, Par::Seq);
            for row in scores.chunks(outputs) {
                by_intercept.iter_mut().zip(row).for_each(|(slope, residual)| *slope += residual * scale);
            }
        }
        Slopes { loss: loss * scale, by_weight, by_intercept }
    }

    /// Intercepts of the features as they are, given those of the centred ones and the weights of each output.
    pub(super) fn intercepts(&self, weights: &[Vec<f64>], centred: &[f64]) -> Vec<f64> {
        weights.iter().zip(centred).map(|(row, centred)| centred - dot(row, &self.means)).collect()
    }
}

pub(super) fn dot(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

/// Turns scores (one row after the other) into predicted minus true probabilities, and sums the rows' losses.
fn residuals(scores: &mut [f64], outputs: usize, numbers: &[u32]) -> f64 {
    let rows = scores.chunks_mut(outputs).zip(numbers);
    if outputs == 1 {
        return rows.flat_map(|(row, &number)| row.first_mut().map(|score| binary(score, number))).sum();
    }
    rows.map(|(row, &number)| multinomial(row, number as usize)).sum()
}

/// log(1 + exp(z)) - y z, and sigmoid(z) - y in place of z.
fn binary(score: &mut f64, number: u32) -> f64 {
    let (z, y) = (*score, f64::from(number));
    let small = (-z.abs()).exp();
    let probability = if z >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
    *score = probability - y;
    z.max(0.0) + small.ln_1p() - y * z
}

/// log(sum(exp(z))) - z_y, and softmax(z) minus the true class in place of z.
fn multinomial(row: &mut [f64], number: usize) -> f64 {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let right = row.get(number).copied().unwrap_or(top);
    row.iter_mut().for_each(|score| *score = (*score - top).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|score| *score /= sum);
    if let Some(score) = row.get_mut(number) {
        *score -= 1.0;
    }
    sum.ln() + top - right
}

//! The steps on the encoded matrix. Quantiles and products have files of their own.

use candle_core::{Device, Tensor};

use super::{InputStep, Matrix, polynomial, quantile};
use crate::error::{ModelError, Result};

impl InputStep {
    /// How many columns come out.
    pub fn width(&self) -> usize {
        match self {
            InputStep::Scale { mean, .. } => mean.len(),
            InputStep::Select { keep, .. } => keep.len(),
            InputStep::Project { rows, .. } => *rows,
            InputStep::Quantile { columns, .. } => *columns,
            InputStep::Polynomial { degree, interactions_only, from } => {
                polynomial::width(*from, *degree, *interactions_only)
            }
        }
    }

    /// How many columns go in.
    pub fn reads(&self) -> usize {
        match self {
            InputStep::Scale { mean, .. } | InputStep::Project { mean, .. } => mean.len(),
            InputStep::Select { from, .. } | InputStep::Polynomial { from, .. } => *from,
            InputStep::Quantile { columns, .. } => *columns,
        }
    }

    /// [rows, reads] -> [rows, width].
    ///
    /// # Errors
    /// When the matrix has another width than the step reads.
    pub fn apply(&self, matrix: Matrix) -> Result<Matrix> {
        self.check(matrix.columns).map_err(|reason| ModelError::Input(format!("a step of the inputs {reason}")))?;
        match self {
            InputStep::Scale { mean, scale } => Ok(scaled(matrix, mean, scale)),
            InputStep::Select { keep, .. } => Ok(selected(&matrix, keep)),
            InputStep::Project { mean, components, rows } => projected(matrix, mean, components, *rows),
            InputStep::Quantile { quantiles, count, normal, .. } => {
                Ok(quantile::applied(matrix, quantiles, *count, *normal))
            }
            InputStep::Polynomial { degree, interactions_only, .. } => {
                polynomial::applied(&matrix, *degree, *interactions_only)
            }
        }
    }

    /// The names of what comes out, given those of what goes in.
    pub(super) fn names(&self, names: Vec<String>) -> Vec<String> {
        match self {
            InputStep::Scale { .. } | InputStep::Quantile { .. } => names,
            InputStep::Polynomial { degree, interactions_only, .. } => {
                polynomial::names(&names, *degree, *interactions_only)
            }
            InputStep::Select { keep, .. } => keep.iter().filter_map(|&index| names.get(index).cloned()).collect(),
            InputStep::Project { rows, .. } => (0..*rows).map(|index| format!("component {index}")).collect(),
        }
    }

    /// Whether the step can work on a matrix of `from` columns; the reason why not reads on from "step N".
    pub(super) fn check(&self, from: usize) -> std::result::Result<(), String> {
        if self.reads() != from {
            return Err(format!("reads {} columns, but is given {from}", self.reads()));
        }
        match self {
            InputStep::Scale { mean, scale } => check_scale(mean, scale),
            InputStep::Select { keep, from } => match keep.iter().find(|&index| index >= from) {
                Some(index) => Err(format!("keeps column {index}, but there are {from} (from 0)")),
                None => Ok(()),
            },
            InputStep::Project { mean, components, rows } => {
                if mean.len().checked_mul(*rows) == Some(components.len()) {
                    return Ok(());
                }
                let (numbers, columns) = (components.len(), mean.len());
                Err(format!("has {numbers} numbers in its components, expected {rows} x {columns}"))
            }
            InputStep::Quantile { quantiles, count, columns, .. } => quantile::check(quantiles, *count, *columns),
            InputStep::Polynomial { degree, from, .. } => polynomial::check(*from, *degree),
        }
    }
}

fn check_scale(mean: &[f32], scale: &[f32]) -> std::result::Result<(), String> {
    if mean.len() != scale.len() {
        return Err(format!("has {} means but {} divisors", mean.len(), scale.len()));
    }
    match scale.iter().position(|number| *number == 0.0 || !number.is_finite()) {
        Some(column) => Err(format!("divides column {column} by `{}`", scale.get(column).copied().unwrap_or_default())),
        None => Ok(()),
    }
}

fn scaled(mut matrix: Matrix, mean: &[f32], scale: &[f32]) -> Matrix {
    for row in matrix.data.chunks_exact_mut(matrix.columns.max(1)) {
        for ((number, mean), scale) in row.iter_mut().zip(mean).zip(scale) {
            *number = (*number - mean) / scale;
        }
    }
    matrix
}

fn selected(matrix: &Matrix, keep: &[usize]) -> Matrix {
    let rows = matrix.data.chunks_exact(matrix.columns.max(1));
    let data = rows.flat_map(|row| keep.iter().filter_map(|&index| row.get(index).copied())).collect();
    Matrix { rows: matrix.rows, columns: keep.len(), data }
}

fn projected(mut matrix: Matrix, mean: &[f32], components: &[f32], rows: usize) -> Result<Matrix> {
    for row in matrix.data.chunks_exact_mut(matrix.columns.max(1)) {
        row.iter_mut().zip(mean).for_each(|(number, mean)| *number -= mean);
    }
    let centred = Tensor::from_vec(matrix.data, (matrix.rows, matrix.columns), &Device::Cpu)?;
    let components = Tensor::from_slice(components, (rows, matrix.columns), &Device::Cpu)?;
    let data = centred.matmul(&components.t()?)?.flatten_all()?.to_vec1()?;
    Ok(Matrix { rows: matrix.rows, columns: rows, data })
}

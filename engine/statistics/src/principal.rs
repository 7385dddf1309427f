//! Principal components: the covariance of the features and its eigenvectors; for wide tables, a randomized search.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use rand::{Rng, RngExt as _};

use crate::Features;
use crate::error::{Result, mismatch};

/// Rows that are multiplied at once: few enough for a cache, enough to keep a product busy.
const BLOCK: usize = 256;
/// Directions that a randomized search follows beyond those asked for (Halko et al. 2011, section 4.2).
const OVERSAMPLING: usize = 10;
/// Times that a randomized search multiplies by the table and back (algorithm 4.4); scikit-learn takes as many.
const POWER_ITERATIONS: usize = 7;

/// Directions in which a table's rows vary, the largest variance first.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// One direction of length 1 each; the sign makes its entry of largest size positive, the first of equal ones.
    pub directions: Vec<Vec<f64>>,
    /// The variance along each, with rows - 1 in the divisor.
    pub variances: Vec<f64>,
    /// The variance of all features together.
    pub total: f64,
}

impl Components {
    /// Each component's share of the variance.
    pub fn ratios(&self) -> impl Iterator<Item = f64> + '_ {
        self.variances.iter().map(|variance| if self.total > 0.0 { variance / self.total } else { 0.0 })
    }

    /// The fewest components whose share of the variance exceeds `share`; all where none do.
    pub fn exceeding(&self, share: f64) -> usize {
        let mut sum = 0.0;
        let enough = |ratio: f64| {
            sum += ratio;
            sum > share
        };
        self.ratios().position(enough).map_or(self.variances.len(), |place| place + 1)
    }
}

/// Covariance of the features with rows - 1 in the divisor, both triangles: products of blocks of rows, summed up.
pub fn covariance(features: &Features, means: &[f64]) -> Mat<f64> {
    let columns = features.columns;
    let mut sums = Mat::zeros(columns, columns);
    let mut centred = vec![0.0; BLOCK * columns];
    for block in features.data.chunks(BLOCK * columns.max(1)) {
        for (to, from) in centred.chunks_mut(columns.max(1)).zip(block.chunks(columns.max(1))) {
            to.iter_mut().zip(from).zip(means).for_each(|((to, &from), mean)| *to = f64::from(from) - mean);
        }
        let filled = centred.get(..block.len()).unwrap_or_default();
        add_square(sums.as_mut(), MatRef::from_column_major_slice(filled, columns, block.len() / columns.max(1)));
    }
    let divisor = features.rows.saturating_sub(1).max(1) as f64;
    Mat::from_fn(columns, columns, |row, column| sums[(row.max(column), row.min(column))] / divisor)
}

/// Adds x x^T to the lower triangle.
fn add_square(sums: MatMut<'_, f64>, x: MatRef<'_, f64>) {
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(sums, lower, Accum::Add, x, whole, x.transpose(), whole, 1.0, Par::Seq);
}

/// All components, from the eigenvectors of the covariance: what scikit-learn's PCA with `svd_solver` `covariance_eigh`
/// computes (Jolliffe 2002, "Principal Component Analysis", chapter 2).
///
/// # Errors
/// When there are fewer than two rows, a cell is not a number, or the eigenvalues do not converge.
pub fn components(features: &Features, means: &[f64]) -> Result<Components> {
    check(features)?;
    let covariance = covariance(features, means);
    let failed = |_| mismatch("the eigenvalues of the features' covariance did not converge");
    let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let order = (0..features.columns).rev();
    let variances: Vec<f64> = order.clone().map(|index| values[index].max(0.0)).collect();
    Ok(Components {
        directions: order.map(|index| signed(vectors.col(index).iter().copied().collect())).collect(),
        total: variances.iter().sum(),
        variances,
    })
}

/// The first `count` components of a wide table by a randomized search, without its covariance: Halko, Martinsson and
/// Tropp 2011, "Finding Structure with Randomness", algorithms 4.4 and 5.1. With `means` of zero these are the right
/// singular vectors of the table itself.
///
/// # Errors
/// As [`components`], and when `count` is not below the smaller side of the table.
pub fn randomized(features: &Features, means: &[f64], count: usize, rng: &mut impl Rng) -> Result<Components> {
    check(features)?;
    let side = features.rows.min(features.columns);
    if !(1..=side).contains(&count) {
        return Err(mismatch(format!(
            "{count} components are asked for, expected 1 (inclusive) to {side} (inclusive)"
        )));
    }
    let x = centred(features, means);
    let width = (count + OVERSAMPLING).min(side);
    let mut basis = Mat::from_fn(features.columns, width, |_, _| normal(rng));
    for _ in 0..POWER_ITERATIONS {
        let there = orthonormal(&product(x.as_ref(), basis.as_ref()));
        basis = orthonormal(&product(x.transpose(), there.as_ref()));
    }
    let range = orthonormal(&product(x.as_ref(), basis.as_ref()));
    let small = product(range.transpose(), x.as_ref());
    let failed = |_| mismatch("the singular values of the features did not converge");
    let svd = small.thin_svd().map_err(failed)?;
    let divisor = features.rows.saturating_sub(1).max(1) as f64;
    let (values, vectors) = (svd.S().column_vector(), svd.V());
    Ok(Components {
        directions: (0..count).map(|index| signed(vectors.col(index).iter().copied().collect())).collect(),
        variances: (0..count).map(|index| values[index].powi(2) / divisor).collect(),
        total: x.squared_norm_l2() / divisor,
    })
}

fn check(features: &Features) -> Result<()> {
    features.check(None)?;
    if features.rows < 2 {
        return Err(mismatch(format!("there are {} training rows, expected at least 2", features.rows)));
    }
    Ok(())
}

fn centred(features: &Features, means: &[f64]) -> Mat<f64> {
    let mut x = Mat::zeros(features.rows, features.columns);
    for (index, row) in features.iter_rows().enumerate() {
        for (column, (&cell, mean)) in row.iter().zip(means).enumerate() {
            x[(index, column)] = f64::from(cell) - mean;
        }
    }
    x
}

fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut result = Mat::zeros(left.nrows(), right.ncols());
    matmul(result.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    result
}

fn orthonormal(matrix: &Mat<f64>) -> Mat<f64> {
    matrix.qr().compute_thin_Q()
}

/// A number of the normal distribution: Box and Muller 1958.
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (radius, turn): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

/// The direction with the sign that makes its entry of largest size positive; the first of equal ones decides.
fn signed(direction: Vec<f64>) -> Vec<f64> {
    let largest = direction.iter().copied().reduce(|best, entry| if entry.abs() > best.abs() { entry } else { best });
    let sign = if largest.unwrap_or(1.0) < 0.0 { -1.0 } else { 1.0 };
    direction.into_iter().map(|entry| entry * sign).collect()
}

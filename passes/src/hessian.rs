//! The second derivatives of a layer's squared output error with respect to its weights, from calibration inputs, and
//! the factor of their inverse that error compensation needs.
//!
//! Source: Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
//! section 3.3; Frantar & Alistarh 2022, "Optimal Brain Compression", section 4.

use candle_core::{DType, Device, Tensor};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Mat, Par, Side};
use paring_model::Site;

use crate::calibration::{never_active, not_finite};
use crate::effect::PlanCx;
use crate::error::PassError;
use crate::weights;

/// Columns that are multiplied at once; what lies left of them is known by symmetry.
const PANEL: usize = 256;
/// How much more damping is tried each time the matrix is not positive definite.
const RAISE: f64 = 10.0;
/// Damping is not raised above this share of the mean diagonal, where any matrix of this kind is positive definite.
const MOST: f64 = 100.0;

/// X^T X over all rows seen, [in, in], by panels of columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hessian {
    panels: Vec<Tensor>,
    rows: usize,
}

impl Hessian {
    /// Adds inputs [rows, in] in f32.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn add(&mut self, inputs: &Tensor) -> Result<(), PassError> {
        let inputs = inputs.to_dtype(DType::F32)?.contiguous()?;
        let (rows, columns) = inputs.dims2()?;
        let transposed = inputs.t()?;
        for (index, start) in (0..columns).step_by(PANEL).enumerate() {
            let width = PANEL.min(columns - start);
            let right = inputs.narrow(1, start, columns - start)?;
            let product = transposed.narrow(0, start, width)?.matmul(&right)?;
            match self.panels.get_mut(index) {
                Some(panel) => *panel = (&*panel + product)?,
                None => self.panels.push(product),
            }
        }
        self.rows += rows;
        Ok(())
    }

    /// The mean over the rows of x x^T, whole and symmetric.
    ///
    /// # Errors
    /// When a number is not finite, or all are zero; `site` names it.
    pub(crate) fn mean(&self, site: &str) -> Result<Mat<f64>, PassError> {
        let columns = self.panels.first().map_or(Ok(0), |panel| panel.dim(1))?;
        let scale = 1.0 / self.rows.max(1) as f64;
        let mut mean = Mat::zeros(columns, columns);
        for (panel, start) in self.panels.iter().zip((0..columns).step_by(PANEL)) {
            for (row, numbers) in panel.to_vec2::<f32>()?.into_iter().enumerate() {
                for (offset, number) in numbers.into_iter().enumerate().skip(row) {
                    let number = f64::from(number) * scale;
                    if !number.is_finite() {
                        return Err(not_finite(site));
                    }
                    mean[(start + row, start + offset)] = number;
                    mean[(start + offset, start + row)] = number;
                }
            }
        }
        if mean.diagonal().column_vector().iter().all(|square| *square == 0.0) {
            return Err(never_active(site));
        }
        Ok(mean)
    }
}

/// How error is spread over the weights that are not rounded yet.
#[derive(Debug, Clone)]
pub(crate) struct Factor {
    /// The order in which columns are rounded.
    pub(crate) order: Vec<usize>,
    /// U, upper triangular and row-major, in that order: U^T U is the inverse of the damped matrix.
    pub(crate) upper: Vec<f32>,
    /// What was added to the diagonal, as a share of its mean.
    pub(crate) damping: f64,
    /// Columns whose input is always zero, ascending.
    pub(crate) dead: Vec<usize>,
}

impl Factor {
    /// The factor for mean second derivatives; columns of large ones first where `by_activation`. Columns that are
    /// always zero are told apart from the rest: their error goes nowhere.
    ///
    /// # Errors
    /// When the matrix is all zeros; `site` names it.
    pub(crate) fn new(site: &str, hessian: &Mat<f64>, damping: f64, by_activation: bool) -> Result<Self, PassError> {
        let columns = hessian.nrows();
        let diagonal: Vec<f64> = (0..columns).map(|column| hessian[(column, column)]).collect();
        let dead: Vec<usize> = (0..columns).filter(|&column| value(&diagonal, column) == 0.0).collect();
        let mean = diagonal.iter().sum::<f64>() / columns.max(1) as f64;
        if dead.len() == columns || mean <= 0.0 {
            return Err(never_active(site));
        }
        let mut order: Vec<usize> = (0..columns).collect();
        if by_activation {
            // A stable order: columns of equal activation stay as they were.
            order.sort_by(|&one, &other| value(&diagonal, other).total_cmp(&value(&diagonal, one)));
        }
        let mut share = damping;
        loop {
            if let Some(upper) = inverse_factor(hessian, &order, share * mean) {
                return Ok(Self { order, upper, damping: share, dead });
            }
            share = if share == 0.0 { 1e-6 } else { share * RAISE };
            if share > MOST {
                return Err(PassError::Failed(format!("the inputs of `{site}` cannot be told apart")));
            }
        }
    }

    /// Columns in all.
    pub(crate) fn columns(&self) -> usize {
        self.order.len()
    }
}

fn value(numbers: &[f64], index: usize) -> f64 {
    numbers.get(index).copied().unwrap_or(0.0)
}

/// U with U^T U = (H + damping I)^-1, its rows and columns in `order`; `None` when that matrix is not positive definite.
///
/// H with rows and columns reversed is L L^T; reversed back, H = R R^T with R upper triangular, so U = R^-1.
fn inverse_factor(hessian: &Mat<f64>, order: &[usize], damping: f64) -> Option<Vec<f32>> {
    let columns = order.len();
    let reversed = Mat::from_fn(columns, columns, |row, column| {
        let (from, to) = (order[columns - 1 - row], order[columns - 1 - column]);
        match hessian[(from, to)] {
            number if row != column => number,
            0.0 => 1.0,
            number => number + damping,
        }
    });
    let cholesky = reversed.llt(Side::Lower).ok()?;
    let mut inverse = Mat::zeros(columns, columns);
    invert_lower_triangular(inverse.as_mut(), cholesky.L(), Par::Seq);
    let mut upper = vec![0.0; columns * columns];
    for (row, numbers) in upper.chunks_mut(columns.max(1)).enumerate() {
        for (column, number) in numbers.iter_mut().enumerate().skip(row) {
            *number = inverse[(columns - 1 - row, columns - 1 - column)] as f32;
        }
    }
    upper.iter().all(|number| number.is_finite()).then_some(upper)
}

/// Bytes of the second derivatives of the largest input, three times in f64 and once in f32, and their factor.
pub(crate) fn memory(cx: &PlanCx<'_>, sites: &[Site]) -> u64 {
    let inputs = sites.iter().map(|site| weights::inputs(weights::shape(cx, site))).max().unwrap_or(0);
    (inputs * inputs * (3 * 8 + 2 * 4)) as u64
}

/// The mean squared error of a layer's outputs over its calibration inputs.
pub(crate) struct OutputError {
    /// The mean of x x^T, [in, in].
    mean: Tensor,
}

impl OutputError {
    /// For these means.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn new(mean: &Mat<f64>) -> Result<Self, PassError> {
        let columns = mean.ncols();
        let numbers: Vec<f32> = (0..columns).flat_map(|column| mean.col(column).iter().map(|x| *x as f32)).collect();
        Ok(Self { mean: Tensor::from_vec(numbers, (columns, columns), &Device::Cpu)? })
    }

    /// Between two versions of a weight, row-major, [out, in]: the trace of D H D^T for their difference D.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn between(&self, one: &[f32], other: &[f32]) -> Result<f64, PassError> {
        let columns = self.mean.dim(0)?;
        let difference: Vec<f32> = one.iter().zip(other).map(|(one, other)| one - other).collect();
        let rows = difference.len() / columns.max(1);
        let difference = Tensor::from_vec(difference, (rows, columns), &Device::Cpu)?;
        let trace = difference.matmul(&self.mean)?.mul(&difference)?.sum(1)?.to_vec1::<f32>()?;
        Ok(trace.into_iter().map(f64::from).sum::<f64>().max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};
    use faer::Mat;

    use super::{Factor, Hessian, OutputError};

    fn hessian(rows: &[[f32; 3]]) -> Mat<f64> {
        let mut hessian = Hessian::default();
        for rows in rows.chunks(2) {
            let tensor = Tensor::from_vec(rows.concat(), (rows.len(), 3), &Device::Cpu).unwrap();
            hessian.add(&tensor).unwrap();
        }
        hessian.mean("a").unwrap()
    }

    /// (1, 2, 0), (3, 0, 1), (0, 1, 1): the sums of products are 10, 2, 3; 2, 5, 1; 3, 1, 2.
    #[test]
    fn sums_of_products_over_all_rows() {
        let mean = hessian(&[[1.0, 2.0, 0.0], [3.0, 0.0, 1.0], [0.0, 1.0, 1.0]]);
        let expected = [[10.0, 2.0, 3.0], [2.0, 5.0, 1.0], [3.0, 1.0, 2.0]];
        for (row, numbers) in expected.iter().enumerate() {
            for (column, number) in numbers.iter().enumerate() {
                assert!((mean[(row, column)] * 3.0 - number).abs() < 1e-6);
            }
        }
        // Difference (1, 0, -1): 10 - 3 - 3 + 2 = 6, over 3 rows.
        let error = OutputError::new(&mean).unwrap().between(&[1.0, 0.0, -1.0], &[0.0; 3]).unwrap();
        assert!((error - 2.0).abs() < 1e-6);
    }

    #[test]
    fn the_factor_squares_to_the_inverse() {
        let mean = hessian(&[[1.0, 2.0, 0.0], [3.0, 0.0, 1.0], [0.0, 1.0, 1.0]]);
        for by_activation in [false, true] {
            let factor = Factor::new("a", &mean, 0.0, by_activation).unwrap();
            assert_eq!(factor.order, [0, 1, 2]);
            let upper = Mat::from_fn(3, 3, |row, column| f64::from(factor.upper[row * 3 + column]));
            let product = upper.transpose() * &upper * &mean;
            for row in 0..3 {
                for column in 0..3 {
                    let expected = if row == column { 1.0 } else { 0.0 };
                    assert!((product[(row, column)] - expected).abs() < 1e-5, "{product:?}");
                }
            }
        }
    }

    #[test]
    fn the_most_active_columns_come_first() {
        let mean = hessian(&[[1.0, 2.0, 3.0], [1.0, -2.0, 0.5]]);
        assert_eq!(Factor::new("a", &mean, 0.01, true).unwrap().order, [2, 1, 0]);
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_gets_more_damping() {
        // Two rows for three columns: without damping there is no inverse.
        let mean = hessian(&[[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]);
        let factor = Factor::new("a", &mean, 0.0, false).unwrap();
        assert!(factor.damping > 0.0);
        assert!(factor.upper.iter().all(|number| number.is_finite()));
    }

    #[test]
    fn columns_without_input_are_counted_and_all_of_them_refused() {
        let mean = hessian(&[[1.0, 0.0, 3.0], [2.0, 0.0, 1.0]]);
        let factor = Factor::new("a", &mean, 0.01, false).unwrap();
        assert_eq!(factor.dead, [1]);
        assert_eq!((factor.upper[3 + 1], factor.upper[1], factor.upper[3 + 2]), (1.0, 0.0, 0.0));
        let mut nothing = Hessian::default();
        nothing.add(&Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap()).unwrap();
        let message = nothing.mean("a").unwrap_err().to_string();
        assert!(message.starts_with("the input of `a` is zero in all calibration rows"), "{message}");
        let mut broken = Hessian::default();
        broken.add(&Tensor::new(&[[f32::NAN, 1.0]], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(broken.mean("a").unwrap_err().to_string(), "the input of `a` is not finite in the calibration rows");
    }
}

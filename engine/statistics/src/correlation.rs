//! How far features go up and down together: Pearson's and Spearman's correlation of every pair.

use faer::Mat;

use crate::Features;
use crate::error::{Result, mismatch};
use crate::principal::covariance;

/// Which correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correlation {
    /// Of the numbers: 1 on a straight line.
    Pearson,
    /// Of their ranks, equal numbers sharing theirs: 1 where one grows with the other.
    Spearman,
}

/// The correlation of every two features, in [-1, 1]; 0 for pairs with a feature that is constant.
///
/// # Errors
/// When there are fewer than two rows, or a cell is not a number.
pub fn correlations(features: &Features, kind: Correlation) -> Result<Mat<f64>> {
    features.check(None)?;
    if features.rows < 2 {
        return Err(mismatch(format!("there are {} rows, expected at least 2", features.rows)));
    }
    let moments = match kind {
        Correlation::Pearson => covariance(features, &features.means()),
        Correlation::Spearman => {
            let ranks = ranks(features);
            covariance(&ranks, &ranks.means())
        }
    };
    let scale: Vec<f64> = (0..features.columns).map(|column| moments[(column, column)].sqrt()).collect();
    let at = |list: &[f64], index: usize| list.get(index).copied().unwrap_or(0.0);
    Ok(Mat::from_fn(features.columns, features.columns, |row, column| {
        let product = at(&scale, row) * at(&scale, column);
        match (row == column, product > 0.0) {
            (true, _) => 1.0,
            (false, true) => (moments[(row, column)] / product).clamp(-1.0, 1.0),
            (false, false) => 0.0,
        }
    }))
}

/// Ranks from 1 within each column; equal numbers get the mean of theirs.
fn ranks(features: &Features) -> Features {
    let mut data = vec![0.0; features.data.len()];
    for column in 0..features.columns {
        let mut order: Vec<(f64, usize)> = features.column(column).zip(0..).collect();
        order.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut before = 0;
        for group in order.chunk_by(|one, other| one.0 == other.0) {
            // The mean of before + 1 ..= before + len.
            let rank = before as f32 + (group.len() + 1) as f32 / 2.0;
            for (_, row) in group {
                if let Some(cell) = data.get_mut(row * features.columns + column) {
                    *cell = rank;
                }
            }
            before += group.len();
        }
    }
    Features { data, ..*features }
}

#[cfg(test)]
mod tests {
    use super::{Correlation, correlations, ranks};
    use crate::Features;

    fn table() -> Features {
        let rows: [[f32; 4]; 4] =
            [[1.0, 1.0, 4.0, 7.0], [2.0, 4.0, 3.0, 7.0], [3.0, 9.0, 2.0, 7.0], [4.0, 16.0, 2.0, 7.0]];
        Features { rows: 4, columns: 4, data: rows.concat() }
    }

    #[test]
    fn ranks_of_equal_numbers_are_their_mean() {
        let ranks: Vec<f64> = ranks(&table()).column(2).collect();
        assert_eq!(ranks, [4.0, 3.0, 1.5, 1.5]);
    }

    #[test]
    fn correlations_by_hand() {
        let pearson = correlations(&table(), Correlation::Pearson).unwrap();
        // Sums of products 25, of squares 5 and 129.
        assert!((pearson[(0, 1)] - 25.0 / (5.0_f64 * 129.0).sqrt()).abs() < 1e-12);
        let spearman = correlations(&table(), Correlation::Spearman).unwrap();
        assert!((spearman[(1, 0)] - 1.0).abs() < 1e-12);
        assert!((spearman[(0, 2)] + 4.5 / (5.0_f64 * 4.5).sqrt()).abs() < 1e-12);
        assert_eq!((spearman[(0, 3)], spearman[(3, 3)]), (0.0, 1.0));
    }
}

//! The chi-squared statistic of counts against classes.
//!
//! Pearson 1900, "On the criterion that a given system of deviations...", of a table of classes by features whose cells
//! are the features' sums: are a feature's occurrences spread over the classes as the rows are? Used so for texts by
//! Yang and Pedersen 1997, "A Comparative Study on Feature Selection in Text Categorization".

use statrs::distribution::{ChiSquared, ContinuousCDF as _};

use crate::error::{Result, StatisticsError, mismatch};
use crate::features::{class_counts, class_sums};
use crate::{Features, Score};

/// The statistic of each feature, whose cells are counts or shares, and its p-value. Not a number where a feature is
/// zero in all rows.
///
/// # Errors
/// When a cell is below zero, rows and classes do not fit, or there are fewer than two classes.
pub fn chi_squared(features: &Features, numbers: &[u32], classes: usize) -> Result<Vec<Score>> {
    features.check(None)?;
    if let Some(at) = features.data.iter().position(|cell| *cell < 0.0) {
        let (row, feature) = (at / features.columns.max(1) + 1, at % features.columns.max(1) + 1);
        return Err(StatisticsError::Negative { feature, row, found: features.data.get(at).copied().unwrap_or(0.0) });
    }
    let counts = class_counts(numbers, classes);
    let present = counts.iter().filter(|&&count| count > 0).count();
    if present < 2 {
        return Err(mismatch(format!("a chi-squared statistic needs rows of at least 2 classes, found {present}")));
    }
    let totals: Vec<f64> = features.means().iter().map(|mean| mean * features.rows as f64).collect();
    let observed = class_sums(features, numbers, classes);
    let mut values = vec![0.0; features.columns];
    for (observed, &count) in observed.chunks(features.columns.max(1)).zip(&counts).filter(|(_, count)| **count > 0) {
        let share = count as f64 / features.rows as f64;
        for ((value, observed), total) in values.iter_mut().zip(observed).zip(&totals) {
            let expected = share * total;
            *value += (observed - expected).powi(2) / expected;
        }
    }
    let distribution = ChiSquared::new((present - 1) as f64).map_err(|error| mismatch(error.to_string()))?;
    let score = |value: f64| Score { value, p: if value.is_nan() { value } else { distribution.sf(value) } };
    Ok(values.into_iter().map(score).collect())
}

#[cfg(test)]
mod tests {
    use super::chi_squared;
    use crate::Features;

    #[test]
    fn a_table_by_hand() {
        // Sums 3 and 1 of 4 where 2 and 2 are expected; 2 and 2; nothing at all.
        let data = vec![1.0, 0.0, 0.0, 2.0, 2.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0];
        let features = Features { rows: 4, columns: 3, data };
        let scores = chi_squared(&features, &[0, 0, 1, 1], 2).unwrap();
        assert_eq!((scores[0].value, scores[1].value, scores[1].p), (1.0, 0.0, 1.0));
        assert!((scores[0].p - 0.317_310_507_862_914).abs() < 1e-9, "{scores:?}");
        assert!(scores[2].value.is_nan());
    }

    #[test]
    fn a_count_below_zero_is_named() {
        let features = Features { rows: 2, columns: 2, data: vec![1.0, 0.0, 0.0, -1.5] };
        let error = chi_squared(&features, &[0, 1], 2).unwrap_err().to_string();
        assert_eq!(error, "feature 2 of row 2 is `-1.5`, expected a number of 0 (inclusive) or more");
    }
}

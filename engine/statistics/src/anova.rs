//! Analysis of variance: the F statistic of each feature against classes, or against numbers.
//!
//! Fisher 1925, "Statistical Methods for Research Workers", chapter VII. Against numbers it is the test of a simple
//! linear regression's slope: r^2 / (1 - r^2) times the degrees of freedom, r the correlation.

use statrs::distribution::{ContinuousCDF as _, FisherSnedecor};

use crate::error::{Result, mismatch};
use crate::features::{class_counts, class_sums};
use crate::{Answers, Features, Score};

/// The F statistic of each feature, and its p-value. Infinite where the feature decides alone; not a number where it is
/// constant.
///
/// # Errors
/// When rows and answers do not fit, or there are fewer than two classes or three rows.
pub fn f_statistics(features: &Features, answers: &Answers) -> Result<Vec<Score>> {
    features.check(Some(answers))?;
    match answers {
        Answers::Classes { numbers, count } => of_classes(features, numbers, *count),
        Answers::Numbers(values) => of_numbers(features, values),
    }
}

fn of_classes(features: &Features, numbers: &[u32], classes: usize) -> Result<Vec<Score>> {
    let counts = class_counts(numbers, classes);
    let present = counts.iter().filter(|&&count| count > 0).count();
    if present < 2 {
        return Err(mismatch(format!("an F statistic needs rows of at least 2 classes, found {present}")));
    }
    if features.rows <= present {
        return Err(mismatch(format!("there are {} rows for {present} classes, expected more rows", features.rows)));
    }
    let (means, variances) = (features.means(), features.variances());
    let sums = class_sums(features, numbers, classes);
    let mut between = vec![0.0; features.columns];
    for (sums, &count) in sums.chunks(features.columns.max(1)).zip(&counts).filter(|(_, count)| **count > 0) {
        for ((between, sum), mean) in between.iter_mut().zip(sums).zip(&means) {
            *between += count as f64 * (sum / count as f64 - mean).powi(2);
        }
    }
    let freedom = ((present - 1) as f64, (features.rows - present) as f64);
    let score = |(between, variance): (&f64, &f64)| {
        let within = (variance * features.rows as f64 - between).max(0.0);
        Ok(Score { value: (between / freedom.0) / (within / freedom.1), p: 0.0 })
    };
    between.iter().zip(&variances).map(score).map(|score| with_p(score?, freedom)).collect()
}

fn of_numbers(features: &Features, values: &[f32]) -> Result<Vec<Score>> {
    if features.rows < 3 {
        return Err(mismatch(format!("there are {} rows, expected at least 3", features.rows)));
    }
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / features.rows as f64;
    let spread: f64 = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
    let means = features.means();
    let mut products = vec![0.0; features.columns];
    for (row, &value) in features.iter_rows().zip(values) {
        for ((product, &cell), centre) in products.iter_mut().zip(row).zip(&means) {
            *product += (f64::from(cell) - centre) * (f64::from(value) - mean);
        }
    }
    let freedom = (1.0, (features.rows - 2) as f64);
    let score = |(product, variance): (&f64, &f64)| {
        let square = product * product / (variance * features.rows as f64 * spread);
        with_p(Score { value: square / (1.0 - square).max(0.0) * freedom.1, p: 0.0 }, freedom)
    };
    products.iter().zip(&features.variances()).map(score).collect()
}

fn with_p(score: Score, (between, within): (f64, f64)) -> Result<Score> {
    let distribution = FisherSnedecor::new(between, within).map_err(|error| mismatch(error.to_string()))?;
    let p = match score.value {
        value if value.is_nan() => f64::NAN,
        value if value.is_infinite() => 0.0,
        value => distribution.sf(value),
    };
    Ok(Score { p, ..score })
}

#[cfg(test)]
mod tests {
    use super::f_statistics;
    use crate::{Answers, Features};

    #[test]
    fn three_groups_by_hand() {
        // Groups (6, 8, 4, 5, 3, 4), (8, 12, 9, 11, 6, 8), (13, 9, 11, 8, 7, 12): F = 42 / (68 / 15), p = 0.0024.
        let cells = [6, 8, 4, 5, 3, 4, 8, 12, 9, 11, 6, 8, 13, 9, 11, 8, 7, 12];
        let features = Features { rows: 18, columns: 1, data: cells.iter().map(|&cell| cell as f32).collect() };
        let answers = Answers::Classes { numbers: (0..18).map(|row| row / 6).collect(), count: 3 };
        let score = f_statistics(&features, &answers).unwrap()[0];
        assert!((score.value - 42.0 / (68.0 / 15.0)).abs() < 1e-9, "{score:?}");
        assert!((score.p - 0.0024).abs() < 1e-4, "{score:?}");
    }

    #[test]
    fn what_decides_alone_is_infinite_and_a_constant_no_number() {
        let features = Features { rows: 4, columns: 2, data: vec![1.0, 5.0, 1.0, 5.0, 2.0, 5.0, 2.0, 5.0] };
        let answers = Answers::Classes { numbers: vec![0, 0, 1, 1], count: 2 };
        let scores = f_statistics(&features, &answers).unwrap();
        assert_eq!((scores[0].value, scores[0].p), (f64::INFINITY, 0.0));
        assert!(scores[1].value.is_nan());
        let scores = f_statistics(&features, &Answers::Numbers(vec![3.0, 3.0, 5.0, 5.0])).unwrap();
        assert!(scores[0].value > 1e15 && scores[1].value.is_nan(), "{scores:?}");
    }

    #[test]
    fn one_class_is_no_question() {
        let features = Features { rows: 2, columns: 1, data: vec![1.0, 2.0] };
        let error = f_statistics(&features, &Answers::Classes { numbers: vec![1, 1], count: 2 }).unwrap_err();
        assert_eq!(error.to_string(), "an F statistic needs rows of at least 2 classes, found 1");
    }
}

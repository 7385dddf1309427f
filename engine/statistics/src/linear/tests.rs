//! Coefficients of scikit-learn 1.9.1 (numpy 2.4; `tol` 1e-10) on every fifth row of iris, and the edges.

use rstest::rstest;

use super::{LinearModel, fit_linear};
use crate::{Answers, Features};

/// Sepal length, sepal width, petal length, petal width; ten rows of each class.
#[rustfmt::skip]
const FLOWERS: [[f32; 4]; 30] = [
    [5.1, 3.5, 1.4, 0.2],
    [5.4, 3.9, 1.7, 0.4],
    [5.4, 3.7, 1.5, 0.2],
    [5.7, 4.4, 1.5, 0.4],
    [5.4, 3.4, 1.7, 0.2],
    [5.0, 3.0, 1.6, 0.2],
    [4.8, 3.1, 1.6, 0.2],
    [5.0, 3.2, 1.2, 0.2],
    [5.0, 3.5, 1.3, 0.3],
    [4.8, 3.0, 1.4, 0.3],
    [7.0, 3.2, 4.7, 1.4],
    [5.7, 2.8, 4.5, 1.3],
    [5.0, 2.0, 3.5, 1.0],
    [6.7, 3.1, 4.4, 1.4],
    [5.9, 3.2, 4.8, 1.8],
    [6.6, 3.0, 4.4, 1.4],
    [5.5, 2.4, 3.8, 1.1],
    [6.0, 3.4, 4.5, 1.6],
    [5.5, 2.6, 4.4, 1.2],
    [5.7, 3.0, 4.2, 1.2],
    [6.3, 3.3, 6.0, 2.5],
    [7.6, 3.0, 6.6, 2.1],
    [6.5, 3.2, 5.1, 2.0],
    [6.4, 3.2, 5.3, 2.3],
    [6.9, 3.2, 5.7, 2.3],
    [7.2, 3.2, 6.0, 1.8],
    [7.4, 2.8, 6.1, 1.9],
    [7.7, 3.0, 6.1, 2.3],
    [6.7, 3.1, 5.6, 2.4],
    [6.7, 3.0, 5.2, 2.3],
];

fn flowers(rows: &[[f32; 4]], columns: usize) -> Features {
    let data: Vec<f32> = rows.iter().flat_map(|row| row.iter().copied().take(columns)).collect();
    Features { rows: rows.len(), columns, data }
}

fn classes(rows: usize) -> Answers {
    Answers::Classes { numbers: (0..rows as u32).map(|row| row / 10).collect(), count: rows / 10 }
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "found {found}, expected {expected}");
    }
}

#[test]
fn three_classes_agree_with_scikit_learn() {
    let model = fit_linear(&flowers(&FLOWERS, 4), &classes(30), 1.0, None).unwrap();
    let coefficients = [
        -0.37334067,
        0.40452977,
        -1.5645302,
        -0.6090535,
        -0.23158154,
        -0.42198649,
        0.1261051,
        -0.44951632,
        0.60492221,
        0.017456717,
        1.4384251,
        1.0585698,
    ];
    assert_close(&model.coefficients, &coefficients);
    assert_close(&model.intercepts, &[7.5227868, 4.2815141, -11.804301]);
}

#[test]
fn two_classes_agree_with_scikit_learn() {
    let model = fit_linear(&flowers(&FLOWERS[10..], 4), &classes(20), 1.0, None).unwrap();
    assert_close(&model.coefficients, &[0.68723206, 0.068804546, 1.5298202, 1.1658145]);
    assert_close(&model.intercepts, &[-14.463371]);
}

#[test]
fn ridge_agrees_with_scikit_learn() {
    let widths = Answers::Numbers(FLOWERS.iter().map(|row| row[3]).collect());
    let model = fit_linear(&flowers(&FLOWERS, 3), &widths, 2.0, None).unwrap();
    assert_close(&model.coefficients, &[-0.12666305, 0.24152996, 0.50141755]);
    assert_close(&model.intercepts, &[-0.66964113]);
}

#[test]
fn a_warm_start_needs_fewer_iterations() {
    let (inputs, targets) = (flowers(&FLOWERS, 4), classes(30));
    let cold = fit_linear(&inputs, &targets, 1.0, None).unwrap();
    let near = LinearModel { coefficients: cold.coefficients.iter().map(|w| w + 1e-3).collect(), ..cold.clone() };
    let warm = fit_linear(&inputs, &targets, 1.0, Some(&near)).unwrap();
    assert!(warm.iterations < cold.iterations, "{} against {}", warm.iterations, cold.iterations);
    assert_close(&warm.coefficients, &cold.coefficients);
}

#[test]
fn a_feature_that_never_changes_gets_no_weight() {
    let rows: Vec<[f32; 4]> = FLOWERS.iter().map(|row| [row[0], row[1], 0.0, row[3]]).collect();
    let model = fit_linear(&flowers(&rows, 4), &classes(30), 1.0, None).unwrap();
    assert_eq!((model.coefficients[2], model.coefficients[6], model.coefficients[10]), (0.0, 0.0, 0.0));
}

#[rstest]
#[case(vec![1, 1], 1.0, "a linear classifier needs rows of at least 2 classes, found 1")]
#[case(vec![0, 9], 1.0, "class number 9 is unknown; there are 2 classes")]
#[case(vec![0, 1], 0.0, "C is `0`, expected a number above 0")]
#[case(vec![0], 1.0, "there are 1 targets for 2 rows")]
fn what_cannot_be_fitted_is_an_error(#[case] numbers: Vec<u32>, #[case] c: f64, #[case] expected: &str) {
    let answers = Answers::Classes { numbers, count: 2 };
    let message = fit_linear(&flowers(&FLOWERS[..2], 4), &answers, c, None).unwrap_err().to_string();
    assert_eq!(message, expected);
}

#[test]
fn a_cell_that_is_no_number_is_named() {
    let mut inputs = flowers(&FLOWERS[..2], 4);
    inputs.data[6] = f32::NAN;
    let message =
        fit_linear(&inputs, &Answers::Classes { numbers: vec![0, 1], count: 2 }, 1.0, None).unwrap_err().to_string();
    assert_eq!(message, "feature 3 of row 2 is not a finite number");
}

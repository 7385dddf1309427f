//! Figures of scikit-learn 1.9.1, SciPy 1.17.1 and NumPy 2.4.6 on small cases, and the edges.

use rstest::rstest;

use super::{
    accuracy, balanced_accuracy, cosines, f1_macro, kl_divergence, log_loss, mean_absolute_error, most_likely,
    negative_log_likelihood, quantile, r2, recall_at, roc_auc, roc_auc_one_vs_rest, root_mean_squared_error, same_top,
    softmax, spearman,
};

const TRUTH: [u32; 10] = [0, 0, 0, 0, 1, 1, 2, 2, 2, 1];
const PREDICTED: [u32; 10] = [0, 0, 1, 0, 1, 0, 2, 2, 3, 1];
const PROBABILITIES: [f64; 18] =
    [0.7, 0.2, 0.1, 0.2, 0.5, 0.3, 0.3, 0.3, 0.4, 0.25, 0.5, 0.25, 0.1, 0.1, 0.8, 0.5, 0.25, 0.25];
const CLASSES: [u32; 6] = [0, 1, 2, 0, 2, 1];

fn assert_close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
}

#[test]
fn classes_agree_with_scikit_learn() {
    assert_close(accuracy(&PREDICTED, &TRUTH).unwrap(), 0.7);
    assert_close(balanced_accuracy(&PREDICTED, &TRUTH).unwrap(), 0.6944444444444443);
    assert_close(f1_macro(&PREDICTED, &TRUTH).unwrap(), 0.5541666666666667);
}

#[test]
fn probabilities_agree_with_scikit_learn() {
    let positive = [false, true, true, false, true, false];
    assert_close(roc_auc(&[0.1, 0.4, 0.35, 0.35, 0.8, 0.2], &positive).unwrap(), 0.9444444444444444);
    assert_close(roc_auc_one_vs_rest(&PROBABILITIES, 3, &CLASSES).unwrap(), 0.8125);
    assert_close(log_loss(&PROBABILITIES, 3, &CLASSES).unwrap(), 0.8269741883211373);
    assert_close(log_loss(&[1.0, 0.0, 0.0, 0.5, 0.25, 0.25], 3, &[1, 0]).unwrap(), 18.36840028483855);
}

#[test]
fn numbers_agree_with_scikit_learn() {
    let (truth, predicted) = ([3.0, -0.5, 2.0, 7.0], [2.5, 0.0, 2.0, 8.0]);
    assert_close(root_mean_squared_error(&predicted, &truth).unwrap(), 0.6123724356957945);
    assert_close(mean_absolute_error(&predicted, &truth).unwrap(), 0.5);
    assert_close(r2(&predicted, &truth).unwrap(), 0.9486081370449679);
    assert_close(r2(&[2.0, 2.0, 3.0], &[2.0, 2.0, 2.0]).unwrap(), 0.0);
    assert_close(r2(&[2.0, 2.0], &[2.0, 2.0]).unwrap(), 1.0);
}

#[test]
fn two_classes_use_the_second_as_positive() {
    let probabilities = [0.9, 0.1, 0.6, 0.4, 0.65, 0.35, 0.65, 0.35, 0.2, 0.8, 0.8, 0.2];
    assert_close(roc_auc_one_vs_rest(&probabilities, 2, &[0, 1, 1, 0, 1, 0]).unwrap(), 0.9444444444444444);
}

#[test]
fn a_class_without_rows_is_left_out_of_the_mean() {
    let two = [0.8, 0.1, 0.1, 0.3, 0.6, 0.1];
    assert_close(roc_auc_one_vs_rest(&two, 3, &[0, 1]).unwrap(), 1.0);
}

#[test]
fn softmax_and_the_most_likely_class() {
    let logits = [0.0, f32::ln(3.0), 1000.0, 1000.0];
    let expected = [0.25, 0.75, 0.5, 0.5];
    for (found, expected) in softmax(&logits, 2).into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-7, "found {found}, expected {expected}");
    }
    assert_eq!(most_likely(&logits, 2), [1, 0]);
}

#[test]
fn ranks_and_vectors_agree_with_scipy() {
    let (one, other) = ([1.0, 2.0, 2.0, 4.0, 0.5, 3.0], [0.1, 0.4, 0.35, 0.4, 0.2, 0.3]);
    assert_close(spearman(&one, &other).unwrap(), 0.6911764705882353);
    let one = [1.0, 2.0, 3.0, 0.5, -1.0, 2.0, 0.0, 1.0, 0.0, 3.0, 0.0, -4.0];
    let other = [1.0, 2.0, 2.5, 0.5, -1.25, 2.0, 0.0, 1.0, 1.0, 3.0, 0.0, 4.0];
    let found = cosines(&one, &other, 3).unwrap();
    let expected = [0.9960238411119946, 0.9956382088431249, 0.7071067811865475, -0.28];
    for (found, expected) in found.iter().zip(expected) {
        assert_close(*found, expected);
    }
    assert_close(quantile(&found, 0.01).unwrap(), -0.25038679656440355);
    assert_close(quantile(&found, 0.0).unwrap(), -0.28);
}

#[test]
fn recall_counts_queries_whose_own_document_is_near_enough() {
    // Each query lies on an axis; the second query's own document is beaten by the first.
    let queries = [1.0, 0.0, 1.0, 0.1, 0.0, 1.0];
    let documents = [1.0, 0.0, 0.0, 1.0, 0.0, 2.0];
    assert_close(recall_at(1, &queries, &documents, 2).unwrap(), 1.0 / 3.0);
    assert_close(recall_at(2, &queries, &documents, 2).unwrap(), 1.0);
}

#[test]
fn tokens_agree_with_scipy() {
    let base = [1.0, 2.0, 0.5, 0.0, 0.0, 3.0, -1.0, 2.0, 2.0];
    let other = [1.125, 1.5, 0.5, 0.25, 0.125, 2.0, 2.0, -1.0, 2.5];
    assert_close(kl_divergence(&base, &other, 3).unwrap() / 3.0, 0.5145486512248199);
    assert_close(kl_divergence(&base, &base, 3).unwrap(), 0.0);
    assert_close(negative_log_likelihood(&base, 3, &[1, 2, 0]).unwrap() / 3.0, 1.4256758863985362);
    assert_eq!(same_top(&base, &other, 3).unwrap(), 2);
    assert_close(negative_log_likelihood(&[1e4, 0.0], 2, &[1]).unwrap(), 1e4);
}

#[rstest]
#[case(spearman(&[1.0, 1.0], &[1.0, 2.0]), "a rank correlation needs at least 2 different values on both sides")]
#[case(negative_log_likelihood(&[0.0, 1.0], 2, &[2]), "token 2 is unknown; the model has 2 tokens")]
#[case(roc_auc(&[0.1, 0.2], &[true, true]), "ROC AUC needs test rows of at least 2 classes, found 1")]
#[case(roc_auc_one_vs_rest(&[0.5, 0.2, 0.3], 3, &[3]), "class number 3 is unknown; the model has 3 classes")]
#[case(log_loss(&[0.5, 0.5], 2, &[2]), "class number 2 is unknown; the model has 2 classes")]
#[case(accuracy(&[], &[]), "there are no test rows")]
#[case(accuracy(&[1], &[1, 2]), "there are 1 predictions for 2 rows")]
#[case(r2(&[1.0], &[1.0]), "r2 needs at least 2 test rows, found 1")]
fn what_cannot_be_computed_is_an_error(#[case] found: crate::Result<f64>, #[case] expected: &str) {
    assert_eq!(found.unwrap_err().to_string(), expected);
}

//! What every split must hold, for any rows, classes, fractions and seed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use paring_data::split::split;
use paring_data::{DataError, Parts, SplitPlan};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use rstest::rstest;

fn fractions(train: f64, validate: f64, calibrate: f64, test: f64, stratify: bool) -> SplitPlan {
    SplitPlan::Fractions { train, validate, calibrate, test, stratify }
}

fn in_order(parts: &Parts) -> [&[usize]; 4] {
    [&parts.train, &parts.validate, &parts.calibrate, &parts.test]
}

/// Class sizes and four fractions of sum one with tenths.
fn setting() -> impl Strategy<Value = (Vec<u32>, [f64; 4], u64)> {
    let sizes = prop::collection::vec(10_usize..60, 1..6);
    let tenths = (0_u32..4, 0_u32..3, 0_u32..3).prop_map(|(validate, calibrate, test)| {
        let train = 10 - validate - calibrate - test;
        [train, validate, calibrate, test].map(|tenth| f64::from(tenth) / 10.0)
    });
    (sizes, tenths, any::<u64>(), any::<u64>()).prop_flat_map(|(sizes, tenths, seed, _)| {
        let classes: Vec<u32> = sizes.iter().zip(0..).flat_map(|(&size, class)| vec![class; size]).collect();
        (Just(classes).prop_shuffle(), Just(tenths), Just(seed))
    })
}

proptest! {
    #[test]
    fn every_row_is_in_exactly_one_part((classes, f, seed) in setting(), stratify in any::<bool>()) {
        let plan = fractions(f[0], f[1], f[2], f[3], stratify);
        let parts = split(classes.len(), Some(&classes), &plan, seed).unwrap();
        let mut rows = in_order(&parts).concat();
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..classes.len()).collect::<Vec<_>>());
        prop_assert!(in_order(&parts).iter().all(|part| part.is_sorted()));
        prop_assert_eq!(split(classes.len(), Some(&classes), &plan, seed).unwrap(), parts);
    }

    #[test]
    fn each_class_is_within_one_row_of_its_share((classes, f, seed) in setting()) {
        let parts = split(classes.len(), Some(&classes), &fractions(f[0], f[1], f[2], f[3], true), seed).unwrap();
        for class in 0..6 {
            let size = classes.iter().filter(|&&other| other == class).count() as f64;
            for (part, fraction) in in_order(&parts).iter().zip(f) {
                let count = part.iter().filter(|&&row| classes[row] == class).count() as f64;
                prop_assert!((count - size * fraction).abs() < 1.0, "class {}: {} of {} at {}", class, count, size, fraction);
            }
        }
    }

    #[test]
    fn parts_are_close_to_their_fractions((classes, f, seed) in setting(), stratify in any::<bool>()) {
        let parts = split(classes.len(), Some(&classes), &fractions(f[0], f[1], f[2], f[3], stratify), seed).unwrap();
        for (part, fraction) in in_order(&parts).iter().zip(f) {
            let off = part.len() as f64 - classes.len() as f64 * fraction;
            prop_assert!(off.abs() < 2.0, "{} rows at {}", part.len(), fraction);
        }
    }

    #[test]
    fn each_row_is_tested_in_exactly_one_fold((classes, _, seed) in setting(), folds in 2_usize..8, stratify in any::<bool>()) {
        let mut tested = Vec::new();
        for fold in 0..folds {
            let parts = split(classes.len(), Some(&classes), &SplitPlan::Folds { folds, fold, stratify }, seed).unwrap();
            prop_assert_eq!(parts.train.len() + parts.test.len(), classes.len());
            prop_assert!(parts.test.iter().all(|row| !parts.train.contains(row)));
            let even = classes.len() as f64 / folds as f64;
            prop_assert!((parts.test.len() as f64 - even).abs() < 2.0);
            tested.extend(parts.test);
        }
        tested.sort_unstable();
        prop_assert_eq!(tested, (0..classes.len()).collect::<Vec<_>>());
    }
}

#[test]
fn a_split_is_the_same_on_every_machine() {
    let classes = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1];
    let parts = split(10, Some(&classes), &fractions(0.6, 0.0, 0.0, 0.4, true), 7).unwrap();
    assert_eq!(parts.test, [4, 5, 6, 7]);
    assert_ne!(split(10, Some(&classes), &fractions(0.6, 0.0, 0.0, 0.4, true), 8).unwrap(), parts);
}

#[test]
fn parts_of_a_selection_are_its_rows() {
    let parts = Parts { train: vec![0, 2], test: vec![1], ..Parts::default() };
    let rows = parts.of(&[10, 20, 30]);
    assert_eq!((rows.train, rows.test), (vec![10, 30], vec![20]));
}

#[rstest]
#[case(fractions(0.5, 0.0, 0.0, 0.6, false), "the parts add up to `1.1`, expected at most 1")]
#[case(fractions(-0.5, 0.0, 0.0, 0.5, false), "the `train` part is `-0.5`, expected a fraction from 0 to 1 (inclusive)")]
#[case(
    fractions(f64::NAN, 0.0, 0.0, 0.5, false),
    "the `train` part is `NaN`, expected a fraction from 0 to 1 (inclusive)"
)]
#[case(fractions(0.0, 0.0, 0.0, 0.5, false), "the `train` part is `0`, expected a fraction above 0")]
#[case(fractions(0.95, 0.0, 0.0, 0.05, false), "the `test` part is empty: `0.05` of 8 rows is less than one row")]
#[case(SplitPlan::Folds { folds: 1, fold: 0, stratify: false }, "`folds` is `1`, expected a whole number from 2 to 8, the number of rows (inclusive)")]
#[case(SplitPlan::Folds { folds: 9, fold: 0, stratify: false }, "`folds` is `9`, expected a whole number from 2 to 8, the number of rows (inclusive)")]
#[case(SplitPlan::Folds { folds: 2, fold: 2, stratify: false }, "`fold` is `2`, expected a whole number from 0 (inclusive) to 2 (exclusive)")]
#[case(
    fractions(0.5, 0.0, 0.0, 0.5, true),
    "class number 1 has 1 row, expected at least 2 to keep its share in every part"
)]
fn a_bad_split_is_named(#[case] plan: SplitPlan, #[case] expected: &str) {
    let classes = [0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(split(8, Some(&classes), &plan, 1).unwrap_err().to_string(), expected);
}

#[test]
fn stratifying_needs_classes() {
    let plan = fractions(0.5, 0.0, 0.0, 0.5, true);
    assert!(matches!(split(8, None, &plan, 1), Err(DataError::Split(_))));
}

#[test]
fn a_small_class_names_itself_once_its_names_are_known() {
    let classes = [0, 0, 1, 0];
    let plan = fractions(0.5, 0.0, 0.0, 0.5, true);
    let labels = ["cat".to_owned(), "dog".to_owned()];
    let error = split(4, Some(&classes), &plan, 1).unwrap_err().with_class_names(&labels);
    assert_eq!(error.to_string(), "class `dog` has 1 row, expected at least 2 to keep its share in every part");
}

#[test]
fn rows_are_mixed_in_as_often_as_their_weight_says() {
    let mixed = |weight: f64| {
        let mut parts = Parts { train: vec![0, 1], ..Parts::default() };
        let added = parts.mix(&[10, 12, 14, 16], weight, 7);
        assert_eq!(added + 2, parts.train.len());
        parts.train
    };
    assert_eq!(mixed(1.0), [0, 1, 10, 12, 14, 16]);
    let often = mixed(2.5);
    let counts: Vec<usize> = [10, 12, 14, 16].map(|row| often.iter().filter(|&&one| one == row).count()).to_vec();
    assert_eq!(often.len(), 12);
    assert!(counts.iter().all(|count| (2..=3).contains(count)), "{counts:?}");
    assert_eq!(often, mixed(2.5));
    assert_eq!(mixed(0.1), [0, 1]);
}

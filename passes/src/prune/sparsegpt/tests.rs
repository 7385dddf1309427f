//! `prune/sparsegpt` as a pass: counts, order of layers, what is refused.

use paring_model::{Checkpoint, Weight};
use rstest::rstest;
use serde_json::{Value, json};

use super::SparseGpt;
use crate::builtin;
use crate::testing::{Bench, built, classes, inputs, labels, matrix};

/// Eight rows, of which the two inputs are always equal.
fn bench() -> Bench {
    let rows: Vec<[f64; 2]> = (1..=8).map(|number| [f64::from(number), f64::from(number)]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
    Bench::with_rows(classes(&rows, &["a", "b", "a", "b", "a", "b", "a", "b"]))
}

fn numbers(model: &Checkpoint, name: &str) -> Vec<f32> {
    model.tensor(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Two inputs, two hidden neurons, two classes; no biases.
fn model() -> Checkpoint {
    let mut model = built(&[2], inputs(2), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[1.0, 2.0], &[2.0, 4.0]]));
    model.set_tensor("head.weight", matrix(&[&[1.0, 2.0], &[3.0, 5.0]]));
    for name in ["layers.0.bias", "head.bias"] {
        model.set_tensor(name, model.tensor(name).unwrap().zeros_like().unwrap());
    }
    model
}

/// The first inputs go, the second take over all of them: 1 + 2 and 2 + 4. The hidden neurons, 3x and 6x then, keep
/// their proportion: to lose the first of (1, 2) adds half of it to the second, of (3, 5) a half of 3.
#[test]
fn what_goes_is_made_up_for() {
    let outcome = bench().run::<SparseGpt>(&json!({"pattern": "1:2", "damping": 1e-6}), &model()).unwrap();
    let close = |name: &str, expected: [f32; 4]| {
        let found = numbers(&outcome.model, name);
        assert!(found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-3), "{name}: {found:?}");
    };
    close("layers.0.weight", [0.0, 3.0, 0.0, 6.0]);
    close("head.weight", [0.0, 2.5, 0.0, 6.5]);
    for (name, is_pruned) in [("layers.0.weight", true), ("head.weight", true), ("head.bias", false)] {
        let Weight::Dense { masked, .. } = outcome.model.weight(name).unwrap() else { panic!("{name} is quantized") };
        assert_eq!(masked, is_pruned, "{name}");
    }
    assert_eq!(outcome.receipt.summary, "4 of 8 weights are zero in 2 sites");
    let head = &outcome.receipt.sites["head"];
    assert!(head["output_error"] < head["uncompensated_output_error"] * 1e-3, "{head:?}");
}

#[rstest]
#[case(json!({"sparsity": 0.5}))]
#[case(json!({"sparsity": 0.25}))]
fn counts_of_zeros_are_exact(#[case] parameters: Value) {
    let outcome = bench().run::<SparseGpt>(&parameters, &model()).unwrap();
    let zeros = |name: &str| numbers(&outcome.model, name).iter().filter(|weight| **weight == 0.0).count() as f64;
    for name in ["layers.0.weight", "head.weight"] {
        assert_eq!(zeros(name), 4.0 * parameters["sparsity"].as_f64().unwrap(), "{name}");
    }
}

#[rstest]
#[case(json!({}), "", "has neither `sparsity` nor `pattern`")]
#[case(json!({"pattern": "2:4", "owl": {}}), "/owl", "goes with `sparsity`, which is not given")]
#[case(
    json!({"sparsity": 0.9, "owl": {}}),
    "/owl/lambda",
    "is `0.08`, expected a number from 0 (exclusive) to 0.0500 (exclusive)"
)]
fn parameters_that_do_not_go_together(#[case] parameters: Value, #[case] pointer: &str, #[case] message: &str) {
    let problems = builtin::pass::<SparseGpt>().configure(&parameters).err().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message));
}

#[test]
fn without_rows_nothing_is_planned() {
    let problems = Bench::empty().plan::<SparseGpt>(&json!({"sparsity": 0.5}), &model()).unwrap_err();
    assert_eq!(problems[0].message, "has 0 calibration rows, expected at least 8");
}

/// Pruned and rounded at once: the second input takes over what the first loses, and lands on the grid.
#[test]
fn what_stays_becomes_integers_in_the_same_sweep() {
    let quantize = json!({"bits": 4, "symmetric": true});
    let block = json!({"pattern": "1:2", "damping": 1e-6, "quantize": quantize});
    let outcome = bench().run::<SparseGpt>(&block, &model()).unwrap();
    for name in ["layers.0.weight", "head.weight"] {
        let Weight::Quantized(weight) = outcome.model.weight(name).unwrap() else { panic!("{name} is not quantized") };
        assert!(weight.values.chunks(2).all(|row| row[0] == 0 && row[1] > 0), "{name}: {:?}", weight.values);
    }
    let plain = bench().run::<SparseGpt>(&json!({"pattern": "1:2", "damping": 1e-6}), &model()).unwrap();
    let Weight::Quantized(first) = outcome.model.weight("layers.0.weight").unwrap() else { panic!("not quantized") };
    for (row, (found, wanted)) in
        numbers(&outcome.model, "layers.0.weight").iter().zip(numbers(&plain.model, "layers.0.weight")).enumerate()
    {
        // The grid reaches to about the largest weight of a row before pruning: what is beyond it ends there.
        let scale = first.scales[row / 2];
        let reached = wanted.min(scale * 7.0);
        assert!((found - reached).abs() <= scale / 2.0 + 1e-3, "{row}: {found}, {wanted}");
    }
    assert!(outcome.receipt.summary.contains("what stays"), "{}", outcome.receipt.summary);
    let groups = json!({"sparsity": 0.5, "quantize": {"group_size": 3}});
    let problems = bench().plan::<SparseGpt>(&groups, &model()).unwrap_err();
    assert_eq!(problems[0].pointer, "/quantize/group_size");
}

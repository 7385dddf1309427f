//! `prune/movement` on a network small enough to follow.

use paring_model::{Checkpoint, Weight};
use serde_json::json;

use super::Movement;
use crate::testing::{Bench, built, classes, inputs, labels, matrix};

/// The answer is the first number's sign; the second says nothing.
fn bench() -> Bench {
    let rows: Vec<[f64; 2]> =
        (0..24).map(|row| [f64::from(row) / 4.0 - 2.9, f64::from(row * 7 % 24) / 8.0 - 1.4]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(<[f64; 2]>::as_slice).collect();
    let labels: Vec<&str> = rows.iter().map(|row| if row[0] > 0.0 { "right" } else { "left" }).collect();
    Bench::with_rows(classes(&rows, &labels))
}

/// A linear classifier that looks hard at the number that says nothing, and hardly at the one that does.
fn model() -> Checkpoint {
    let mut model = built(&[], inputs(2), labels(&["left", "right"]));
    model.set_tensor("head.weight", matrix(&[&[-0.1, 2.0], &[0.1, 2.0]]));
    model
}

fn numbers(model: &Checkpoint) -> Vec<f32> {
    model.tensor("head.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Magnitude would keep the second column; training moves the first away from zero, and so it stays.
#[test]
fn weights_that_move_away_from_zero_stay() {
    let block = json!({"sparsity": 0.5, "epochs": 20, "batch_size": 8, "learning_rate": 0.01});
    let outcome = bench().run::<Movement>(&block, &model()).unwrap();
    let found = numbers(&outcome.model);
    assert!(found[0] < -0.1 && found[1] == 0.0 && found[2] > 0.1 && found[3] == 0.0, "{found:?}");
    assert!(matches!(outcome.model.weight("head.weight").unwrap(), Weight::Dense { masked: true, .. }));
    assert_eq!((outcome.receipt.figures["zeros"], outcome.receipt.figures["sparsity"]), (2.0, 0.5));
    assert!(
        outcome.receipt.summary.starts_with("2 of 4 weights are zero in 1 site; trained for"),
        "{:?}",
        outcome.receipt
    );
}

#[test]
fn what_was_zero_never_comes_back() {
    let mut model = model();
    let tensor = matrix(&[&[0.0, 2.0], &[0.1, 2.0]]);
    model.set_weight("head.weight", Weight::Dense { tensor, masked: true });
    let block = json!({"sparsity": 0.5, "epochs": 20, "batch_size": 8, "learning_rate": 0.01});
    let found = numbers(&bench().run::<Movement>(&block, &model).unwrap().model);
    assert!(found[0] == 0.0 && found[2] > 0.1, "{found:?}");
    let block = json!({"sparsity": 0.25, "epochs": 2});
    let failed = bench().run::<Movement>(&block, &model).unwrap_err().to_string();
    assert_eq!(failed, "0.25 of the targeted weights are zero already, which leaves none to 0.25");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let found = |block| {
        let problems = bench().plan::<Movement>(&block, &model()).unwrap_err();
        problems.into_iter().map(|problem| format!("{} {}", problem.pointer, problem.message)).collect::<Vec<_>>()
    };
    let block = json!({"sparsity": 0.5, "begin": 0.8});
    assert_eq!(found(block), ["/end is `0.7`, which is not after `begin`, `0.8`"]);
    let block = json!({"sparsity": 0.5, "freeze": ["head.weight_score"]});
    assert_eq!(found(block), ["/freeze/0 names `head.weight_score`, which matches no weight of the model"]);
}

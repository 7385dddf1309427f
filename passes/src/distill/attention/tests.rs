//! `distill/attention` on a decoder of two layers, whose four heads of queries share two of keys and values.

use serde_json::{Value, json};

use super::Attention;
use crate::testing::transformers::{continuing, decoder};
use crate::testing::{built, inputs, labels};

/// The loss of every epoch; at this rate weights stay as good as they are unless the block says otherwise.
fn losses(student: &[usize], more: Value) -> Vec<f64> {
    let (teacher, bench) = continuing(decoder());
    let mut block = json!({"student": {"layers": student}, "alpha": 1, "temperature": 1, "epochs": 1, "batch_size": 8,
        "learning_rate": 1e-9});
    block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let outcome = bench.run::<Attention>(&block, &teacher).unwrap();
    outcome.receipt.details["train_loss"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect()
}

fn weights(query: f64, key: f64, value: f64) -> Value {
    json!({"query_weight": query, "key_weight": key, "value_weight": value})
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_learn() {
    let loss = losses(&[0, 1], json!({"map": "uniform"}))[0];
    assert!(loss.abs() < 1e-6, "{loss}");
}

#[test]
fn each_kind_of_relation_counts_by_its_weight() {
    let first = |query, key, value| losses(&[0], weights(query, key, value))[0];
    let tiny = 1e-9;
    let answers = first(tiny, 0.0, 0.0);
    let [query, key, value] = [first(1.0, 0.0, 0.0), first(0.0, 1.0, 0.0), first(0.0, 0.0, 1.0)];
    let [query, key, value] = [query, key, value].map(|loss| loss - answers);
    assert!([query, key, value].iter().all(|term| *term > 1e-4), "{query}, {key}, {value}");
    let sum = first(2.0, 1.0, 3.0) - answers;
    assert!((sum - (2.0 * query + key + 3.0 * value)).abs() < 1e-5, "{sum}: {query}, {key}, {value}");
}

/// Layer 0 is a copy of the teacher's layer 0, and reads what that reads.
#[test]
fn layers_are_compared_as_the_recipe_says() {
    let strong = |more: Value| {
        let mut block = weights(1e3, 1e3, 1e3);
        block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        losses(&[0], block)[0]
    };
    let (same, last) = (strong(json!({"teacher_layer": 0})), strong(json!({})));
    assert!(last > 2.0 * same, "{same}, {last}");
    assert_eq!(strong(json!({"map": "first"})), same);
    assert_eq!(strong(json!({"teacher_layers": [1]})), last);
}

#[test]
fn relations_come_closer_in_training() {
    let mut block = weights(50.0, 50.0, 50.0);
    block.as_object_mut().unwrap().extend(json!({"epochs": 60, "learning_rate": 0.01}).as_object().unwrap().clone());
    let loss = losses(&[0], block);
    assert!(loss[59] < loss[0] / 4.0, "{loss:?}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let (teacher, bench) = continuing(decoder());
    let refused = |more: Value| {
        let mut block = json!({"student": {"layers": [0]}});
        block.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let problems = bench.plan::<Attention>(&block, &teacher).unwrap_err();
        problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect::<Vec<_>>()
    };
    let one = |pointer: &str, message: &str| vec![(pointer.to_owned(), message.to_owned())];
    assert_eq!(
        refused(json!({"map": "last", "teacher_layer": 0})),
        one("/map", "cannot be given together with `teacher_layer`")
    );
    let nothing = "all weights of attention are 0, so nothing of it is compared";
    assert_eq!(refused(weights(0.0, 0.0, 0.0)), one("", nothing));
    let layer = "is 2, but the teacher has 2 layers, numbered from 0";
    assert_eq!(refused(json!({"teacher_layer": 2})), one("/teacher_layer", layer));
    let flat = built(&[2], inputs(2), labels(&["a", "b"]));
    let problems = bench.plan::<Attention>(&json!({"student": {"mlp": {"hidden": [2]}}}), &flat).unwrap_err();
    assert_eq!(problems[0].message, "compares attention, but the model has no layers that are alike");
}

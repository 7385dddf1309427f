//! Teachers and students that a stage names, by the passes that take them.

use paring_model::{Checkpoint, Outputs};
use serde_json::{Value, json};

use crate::distill::attention::Attention;
use crate::distill::features::Features;
use crate::distill::logits::Logits;
use crate::pass::Definition;
use crate::testing::transformers::{continuing, decoder, decoder_of, encoder};
use crate::testing::{Bench, built, classes, inputs, labels, matrix};

const NAMES: [&str; 2] = ["left", "right"];

fn bench() -> Bench {
    let rows: [&[f64]; 4] = [&[2.0, 0.0], &[3.0, 1.0], &[0.0, 2.0], &[1.0, 3.0]];
    Bench::with_rows(classes(&rows, &["left", "left", "right", "right"]))
}

/// Says the same of every row: these logits.
fn sure(logits: [f32; 2]) -> Checkpoint {
    let mut model = built(&[], inputs(2), labels(&NAMES));
    model.set_tensor("head.weight", matrix(&[&[0.0, 0.0], &[0.0, 0.0]]));
    model.set_tensor("head.bias", matrix(&[&logits]).squeeze(0).unwrap());
    model
}

/// The first loss of a student that stays as it is.
fn first_loss<D: Definition>(bench: &Bench, block: Value, present: &Checkpoint) -> f64 {
    let mut all = json!({"alpha": 1, "temperature": 1, "epochs": 1, "batch_size": 4, "learning_rate": 1e-9});
    all.as_object_mut().unwrap().extend(block.as_object().unwrap().clone());
    let outcome = bench.run::<D>(&all, present).unwrap();
    outcome.receipt.details["train_loss"][0].as_f64().unwrap()
}

/// One is as sure of the one class as the other of the other: together they know nothing, as the student does.
#[test]
fn what_teachers_say_is_averaged() {
    let mut bench = bench();
    let (left, right) = (sure([1.0, 0.0]), sure([0.0, 1.0]));
    bench.models = [("right".to_owned(), right), ("student".to_owned(), sure([3.0, 3.0]))].into();
    let loss = |teacher: Value| {
        first_loss::<Logits>(&bench, json!({"student": {"load": "student"}, "teacher": teacher}), &left)
    };
    assert!(loss(json!(["present", {"load": "right"}])).abs() < 1e-6);
    // ln 2 less the entropy of sigmoid(1), which is .582203.
    for alone in [json!("present"), json!({"load": "right"}), json!([{"load": "right"}])] {
        let loss = loss(alone);
        assert!((loss - (2.0_f64.ln() - 0.582_203)).abs() < 1e-5, "{loss}");
    }
}

#[test]
fn a_student_of_a_file_goes_on_from_its_weights() {
    let mut bench = bench();
    let student = built(&[3], inputs(2), labels(&NAMES));
    bench.models = [("student".to_owned(), student.clone())].into();
    let block = json!({"student": {"load": "student"}, "epochs": 1, "batch_size": 4, "learning_rate": 1e-9});
    let outcome = bench.run::<Logits>(&block, &sure([1.0, 0.0])).unwrap();
    let numbers = |model: &Checkpoint| model.tensor("layers.0.weight").unwrap().to_vec2::<f32>().unwrap();
    for (found, expected) in numbers(&outcome.model).concat().iter().zip(numbers(&student).concat()) {
        assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
    }
}

#[test]
fn the_present_model_learns_from_another() {
    let mut bench = bench();
    bench.models = [("teacher".to_owned(), sure([4.0, 0.0]))].into();
    let block = json!({"student": "present", "teacher": {"load": "teacher"}, "alpha": 1, "epochs": 200,
        "batch_size": 4, "learning_rate": 0.05});
    let present = sure([0.0, 4.0]);
    let outcome = bench.run::<Logits>(&block, &present).unwrap();
    assert_eq!(outcome.receipt.figures["agreement"], 1.0, "{:?}", outcome.receipt);
    let alone = bench.plan::<Logits>(&json!({"student": "present"}), &present).unwrap_err();
    assert_eq!(alone[0].message, "is the present model, which is its only teacher");
}

/// Hidden states of 8 numbers against 16 of the teacher's, and attention of another width of heads.
#[test]
fn a_narrower_student_learns_what_lies_within_a_wider_teacher() {
    let (present, mut bench) = continuing(decoder());
    bench.models = [("wide".to_owned(), decoder_of(16))].into();
    let block = json!({"student": "present", "teacher": {"load": "wide"}, "weight": 1000.0, "alpha": 1, "epochs": 40,
        "batch_size": 8, "learning_rate": 0.01});
    let outcome = bench.run::<Features>(&block, &present).unwrap();
    let loss = &outcome.receipt.details["train_loss"];
    assert!(loss[39].as_f64().unwrap() < loss[0].as_f64().unwrap() / 2.0, "{loss:?}");
    assert_eq!(outcome.model.names(), present.names());
    let known = json!({"student": "present", "teacher": {"load": "wide"}, "freeze": ["hidden_projection.weight"]});
    assert!(bench.plan::<Features>(&known, &present).is_ok());
    let same = json!({"student": {"layers": [0]}, "freeze": ["hidden_projection.weight"]});
    assert_eq!(bench.plan::<Features>(&same, &present).unwrap_err()[0].pointer, "/freeze/0");
    let attention = json!({"student": "present", "teacher": {"load": "wide"}});
    assert!(first_loss::<Attention>(&bench, attention, &present) > 1e-4);
}

#[test]
fn what_does_not_suit_the_present_model_is_refused() {
    let mut bench = bench();
    bench.models = [
        ("turned", built(&[], inputs(2), labels(&["right", "left"]))),
        ("more", built(&[], inputs(2), labels(&["left", "right", "up"]))),
        ("narrow", built(&[], inputs(1), labels(&NAMES))),
        ("vectors", built(&[], inputs(2), Outputs::Embed { width: 2, pair: None, score: None })),
        ("texts", encoder()),
        ("part", sure([1.0, 0.0]).part(&["head.weight".to_owned()])),
    ]
    .map(|(name, model)| (name.to_owned(), model))
    .into();
    let refused = |block: Value| {
        let problems = bench.plan::<Logits>(&block, &sure([1.0, 0.0])).unwrap_err();
        problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect::<Vec<_>>()
    };
    let student = json!({"mlp": {"hidden": [2]}});
    for (name, message) in [
        ("turned", "tells the classes `right`, `left`, but the present model `left`, `right`, in this order"),
        ("more", "gives 3 numbers, but the present model 2"),
        ("narrow", "reads other inputs than the present model"),
        ("vectors", "embeds, but the present model tells classes"),
        ("texts", "reads texts, but the present model columns of numbers"),
        ("part", "names no model of a known family with its weights"),
    ] {
        let found = refused(json!({"student": student, "teacher": ["present", {"load": name}]}));
        assert_eq!(found, [("/teacher/1/load".to_owned(), message.to_owned())]);
        let found = refused(json!({"student": {"load": name}}));
        assert_eq!(found, [("/student/load".to_owned(), message.to_owned())]);
    }
    let twice = refused(json!({"student": student, "teacher": ["present", "present"]}));
    assert_eq!(twice, [("/teacher/1".to_owned(), "names a teacher that is named before it".to_owned())]);
}

//! Runs that learn from a teacher.

use candle_core::{Device, Tensor};
use paring_data::{Examples, Targets};
use paring_model::{Checkpoint, Outputs};

use super::{Note, everything, fit, inputs, mlp, run, same_sign, settings, share_right, two_classes};
use crate::fit::inside::{self, Inside};
use crate::fit::{Distance, FitSettings, Hidden, Teacher};
use crate::loss::{cosine_distance, squared_difference};
use crate::rng::Stream;
use crate::schedule::Schedule;

#[test]
fn a_student_follows_its_teacher_and_not_the_labels() {
    let rows = same_sign(128, 2, "train");
    let Targets::Classes(truth) = &rows.targets else { panic!("no classes") };
    let mut teaching = mlp(&[16], 2, 0.0, two_classes());
    run(&mut teaching, &rows, &settings(40)).unwrap();
    let wrong = Targets::Classes(truth.iter().map(|&class| 1 - class).collect());
    let lied = Examples { inputs: rows.inputs.clone(), targets: wrong };
    let mut model = mlp(&[16], 2, 0.0, two_classes());
    let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
    let teacher = Teacher { temperature: 2.0, ..teacher(&teaching) };
    fit(&mut model, &lied, None, Some(teacher), &settings(40), &Stream::new(3), &mut watch).unwrap();
    let right = share_right(&model, &rows);
    assert!(right > 0.95, "{right}");
}

fn teacher(model: &Checkpoint) -> Teacher<'_> {
    Teacher::new(std::slice::from_ref(model))
}

/// The teachers say 3 and 5 in the student's terms: 1 in units of 3, and 2 in units of 2 above 1.
#[test]
fn numbers_of_several_teachers_are_averaged_in_the_students_unit() {
    let says = |number: f32, mean: f64, scale: f64| {
        let mut model = mlp(&[], 2, 0.0, Outputs::Regress { column: "y".to_owned(), mean, scale });
        model.set_tensor("head.weight", Tensor::zeros((1, 2), candle_core::DType::F32, &Device::Cpu).unwrap());
        model.set_tensor("head.bias", Tensor::new(&[number], &Device::Cpu).unwrap());
        model
    };
    let teachers = [says(1.0, 0.0, 3.0), says(2.0, 1.0, 2.0)];
    let (mut student, rows) = (says(4.0, 0.0, 1.0), inputs(16, 2, "train"));
    let rows = Examples { inputs: rows.into(), targets: Targets::Values(vec![9.0; 16]) };
    let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
    let settings = FitSettings { learning_rate: 1e-9, ..settings(1) };
    let teacher = Teacher::new(&teachers);
    let report = fit(&mut student, &rows, None, Some(teacher), &settings, &Stream::new(3), &mut watch).unwrap();
    assert!(report.train_loss[0] < 1e-9, "{:?}", report.train_loss);
    let teacher = Teacher::new(&teachers[1..]);
    let report = fit(&mut student, &rows, None, Some(teacher), &settings, &Stream::new(3), &mut watch).unwrap();
    assert!((report.train_loss[0] - 1.0).abs() < 1e-6, "{:?}", report.train_loss);
}

fn rows_to_embed(name: &str) -> Examples {
    Examples { inputs: inputs(64, 4, name).into(), targets: Targets::None }
}

/// Lengths are free under the cosine, and not under the squared error; and validation rows are judged by the teacher.
#[test]
fn embeddings_are_learnt_from_a_teacher_alone() {
    let vector = Outputs::Embed { width: 3, pair: None, score: None };
    let teaching = mlp(&[12], 4, 0.0, vector.clone());
    let (train, validate) = (rows_to_embed("train"), rows_to_embed("validate"));
    let trained = |distance| {
        let mut model = mlp(&[8], 4, 0.0, vector.clone());
        let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
        let teacher = Teacher { distance, ..teacher(&teaching) };
        let settings = FitSettings { early_stopping: Some(40), ..settings(60) };
        fit(&mut model, &train, Some(&validate), Some(teacher), &settings, &Stream::new(3), &mut watch)
            .map(|report| (report, model))
    };
    for distance in [Distance::Cosine, Distance::SquaredError] {
        let (report, model) = trained(distance).unwrap();
        let [own, wanted] = [&model, &teaching].map(|model| model.predict(&validate.inputs, 64).unwrap());
        let found = match distance {
            Distance::Cosine => cosine_distance(&own, &wanted),
            Distance::SquaredError => squared_difference(&own, &wanted, None),
        };
        let found = found.unwrap().to_scalar::<f32>().unwrap();
        let kept = report.validate_loss[report.best_epoch - 1];
        assert!((found - kept).abs() < 1e-6, "{found}, {kept}");
        assert!(kept < report.validate_loss[0] / 4.0, "{:?}", report.validate_loss);
    }
    let mut alone = mlp(&[8], 4, 0.0, vector.clone());
    assert_eq!(
        run(&mut alone, &train, &settings(1)).unwrap_err().to_string(),
        "the rows have no answers to learn from"
    );
}

#[test]
fn hidden_states_follow_those_of_the_teacher() {
    let rows = same_sign(64, 2, "train");
    let teaching = mlp(&[8, 8], 2, 0.0, two_classes());
    let hidden = Hidden { pairs: vec![(0, 1)], weight: 10.0, widths: [8, 8] };
    let difference = |weight: f64| {
        let hidden = Hidden { weight, ..hidden.clone() };
        let mut model = mlp(&[8], 2, 0.0, two_classes());
        let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
        let teacher = Teacher { hidden: Some(&hidden), ..teacher(&teaching) };
        fit(&mut model, &rows, None, Some(teacher), &settings(40), &Stream::new(3), &mut watch).unwrap();
        let states = |model: &Checkpoint, block: usize| {
            let network = model.network().unwrap();
            let input = rows.inputs.batch(&(0..64).collect::<Vec<_>>()).unwrap();
            let mut forward = paring_model::Forward::inference();
            let inside = Inside { blocks: vec![block], ..Inside::default() };
            inside::run(network.as_ref(), &input, &inside, &mut forward).unwrap().hidden.remove(0)
        };
        let (own, wanted) = (states(&model, 0), states(&teaching, 1));
        squared_difference(&own, &wanted, None).unwrap().to_scalar::<f32>().unwrap()
    };
    let (with, without) = (difference(10.0), difference(0.0));
    assert!(with < without / 10.0, "{with}, {without}");
}

/// The teacher's eight states are those of the student and their doubles, and both give the same answers: a map that is
/// trained alone brings the loss to zero; one that is frozen does not move. Nothing of it stays in the model.
#[test]
fn states_of_another_width_are_compared_after_a_learned_map() {
    let rows = same_sign(64, 2, "train");
    let student = mlp(&[4], 2, 0.0, two_classes());
    let mut teaching = mlp(&[8], 2, 0.0, two_classes());
    for (name, axis, factor) in [("layers.0.weight", 0, 2.0), ("layers.0.bias", 0, 2.0), ("head.weight", 1, 0.0)] {
        let own = student.tensor(name).unwrap();
        teaching.set_tensor(name, Tensor::cat(&[&own, &(&own * factor).unwrap()], axis).unwrap());
    }
    teaching.set_tensor("head.bias", student.tensor("head.bias").unwrap());
    let hidden = Hidden { pairs: vec![(0, 0)], weight: 1.0, widths: [4, 8] };
    let trained = |freeze: &[&str]| {
        let mut model = student.clone();
        let mut watch = Note { rates: Vec::new(), limit: usize::MAX };
        let teacher = Teacher { hidden: Some(&hidden), ..teacher(&teaching) };
        let freeze = freeze.iter().map(|&glob| glob.to_owned()).collect();
        let settings = FitSettings { freeze, schedule: Schedule::Constant, ..settings(200) };
        let report = fit(&mut model, &rows, None, Some(teacher), &settings, &Stream::new(3), &mut watch).unwrap();
        (report.train_loss, model)
    };
    let (loss, model) = trained(&["layers.*", "head.*"]);
    assert!(loss[0] > 0.1 && loss[199] < loss[0] / 1000.0, "{loss:?}");
    assert_eq!(everything(&model), everything(&student));
    assert_eq!(model.names(), student.names());
    let (frozen, _) = trained(&["layers.*", "head.weight", "hidden_projection.*"]);
    assert!(frozen[199] > loss[0] / 2.0, "{frozen:?}");
}

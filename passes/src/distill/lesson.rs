//! What passes with a teacher share: what stands against them, the training, and how close the student came.

use paring_data::{Examples, Part};
use paring_model::{Checkpoint, Inputs, Outline, Outputs, Task, depth};
use paring_train::fit::{Extras, FitSettings, Held, Lesson, Teacher, fit_with};
use paring_train::measure::{self, LatencySettings};

use super::student::Student;
use super::teachers::Teachers;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::receipt::{Outcome, Receipt};
use crate::training;

/// Rows that run through a model at a time.
const BATCH: usize = 256;

/// Most rows, and most windows of tokens, that student and teacher are compared on.
const COMPARED: [usize; 2] = [1024, 8];

/// What stands against a teacher.
pub(super) fn problems(settings: &FitSettings, cx: &PlanCx<'_>) -> Vec<Problem> {
    let mut problems = training::problems(settings, cx);
    if !cx.outline.built || cx.outline.config.is_none() {
        let message = "the model has no weights yet, so it cannot teach";
        problems.push(Problem::new("", message).help("train it first: `- train/fit: {}`"));
    }
    problems
}

/// The task of a model.
pub(super) fn task(outline: &Outline) -> Option<Task> {
    outline.outputs.as_ref().map(Outputs::task)
}

/// Who learns and who teaches, as outlines; what is wrong with them goes to the `problems`.
pub(super) fn roles(
    student: &Student,
    teachers: &Teachers,
    present: &Outline,
    problems: &mut Vec<Problem>,
) -> Option<(Outline, Vec<Outline>)> {
    if *student == Student::Present && teachers.is_present() {
        let help = "name another teacher: `teacher: { load: some/model }`";
        problems.push(Problem::new("/student", "is the present model, which is its only teacher").help(help));
    }
    let student = student.outline(present).map_err(|problem| problems.push(problem));
    let teachers = teachers.outlines(present).map_err(|found| problems.extend(found));
    student.ok().zip(teachers.ok())
}

/// What stands against keeping the `top_k` most likely tokens of a teacher's answers; `inside` is the parameter that
/// looks within the teacher, if one does.
pub(super) fn top_k_problem(top_k: Option<usize>, present: &Outline, inside: Option<&str>) -> Option<Problem> {
    let (count, place) = (top_k?, "/top_k");
    if task(present) != Some(Task::Generate) {
        let message = "keeps tokens, but the model continues no texts";
        return Some(Problem::new(place, message).help("remove `top_k`: all answers are kept anyway"));
    }
    if let Some(name) = inside {
        let message = format!("does not go together with `{name}`, for which the teacher runs on each batch");
        return Some(Problem::new(place, message).help("remove one of the two"));
    }
    let vocabulary = present.config.as_ref().map_or(0, |config| config.output);
    let message = || format!("is {count}, but the model knows {vocabulary} tokens");
    (count >= vocabulary).then(|| Problem::new(place, message()).help("`top_k: 64` keeps most of what is said"))
}

/// How much room on disk these tokens take.
pub(super) fn top_k_note(top_k: Option<usize>, cx: &PlanCx<'_>) -> Option<String> {
    let windows = cx.parts.map_or(0, |parts| parts.train.len());
    let length = cx.outline.inputs.as_ref().map_or(0, Inputs::width).saturating_sub(1);
    let megabytes = (windows * length * (top_k? * 8 + 4)) as f64 / 1e6;
    Some(format!("the teacher's answers take {megabytes:.1} MB on disk until the stage is done"))
}

/// The effect of a student that takes the place of the present model.
pub(super) fn effect(settings: &FitSettings, (student, teachers): (&Outline, &[Outline]), cx: &PlanCx<'_>) -> Effect {
    let mut effect = training::effect(settings, student, cx);
    let taught = student.parameters();
    let teaching = teachers.iter().map(Outline::parameters).max().unwrap_or_default();
    if taught >= teaching {
        effect.notes.push(format!("the student has {taught} parameters, no fewer than the teacher's {teaching}"));
    }
    let beside = teachers.iter().filter(|teacher| *teacher != cx.outline);
    effect.memory = effect.memory.saturating_add(beside.map(Outline::file_size).sum());
    effect
}

/// Trains the student on rows as the present model reads them, its integers as `held` says, and tells in the receipt
/// how close it came to its teacher, the first where there are several.
///
/// # Errors
/// When there are no rows, they do not fit, or training diverges.
pub(super) fn teach(
    cx: &Cx<'_>,
    present: &Checkpoint,
    teacher: Teacher<'_>,
    (mut student, held): (Checkpoint, Option<Held>),
    settings: &FitSettings,
) -> Result<Outcome, PassError> {
    let rows = cx.required_examples(Part::Train, present)?;
    let judges = cx.examples(Part::Validate, present)?;
    let lesson = Lesson { train: &rows, validate: judges.as_ref(), teacher: Some(teacher) };
    let (stream, extras) = (cx.stream.split("fit"), Extras { held, ..Extras::default() });
    let report = fit_with(&mut student, lesson, extras, settings, &stream, &mut cx.watch(settings))?;
    let mut receipt = training::receipt(settings, &report)?;
    let name = if teacher.models.len() > 1 { "the first teacher" } else { "the teacher" };
    compare(&mut receipt, (first(teacher.models, present), name), &student, judges.as_ref().unwrap_or(&rows))?;
    Ok(Outcome { model: student, receipt })
}

/// The teacher that what lies within networks is learned from.
pub(super) fn first<'a>(teachers: &'a [Checkpoint], present: &'a Checkpoint) -> &'a Checkpoint {
    teachers.first().unwrap_or(present)
}

/// Layers of a transformer; those of other families are not alike.
pub(super) fn layers(outline: &Outline) -> usize {
    depth::layers(outline).len()
}

/// Adds how close the student came to the teacher on these rows: the share of rows with the same class, or of tokens
/// after which both expect the same; the root mean squared difference of the numbers, in the unit of the answers; the
/// mean cosine of the embeddings.
fn compare(
    receipt: &mut Receipt,
    (teacher, teachers_name): (&Checkpoint, &str),
    student: &Checkpoint,
    rows: &Examples,
) -> Result<(), PassError> {
    let most = COMPARED[usize::from(task(&student.outline()) == Some(Task::Generate))];
    let rows = Examples { inputs: rows.inputs.head(most), targets: rows.targets.clone() };
    let answers = |model: &Checkpoint| -> Result<Vec<Vec<f32>>, PassError> {
        let outputs = model.predict(&rows.inputs, BATCH)?;
        let outputs = match (model.outputs(), student.outputs()) {
            (Some(own), Some(wanted)) => own.rescaled(&outputs, wanted)?,
            _ => outputs,
        };
        Ok(outputs.to_vec2::<f32>()?)
    };
    let beside = |name: &str| -> Result<f64, PassError> {
        let found = measure::measure(name, student, Some(&rows), Some(teacher), &LatencySettings::default())?;
        found.first().map(|(_, value)| *value).ok_or_else(|| PassError::Failed(format!("`{name}` was not measured")))
    };
    let (name, value) = match student.outputs() {
        Some(Outputs::Regress { scale, .. }) => {
            ("difference", difference(&answers(teacher)?, &answers(student)?) * scale)
        }
        Some(Outputs::Embed { .. }) => ("cosine", beside("cosine")?),
        Some(Outputs::Generate { .. }) => ("agreement", beside("top1_agreement")?),
        _ => ("agreement", agreement(&answers(teacher)?, &answers(student)?)),
    };
    let told = match student.outputs().map(Outputs::task) {
        Some(Task::Regress) => format!("{value:.4} from {teachers_name}"),
        Some(Task::Embed) => format!("mean cosine {value:.4} to {teachers_name}"),
        Some(Task::Generate) => format!("expects {teachers_name}'s token after {:.1}% of tokens", value * 100.0),
        _ => format!("agrees with {teachers_name} on {:.1}% of rows", value * 100.0),
    };
    receipt.summary = format!("{}; {told}", receipt.summary);
    let parameters = [teacher, student].map(|model| model.outline().parameters() as f64);
    receipt.figures.insert(name.to_owned(), value);
    receipt.figures.insert("teacher_parameters".to_owned(), parameters[0]);
    receipt.figures.insert("student_parameters".to_owned(), parameters[1]);
    Ok(())
}

fn agreement(told: &[Vec<f32>], said: &[Vec<f32>]) -> f64 {
    let same = told.iter().zip(said).filter(|(one, other)| largest(one) == largest(other)).count();
    same as f64 / told.len().max(1) as f64
}

fn difference(told: &[Vec<f32>], said: &[Vec<f32>]) -> f64 {
    let pairs = || told.iter().flatten().zip(said.iter().flatten());
    let squared: f64 = pairs().map(|(one, other)| f64::from(one - other).powi(2)).sum();
    (squared / pairs().count().max(1) as f64).sqrt()
}

/// The place of the largest number; the first of equal ones.
fn largest(row: &[f32]) -> Option<usize> {
    let better = |best: usize, place: usize| if row.get(place) > row.get(best) { place } else { best };
    (0..row.len()).reduce(better)
}

#[cfg(test)]
mod tests {
    use super::{agreement, difference};

    #[test]
    fn agreement_and_difference_by_hand() {
        let told = [vec![1.0, 0.0], vec![0.0, 1.0]];
        assert_eq!(agreement(&told, &[vec![3.0, 2.0], vec![5.0, 4.0]]), 0.5);
        assert_eq!(difference(&[vec![1.0], vec![2.0]], &[vec![4.0], vec![6.0]]), 12.5_f64.sqrt());
    }
}

//! `distill/logits`: a student that learns from the outputs of the present model.

use paring_data::{Examples, Part};
use paring_model::config::Spec;
use paring_model::{Checkpoint, Inputs, Outline, Outputs, Task, families};
use paring_train::fit::{FitSettings, Teacher, fit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::training;

/// Rows that run through a model at a time.
const BATCH: usize = 256;

/// Trains a new, usually smaller model to answer as the present one does, and goes on with it.
///
/// # What it does
/// The present model is the teacher: it answers every training row once. The student, built from nothing, is trained on
/// a mix of two losses: how far its answers are from the teacher's, and how far from the labels. For classes the first
/// is the divergence of the two softmax distributions, both softened by the temperature, times the temperature squared;
/// for numbers it is the mean squared difference. The student reads raw rows exactly as the teacher does (its encodings,
/// scaling, selected features) and takes the teacher's place.
///
/// # When to use
/// Where the model shall become several times smaller, or of another family. After a teacher that is well trained: the
/// student learns from it how alike the classes are, which the labels do not say. Before pruning and quantization.
///
/// # When not to
/// Where a student of the size reaches the same with `train/fit` alone: distillation costs a teacher. Where the model
/// must stay of the same shape. The teacher may be pruned or quantized; the student has none of that.
///
/// # Parameters
/// `student` is a family and its settings, as under `model`. `temperature` softens both distributions: from 2 to 10 for
/// many classes, near 1 where the teacher is unsure by itself; it means nothing for numbers. `alpha` is the weight of
/// the teacher's loss; the labels have the rest. All others are those of `train/fit`: `epochs`, `batch_size`,
/// `accumulate`, `learning_rate`, `learning_rates`, `freeze`, `optimizer`, `schedule`, `warmup_epochs`, `clip_norm`,
/// `early_stopping`, `label_smoothing` and `class_weights` (the last two for the labels' loss). A student profits from
/// more epochs than its teacher had.
///
/// # Cost and limits
/// One pass of the training rows through the teacher, whose outputs stay in memory, and the training of the student.
///
/// # Source
/// Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network", section 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogitsParameters {
    /// The student: one key, the family, with its settings.
    #[schemars(example = student_example())]
    pub student: Spec,
    /// Softmax temperature, from 0.1 (inclusive) to 100 (inclusive).
    #[serde(default = "four")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub temperature: f64,
    /// Weight of the teacher's loss, from 0 (inclusive, labels only) to 1 (inclusive, teacher only).
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// The training run.
    #[serde(flatten)]
    pub settings: FitSettings,
}

fn student_example() -> serde_json::Value {
    serde_json::json!({ "mlp": { "hidden": [32] } })
}

fn four() -> f64 {
    4.0
}

fn half() -> f64 {
    0.5
}

/// The pass.
pub struct Logits;

impl Definition for Logits {
    type Parameters = LogitsParameters;

    const INFO: PassInfo = PassInfo {
        id: "distill/logits",
        summary: "train a smaller model to answer as the present one does",
        version: 1,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::Family],
        leaves: &[Leaves::BuiltModel, Leaves::NewModel, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &LogitsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = training::problems(&parameters.settings, cx);
        if !cx.outline.built || cx.outline.config.is_none() {
            let message = "the model has no weights yet, so it cannot teach";
            problems.push(Problem::new("", message).help("train it first: `- train/fit: {}`"));
        }
        let student = student(parameters, cx.outline).map_err(|problem| problems.push(problem)).ok();
        problems.extend(student.iter().flat_map(|outline| training::glob_problems(&parameters.settings, outline)));
        let Some(outline) = student.filter(|_| problems.is_empty()) else { return Err(problems) };
        let mut notes = training::notes(&parameters.settings, cx);
        let (taught, teaching) = (outline.parameters(), cx.outline.parameters());
        if taught >= teaching {
            notes.push(format!("the student has {taught} parameters, no fewer than the teacher's {teaching}"));
        }
        let touches = outline.sites().unwrap_or_default().into_iter().map(|site| site.name).collect();
        let memory = training::memory(&outline, cx);
        Ok(Effect { touches, memory, notes, ..Effect::same_shape(&outline) })
    }

    fn run(parameters: &LogitsParameters, cx: &mut Cx<'_>, teacher: Checkpoint) -> Result<Outcome, PassError> {
        let (inputs, outputs) = ends(teacher.inputs(), teacher.outputs())?;
        let mut student = training::initialize(&parameters.student, inputs, outputs, &cx.stream.split("weights"))?;
        let rows = cx.required_examples(Part::Train, &teacher)?;
        let judges = cx.examples(Part::Validate, &teacher)?;
        let (temperature, alpha) = (parameters.temperature, parameters.alpha);
        let lesson = Teacher { outputs: teacher.predict(&rows.inputs, BATCH)?, temperature, alpha };
        let (settings, stream) = (&parameters.settings, cx.stream.split("fit"));
        let report = fit(&mut student, &rows, judges.as_ref(), Some(&lesson), settings, &stream, &mut cx.watch())?;
        let mut receipt = training::receipt(&report);
        compare(&mut receipt, &teacher, &student, judges.as_ref().unwrap_or(&rows))?;
        Ok(Outcome { model: student, receipt })
    }
}

fn student(parameters: &LogitsParameters, teacher: &Outline) -> Result<Outline, Problem> {
    let (inputs, outputs) =
        ends(teacher.inputs.as_ref(), teacher.outputs.as_ref()).map_err(|error| Problem::new("", error.to_string()))?;
    families::blueprint(&parameters.student, inputs, outputs)
        .map_err(|error| Problem::new("/student", error.to_string()))
}

fn ends<'a>(inputs: Option<&'a Inputs>, outputs: Option<&'a Outputs>) -> Result<(&'a Inputs, &'a Outputs), PassError> {
    let unknown = || PassError::Failed("the teacher does not say how it reads raw rows".to_owned());
    inputs.zip(outputs).ok_or_else(unknown)
}

/// Adds how close the student came to the teacher on these rows: the share of rows with the same class, or the root
/// mean squared difference of the numbers, in the unit of the answers.
fn compare(
    receipt: &mut Receipt,
    teacher: &Checkpoint,
    student: &Checkpoint,
    rows: &Examples,
) -> Result<(), PassError> {
    let answers = |model: &Checkpoint| -> Result<Vec<Vec<f32>>, PassError> {
        Ok(model.predict(&rows.inputs, BATCH)?.to_vec2::<f32>()?)
    };
    let (told, said) = (answers(teacher)?, answers(student)?);
    let parameters = [teacher, student].map(|model| model.outline().parameters() as f64);
    let (name, value) = match student.outputs() {
        Some(Outputs::Regress { scale, .. }) => ("difference", difference(&told, &said) * scale),
        _ => ("agreement", agreement(&told, &said)),
    };
    receipt.summary = match student.outputs().map(Outputs::task) {
        Some(Task::Regress) => format!("{}; {value:.4} from the teacher", receipt.summary),
        _ => format!("{}; agrees with the teacher on {:.1}% of rows", receipt.summary, value * 100.0),
    };
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
    use serde_json::json;

    use super::{Logits, agreement, difference};
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

    #[test]
    fn agreement_and_difference_by_hand() {
        let told = [vec![1.0, 0.0], vec![0.0, 1.0]];
        assert_eq!(agreement(&told, &[vec![3.0, 2.0], vec![5.0, 4.0]]), 0.5);
        assert_eq!(difference(&[vec![1.0], vec![2.0]], &[vec![4.0], vec![6.0]]), 12.5_f64.sqrt());
    }

    fn bench() -> Bench {
        let rows: [&[f64]; 6] = [&[2.0, 0.0], &[3.0, 1.0], &[1.0, -1.0], &[0.0, 2.0], &[1.0, 3.0], &[-1.0, 1.0]];
        Bench::with_rows(classes(&rows, &["left", "left", "left", "right", "right", "right"]))
    }

    #[test]
    fn with_alpha_one_the_student_follows_the_teacher_and_not_the_labels() {
        // The teacher says `right` where x0 > x1; the labels say the opposite.
        let mut teacher = built(&[], inputs(2), labels(&["left", "right"]));
        let weight = crate::testing::matrix(&[&[-1.0, 1.0], &[1.0, -1.0]]);
        teacher.set_tensor("head.weight", weight);
        let block = json!({"student": {"mlp": {"hidden": [4]}}, "alpha": 1, "temperature": 1, "epochs": 80,
            "batch_size": 6, "learning_rate": 0.05});
        let outcome = bench().run::<Logits>(&block, &teacher).unwrap();
        assert_eq!(outcome.receipt.figures["agreement"], 1.0, "{:?}", outcome.receipt);
        assert_eq!(outcome.receipt.figures["student_parameters"], 22.0);
    }

    #[test]
    fn a_model_without_weights_cannot_teach() {
        let model = unbuilt(&[8], inputs(2), labels(&["left", "right"]));
        let problems = bench().plan::<Logits>(&json!({"student": {"mlp": {"hidden": [4]}}}), &model).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "the model has no weights yet, so it cannot teach");
    }

    #[test]
    fn a_student_that_is_not_smaller_is_noted() {
        let model = built(&[2], inputs(2), labels(&["left", "right"]));
        let effect = bench().plan::<Logits>(&json!({"student": {"mlp": {"hidden": [2]}}}), &model).unwrap();
        assert_eq!(effect.notes, ["the student has 12 parameters, no fewer than the teacher's 12"]);
    }

    #[test]
    fn a_student_that_does_not_fit_is_a_problem_of_its_settings() {
        let model = built(&[2], inputs(2), labels(&["left", "right"]));
        let block = json!({"student": {"convnet": {"layers": [{"global_average_pool": {}}]}}});
        let problems = bench().plan::<Logits>(&block, &model).unwrap_err();
        assert_eq!(problems[0].pointer, "/student");
    }
}

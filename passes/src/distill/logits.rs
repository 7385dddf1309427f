//! `distill/logits`: a student that learns from the outputs of the present model.

use paring_model::{Checkpoint, Task};
use paring_train::fit::{FitSettings, Teacher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lesson;
use super::student::Student;
use super::teachers::{Teachers, teacher_example};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, NamedModel, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;

/// Trains a new, usually smaller model to answer as the present one does, and goes on with it.
///
/// # What it does
/// The teacher, the present model unless `teacher` names another, answers every training row once. The student, built
/// from nothing, a copy of some of the present model's layers, or a model of a file, is trained on a mix of two losses:
/// how far its answers are from the teacher's, and how far from the labels. For classes the first is the divergence of
/// the two softmax distributions, both softened by the temperature, times the temperature squared; for numbers it is
/// the mean squared difference; for a model that continues texts it is the divergence at every token but the last of a
/// window. Of several teachers the mean counts: of their softmax distributions at the temperature, or of their numbers.
/// The student reads raw rows exactly as the present model does (its encodings, scaling, selected features) and takes
/// its place.
///
/// # When to use
/// Where the model shall become several times smaller, or of another family. After a teacher that is well trained: the
/// student learns from it how alike the classes are, which the labels do not say. Before pruning and quantization.
///
/// # When not to
/// Where a student of the size reaches the same with `train/fit` alone: distillation costs a teacher. Where the model
/// must stay of the same shape: `distill/self`. For embeddings: `distill/embeddings`. The teacher may be pruned or
/// quantized; a student from nothing has none of that, and a copy keeps the zeros of masked weights.
///
/// # Parameters
/// `student` is a family and its settings, as under `model`; or `layers`, a list of the present model's layers,
/// numbered from 0, that the student is a copy of; or `width`, the share of each layer's units (neurons, heads,
/// channels) that the student is a copy of, those of the largest weights; or `load`, the path of a model that is
/// trained on from its weights; or `present`, the present model itself, where another teaches. `teacher` is `present`,
/// `{ load: PATH }`, or a list of these. What is loaded reads the rows that the present model reads (the same inputs,
/// or the same tokenizer) and gives the same answers (the same classes in the same order, as many numbers).
/// `temperature` softens both distributions: from 2 to 10 for many classes, near 1 where the teacher is unsure by
/// itself; it means nothing for numbers. `alpha` is the weight of the teacher's loss; the labels have the rest. Where
/// texts are continued, `top_k` lets the teacher answer once: of what may follow each token that many of the most
/// likely ones are kept on disk, and all others count as one. All others are those of `train/fit`; `label_smoothing`
/// and `class_weights` are for the labels' loss. A student profits from more epochs than its teacher had.
///
/// # Cost and limits
/// One pass of the training rows through each teacher, whose outputs stay in memory, and the training of the student. A
/// teacher that continues texts answers each batch anew instead, in every epoch, unless `top_k` is given: then 8 bytes
/// are kept for each of these tokens. All models are in memory.
///
/// # Source
/// Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network", section 2; for several teachers
/// sections 1 and 3, the mean of an ensemble's distributions. Muralidharan et al. 2024, "Compact Language Models via
/// Pruning and Knowledge Distillation", section 3, for narrow copies as students; Anshumann et al. 2025, "Sparse Logit
/// Sampling", section 3, for `top_k` with a token that stands for all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogitsParameters {
    /// The student: a family with its settings, `layers`, `width`, `load`, or `present`.
    #[schemars(example = student_example())]
    pub student: Student,
    /// Who teaches: `present`, the model before this stage; a model of a directory or a file; or a list of them.
    #[serde(default, skip_serializing_if = "Teachers::is_present")]
    #[schemars(example = teacher_example())]
    pub teacher: Teachers,
    /// Softmax temperature, from 0.1 (inclusive) to 100 (inclusive).
    #[serde(default = "four")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub temperature: f64,
    /// Weight of the teacher's loss, from 0 (inclusive, labels only) to 1 (inclusive, teacher only).
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// Of a text: how many of the tokens that the teacher holds most likely to follow each token are kept, on disk, for
    /// all epochs. Without it the teacher answers each batch anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), example = 64)]
    pub top_k: Option<usize>,
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
        version: 2,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::Family],
        leaves: &[Leaves::BuiltModel, Leaves::NewModel, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn models(parameters: &LogitsParameters) -> Vec<NamedModel> {
        parameters.student.named().into_iter().chain(parameters.teacher.named()).collect()
    }

    fn supply_model(parameters: &mut LogitsParameters, pointer: &str, model: Checkpoint) {
        parameters.student.supply(pointer, &model);
        parameters.teacher.supply(pointer, &model);
    }

    fn plan(parameters: &LogitsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = lesson::problems(&parameters.settings, cx);
        if lesson::task(cx.outline) == Some(Task::Embed) {
            let message = "an embedding is no logit";
            problems.push(Problem::new("", message).help("`distill/embeddings` teaches embeddings"));
        }
        problems.extend(lesson::top_k_problem(parameters.top_k, cx.outline, None));
        let roles = lesson::roles(&parameters.student, &parameters.teacher, cx.outline, &mut problems);
        let student = roles.iter().map(|(student, _)| student);
        problems.extend(student.flat_map(|outline| training::glob_problems(&parameters.settings, outline)));
        match roles {
            Some((student, teachers)) if problems.is_empty() => {
                let mut effect = lesson::effect(&parameters.settings, (&student, &teachers), cx);
                effect.notes.extend(lesson::top_k_note(parameters.top_k, cx));
                Ok(effect)
            }
            _ => Err(problems),
        }
    }

    fn run(parameters: &LogitsParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let student = parameters.student.model(&model, &cx.stream.split("weights"))?;
        let LogitsParameters { temperature, alpha, top_k, .. } = *parameters;
        let teachers = parameters.teacher.models(&model)?;
        let teacher = Teacher { temperature, alpha, top_k, ..Teacher::new(&teachers) };
        lesson::teach(cx, &model, teacher, (student, None), &parameters.settings)
    }
}

#[cfg(test)]
mod tests {
    use paring_model::Checkpoint;
    use serde_json::json;

    use super::Logits;
    use crate::testing::transformers::{continuing, decoder};
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

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

    /// What was kept is not asked again, and of all tokens but
    /// one the divergence is nearly that of all.
    #[test]
    fn likely_tokens_are_asked_once() {
        let (teacher, mut bench) = continuing(decoder());
        bench.services.journal = Some(Default::default());
        let trained = |top_k: Option<usize>| {
            let mut block = json!({"student": {"layers": [0]}, "alpha": 1, "temperature": 1, "epochs": 4,
                "batch_size": 3, "learning_rate": 0.01});
            top_k.into_iter().for_each(|top_k| block["top_k"] = json!(top_k));
            let outcome = bench.run::<Logits>(&block, &teacher).unwrap();
            bench.services.journal.iter().for_each(|journal| drop(journal.borrow_mut().remove("training")));
            outcome.receipt.details["train_loss"]
                .as_array()
                .unwrap()
                .iter()
                .map(|loss| loss.as_f64().unwrap())
                .collect()
        };
        let asked = || bench.services.told.borrow().iter().filter(|told| told.contains("the teacher answers")).count();
        let whole: Vec<f64> = trained(None);
        assert_eq!(asked(), 0);
        let most: Vec<f64> = trained(Some(19));
        let windows = asked();
        assert!(windows >= 8 && most[3] < most[0], "{windows} {most:?}");
        let differ = |losses: &[f64]| losses.iter().zip(&whole).map(|(one, other)| (one - other).abs()).sum::<f64>();
        assert!(differ(&most) < 1e-4, "{most:?} {whole:?}");
        assert_eq!(trained(Some(19)), most);
        assert_eq!(asked(), windows);
        bench.services.journal.iter().for_each(|journal| journal.borrow_mut().clear());
        let few: Vec<f64> = trained(Some(2));
        assert!(few.iter().zip(&whole).all(|(few, whole)| few < whole), "{few:?} {whole:?}");
    }

    #[test]
    fn likely_tokens_are_those_of_texts() {
        let refused = |block, model: &Checkpoint, bench: &Bench| {
            let problems = bench.plan::<Logits>(&block, model).unwrap_err();
            assert_eq!(problems[0].pointer, "/top_k");
            problems[0].message.clone()
        };
        let flat = built(&[2], inputs(2), labels(&["left", "right"]));
        let block = json!({"student": {"mlp": {"hidden": [1]}}, "top_k": 1});
        assert_eq!(refused(block, &flat, &self::bench()), "keeps tokens, but the model continues no texts");
        let (texts, bench) = continuing(decoder());
        let block = json!({"student": {"layers": [0]}, "top_k": 20});
        assert_eq!(refused(block, &texts, &bench), "is 20, but the model knows 20 tokens");
        let effect = bench.plan::<Logits>(&json!({"student": {"layers": [0]}, "top_k": 2}), &texts).unwrap();
        assert!(effect.notes.iter().any(|note| note.contains("MB on disk")), "{:?}", effect.notes);
    }
}

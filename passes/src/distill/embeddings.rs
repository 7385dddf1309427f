//! `distill/embeddings`: a smaller encoder that embeds as the present one does.

use paring_model::{Checkpoint, Task};
use paring_train::fit::{Distance, FitSettings, Teacher};
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

/// Trains a smaller encoder to embed texts where the present one embeds them, and goes on with it.
///
/// # What it does
/// The teacher, the present model unless `teacher` names another, embeds every training row once. The student, a copy
/// of some of the present model's layers with its tokenizer, its embeddings and its pooling, or a model of a file, is
/// trained so that its embedding of each row comes close to the teacher's, by one minus their cosine or by the mean of
/// their squared differences. Of several teachers the mean of their embeddings counts, each made one long. The student
/// then takes the place of the present model. No labels are needed. The receipt tells the mean cosine to the teacher on
/// validation rows, 1,024 at most.
///
/// # When to use
/// To make an encoder several times faster for texts of one sort: a search index, a classifier on top of embeddings.
/// Vectors that the teacher made stay comparable with those of the student.
///
/// # When not to
/// With few texts: below some thousands of rows the student learns them by heart. Where the texts to come are of
/// another sort than the training rows. For a model with labels: `distill/logits`. After pruning, to win back what was
/// lost: `distill/self`.
///
/// # Parameters
/// `student` is `layers`: which layers of the present model are copied, numbered from 0; evenly spread ones, the last
/// among them, are a good start; or `width`, the share of each layer's units that are copied; or `load`, the path of an
/// encoder that is trained on from its weights; or `present`, where another model teaches. `teacher` is `present`, `{
/// load: PATH }`, or a list of these. What is loaded has the present model's tokenizer and embeds in as many numbers.
/// `distance`: `cosine` compares directions, `squared_error` lengths too. All others are those of `train/fit`: with
/// `early_stopping` the teacher's loss on the validation rows counts, and `label_smoothing` and `class_weights` mean
/// nothing here. Rates from 0.00005 to 0.0005 suit `adamw`.
///
/// # Cost and limits
/// One pass of the training rows through each teacher, whose embeddings stay in memory, and the training of the
/// student.
///
/// # Source
/// Reimers & Gurevych 2020, "Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation", section
/// 3, for `squared_error` between embeddings; Sanh et al. 2019, "DistilBERT", section 2, for the cosine and for
/// students that start from their teacher's layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsParameters {
    /// The student: a copy of some `layers` of the present model, or one of less `width`; `load`; or `present`.
    #[schemars(example = student_example())]
    pub student: Student,
    /// Who teaches: `present`, the model before this stage; a model of a directory or a file; or a list of them.
    #[serde(default, skip_serializing_if = "Teachers::is_present")]
    #[schemars(example = teacher_example())]
    pub teacher: Teachers,
    /// How far two embeddings are from each other.
    #[serde(default)]
    pub distance: Distance,
    /// The training run.
    #[serde(flatten)]
    pub settings: FitSettings,
}

fn student_example() -> serde_json::Value {
    serde_json::json!({ "layers": [1, 3, 5] })
}

/// The pass.
pub struct Embeddings;

impl Definition for Embeddings {
    type Parameters = EmbeddingsParameters;

    const INFO: PassInfo = PassInfo {
        id: "distill/embeddings",
        summary: "train a smaller encoder to embed as the present one does",
        version: 1,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::Family],
        leaves: &[Leaves::BuiltModel, Leaves::NewModel, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn models(parameters: &EmbeddingsParameters) -> Vec<NamedModel> {
        parameters.student.named().into_iter().chain(parameters.teacher.named()).collect()
    }

    fn supply_model(parameters: &mut EmbeddingsParameters, pointer: &str, model: Checkpoint) {
        parameters.student.supply(pointer, &model);
        parameters.teacher.supply(pointer, &model);
    }

    fn plan(parameters: &EmbeddingsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = lesson::problems(&parameters.settings, cx);
        if lesson::task(cx.outline).is_some_and(|task| task != Task::Embed) {
            let message = "the model gives no embeddings";
            problems.push(Problem::new("", message).help("`distill/logits` teaches models with labels"));
        }
        let roles = lesson::roles(&parameters.student, &parameters.teacher, cx.outline, &mut problems);
        let student = roles.iter().map(|(student, _)| student);
        problems.extend(student.flat_map(|outline| training::glob_problems(&parameters.settings, outline)));
        match roles {
            Some((student, teachers)) if problems.is_empty() => {
                Ok(lesson::effect(&parameters.settings, (&student, &teachers), cx))
            }
            _ => Err(problems),
        }
    }

    fn run(parameters: &EmbeddingsParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let student = parameters.student.model(&model, &cx.stream.split("weights"))?;
        let teachers = parameters.teacher.models(&model)?;
        let teacher = Teacher { distance: parameters.distance, ..Teacher::new(&teachers) };
        lesson::teach(cx, &model, teacher, (student, None), &parameters.settings)
    }
}

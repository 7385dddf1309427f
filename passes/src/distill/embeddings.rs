//! `distill/embeddings`: a smaller encoder that embeds as the present one does.

use paring_model::{Checkpoint, Task};
use paring_train::fit::{Distance, FitSettings, Teacher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lesson;
use super::student::Student;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;

/// Trains a smaller encoder to embed texts where the present one embeds them, and goes on with it.
///
/// # What it does
/// The present model is the teacher: it embeds every training row once. The student, a copy of some of its layers with
/// its tokenizer, its embeddings and its pooling, is trained so that its embedding of each row comes close to the
/// teacher's, by one minus their cosine or by the mean of their squared differences. It then takes the teacher's place.
/// No labels are needed. The receipt tells the mean cosine to the teacher on validation rows, 1,024 at most.
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
/// `student` has one key, `layers`: which layers of the teacher are copied, numbered from 0; evenly spread ones, the
/// last among them, are a good start. `distance`: `cosine` compares directions, `squared_error` lengths too. All others
/// are those of `train/fit`: with `early_stopping` the teacher's loss on the validation rows counts, and
/// `label_smoothing` and `class_weights` mean nothing here. Rates from 0.00005 to 0.0005 suit `adamw`.
///
/// # Cost and limits
/// One pass of the training rows through the teacher, whose embeddings stay in memory, and the training of the student.
///
/// # Source
/// Reimers & Gurevych 2020, "Making Monolingual Sentence Embeddings Multilingual using Knowledge Distillation", section
/// 3, for `squared_error` between embeddings; Sanh et al. 2019, "DistilBERT", section 2, for the cosine and for
/// students that start from their teacher's layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingsParameters {
    /// The student: `layers`, which of the teacher's it is a copy of.
    #[schemars(example = student_example())]
    pub student: Student,
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

    fn plan(parameters: &EmbeddingsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = lesson::problems(&parameters.settings, cx);
        if lesson::task(cx.outline).is_some_and(|task| task != Task::Embed) {
            let message = "the model gives no embeddings";
            problems.push(Problem::new("", message).help("`distill/logits` teaches models with labels"));
        }
        let student = parameters.student.outline(cx.outline).map_err(|problem| problems.push(problem)).ok();
        problems.extend(student.iter().flat_map(|outline| training::glob_problems(&parameters.settings, outline)));
        match student {
            Some(student) if problems.is_empty() => Ok(lesson::effect(&parameters.settings, &student, cx)),
            _ => Err(problems),
        }
    }

    fn run(parameters: &EmbeddingsParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let student = parameters.student.model(&model, &cx.stream.split("weights"))?;
        let teacher = Teacher {
            model: &model,
            temperature: 1.0,
            alpha: 1.0,
            distance: parameters.distance,
            hidden: None,
            attention: None,
        };
        lesson::teach(cx, teacher, student, &parameters.settings)
    }
}

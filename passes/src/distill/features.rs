//! `distill/features`: a student that learns the hidden states of the present model, and its answers.

use paring_model::{Checkpoint, Outline};
use paring_train::fit::{Distance, FitSettings, Hidden, Teacher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hidden::{self, LayerMap};
use super::lesson;
use super::student::Student;
use super::teachers::{Teachers, teacher_example};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, NamedModel, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;

/// Trains a shallower transformer to have the hidden states of the present one, and its answers, and goes on with it.
///
/// # What it does
/// The teacher is the present model unless `teacher` names another. The student, a copy of some of the present model's
/// layers, or a model of a file, is trained on the sum of two losses: the mean squared difference between the output of
/// each of its layers and that of one of the teacher's, over all tokens that are no padding, averaged over its layers
/// and times `weight`; and the loss of `distill/logits` or `distill/embeddings`, whichever suits the task, on the
/// answers. Of several teachers all answer, and the first shows its hidden states. The student then takes the place of
/// the present model.
///
/// # When to use
/// For students of half the layers and less, with few labelled rows: hidden states say more about each row than an
/// answer does.
///
/// # When not to
/// For students of another family or from nothing, whose layers have no counterpart: `distill/logits`. Where only the
/// answers must agree and rows are plenty: `distill/embeddings`.
///
/// # Parameters
/// `student` is `layers`, which layers of the present model are copied, numbered from 0; or `width`, the share of
/// each layer's units that are copied; or `load`, the path of a model that is trained on from its weights; or
/// `present`, where another model teaches. `teacher` is `present`,
/// `{ load: PATH }`, or a list of these; what is loaded has to suit as in `distill/logits`. `map` says which of the
/// teacher's layers a layer of the student is compared with: `uniform` spreads them evenly, so that the last meets the
/// last; `first` and `last` take that end of the teacher; `teacher_layers` lists them one by one instead, one for each
/// layer of the student. `weight` multiplies the loss of hidden states. `temperature` and `alpha` are those of
/// `distill/logits`, `distance` that of `distill/embeddings`. All others are those of `train/fit`; `label_smoothing`
/// and `class_weights` are for the labels' loss.
///
/// # Cost and limits
/// The training of the student, and in every epoch a pass of all rows through the teacher, whose hidden states would
/// fill the memory. Where hidden states of student and teacher differ in width, a linear map from the one to the other
/// is trained with the student, one for all layers, and thrown away afterwards; `freeze` and `learning_rates` know it
/// as `hidden_projection.weight`.
///
/// # Source
/// Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language Understanding", section 3, the loss of hidden
/// states (equation 8), with its linear map, and of predictions (equation 10); Romero et al. 2015, "FitNets: Hints for
/// Thin Deep Nets", section 2.2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FeaturesParameters {
    /// The student: a copy of some `layers` of the present model, or one of less `width`; `load`; or `present`.
    #[schemars(example = student_example())]
    pub student: Student,
    /// Who teaches: `present`, the model before this stage; a model of a directory or a file; or a list of them.
    #[serde(default, skip_serializing_if = "Teachers::is_present")]
    #[schemars(example = teacher_example())]
    pub teacher: Teachers,
    /// Which of the teacher's layers a layer of the student is compared with. `uniform` where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<LayerMap>,
    /// The teacher's layers that those of the student are compared with, in order. Instead of `map`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), example = [1, 3, 5])]
    pub teacher_layers: Option<Vec<usize>>,
    /// Weight of the loss of hidden states, beside that of the answers.
    #[serde(default = "one")]
    #[schemars(range(min = 1e-6, max = 1e6))]
    pub weight: f64,
    /// Softmax temperature, from 0.1 (inclusive) to 100 (inclusive), for classes and tokens.
    #[serde(default = "four")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub temperature: f64,
    /// Weight of the teacher's answers, from 0 (inclusive, labels only) to 1 (inclusive, teacher only).
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
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

fn one() -> f64 {
    1.0
}

fn four() -> f64 {
    4.0
}

fn half() -> f64 {
    0.5
}

impl FeaturesParameters {
    fn hidden(&self, student: &Outline, teacher: &Outline) -> Result<Hidden, Problem> {
        let place = if self.teacher_layers.is_some() { "/teacher_layers" } else { "/student" };
        let both = (student, teacher);
        let pairs = hidden::pairs(both, self.map.unwrap_or_default(), self.teacher_layers.as_deref(), place)?;
        Ok(hidden::hidden(both, pairs, self.weight))
    }
}

/// The pass.
pub struct Features;

impl Definition for Features {
    type Parameters = FeaturesParameters;

    const INFO: PassInfo = PassInfo {
        id: "distill/features",
        summary: "train a shallower model to have the present one's hidden states and answers",
        version: 1,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::Family],
        leaves: &[Leaves::BuiltModel, Leaves::NewModel, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &FeaturesParameters) -> Vec<Problem> {
        let both = parameters.map.is_some() && parameters.teacher_layers.is_some();
        let problem = Problem::new("/map", "cannot be given together with `teacher_layers`");
        both.then(|| problem.help("remove one of the two")).into_iter().collect()
    }

    fn models(parameters: &FeaturesParameters) -> Vec<NamedModel> {
        parameters.student.named().into_iter().chain(parameters.teacher.named()).collect()
    }

    fn supply_model(parameters: &mut FeaturesParameters, pointer: &str, model: Checkpoint) {
        parameters.student.supply(pointer, &model);
        parameters.teacher.supply(pointer, &model);
    }

    fn plan(parameters: &FeaturesParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = lesson::problems(&parameters.settings, cx);
        let roles = lesson::roles(&parameters.student, &parameters.teacher, cx.outline, &mut problems);
        if let Some((student, teachers)) = &roles {
            let teacher = teachers.first().unwrap_or(cx.outline);
            let hidden = parameters.hidden(student, teacher).map_err(|problem| problems.push(problem));
            let projections = hidden.map(|hidden| hidden.projections()).unwrap_or_default();
            problems.extend(training::glob_problems_with(&parameters.settings, student, &projections));
        }
        match roles {
            Some((student, teachers)) if problems.is_empty() => {
                Ok(lesson::effect(&parameters.settings, (&student, &teachers), cx))
            }
            _ => Err(problems),
        }
    }

    fn run(parameters: &FeaturesParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let student = parameters.student.model(&model, &cx.stream.split("weights"))?;
        let teachers = parameters.teacher.models(&model)?;
        let hidden = parameters
            .hidden(&student.outline(), &lesson::first(&teachers, &model).outline())
            .map_err(|problem| PassError::Failed(problem.message))?;
        let FeaturesParameters { temperature, alpha, distance, .. } = *parameters;
        let hidden = Some(&hidden);
        let teacher = Teacher { temperature, alpha, distance, hidden, ..Teacher::new(&teachers) };
        lesson::teach(cx, &model, teacher, (student, None), &parameters.settings)
    }
}

//! `distill/attention`: a student that learns how the present model's tokens attend to each other, and its answers.

use paring_model::{Checkpoint, Outline};
use paring_train::fit::{Attention as Compared, Distance, FitSettings, Teacher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hidden::{self, LayerMap};
use super::lesson;
use super::relations::{self, Terms};
use super::student::Student;
use super::teachers::{Teachers, teacher_example};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, NamedModel, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;

/// Trains a smaller transformer to relate tokens as the present one does, and to give its answers, and goes on with it.
///
/// # What it does
/// The teacher is the present model unless `teacher` names another; of several all answer, and the first shows its
/// attention. The student is trained on the sum of the loss of `distill/logits` or `distill/embeddings`, whichever
/// suits the task, and of losses of attention. A relation is what attention would be if tokens attended by one kind of
/// vector alone: softmax(x x^T / sqrt(width of a head)) of the queries, of the keys, or of the values of a layer. The
/// divergence of the student's relations from the teacher's is averaged over heads and over tokens that are no padding,
/// and multiplied by the weight of its kind. Vectors are cut into as many relation heads in both models, so that widths
/// and heads of both may differ. Attention scores, q k^T / sqrt(width of a head), can be compared besides, by their
/// mean squared difference.
///
/// # When to use
/// For a student whose hidden states should be its own: relations say how tokens belong together, not where in space
/// they lie. For students with other widths and other numbers of heads than their teacher.
///
/// # When not to
/// For models without attention: `distill/logits`. For a student that is its teacher with layers left out, hidden
/// states (`distill/features`) say more of each token.
///
/// # Parameters
/// `student` and `teacher` are those of `distill/logits`. The student's last layer is compared with the teacher's last,
/// or with `teacher_layer`, numbered from 0; of large teachers a layer above the middle is better. With `map`
/// (`uniform`, `first`, `last`) or `teacher_layers`, as in `distill/features`, all layers of the student are compared,
/// and the losses averaged. `query_weight`, `key_weight` and `value_weight` weigh the relations; `relation_heads` is
/// how many heads they have: the teacher's heads of keys where not given, more of them say more. `score_weight` weighs
/// the attention scores. `temperature` and `alpha` are those of `distill/logits`, `distance` that of
/// `distill/embeddings`. All others are those of `train/fit`; `label_smoothing` and `class_weights` are for the labels'
/// loss.
///
/// # Cost and limits
/// The training of the student, and in every epoch a pass of all rows through the teacher. For every compared layer and
/// kind, rows x relation heads x length x length numbers of a batch. Queries and keys are taken as their linear layers
/// give them: before norms of heads and before they are turned to their positions; so scores are for encoders, and of
/// as many heads in both models. Where query heads share keys and values, these are related once, in as many relation
/// heads as the queries. In a model that continues texts a token is related with itself and those before it.
///
/// # Source
/// Wang et al. 2021, "MiniLMv2: Multi-Head Self-Attention Relation Distillation for Compressing Pretrained
/// Transformers", section 3; Wang et al. 2020, "MiniLM", section 3.2, for relations of values; Jiao et al. 2020,
/// "TinyBERT", equation 7, for attention scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AttentionParameters {
    /// The student: a copy of some `layers` of the present model, or one of less `width`; `load`; or `present`.
    #[schemars(example = student_example())]
    pub student: Student,
    /// Who teaches: `present`, the model before this stage; a model of a directory or a file; or a list of them.
    #[serde(default, skip_serializing_if = "Teachers::is_present")]
    #[schemars(example = teacher_example())]
    pub teacher: Teachers,
    /// The layer of the teacher that the student's last is compared with; the last where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1023))]
    pub teacher_layer: Option<usize>,
    /// Compares all layers of the student, and says with which of the teacher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<LayerMap>,
    /// The teacher's layers that all layers of the student are compared with, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), example = [1, 3, 5])]
    pub teacher_layers: Option<Vec<usize>>,
    /// Weight of the relations of queries, beside the loss of the answers.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub query_weight: f64,
    /// Weight of the relations of keys.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub key_weight: f64,
    /// Weight of the relations of values.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub value_weight: f64,
    /// Heads in which relations are computed: a divisor of the width of all that is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub relation_heads: Option<usize>,
    /// Weight of the attention scores; 0 leaves them out.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub score_weight: f64,
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

impl AttentionParameters {
    fn compared(&self, student: &Outline, teacher: &Outline) -> Result<Compared, Problem> {
        let terms = Terms {
            relations: [self.query_weight, self.key_weight, self.value_weight],
            relation_heads: self.relation_heads,
            scores: self.score_weight,
        };
        relations::attention((student, teacher), &self.pairs(student, teacher)?, terms)
    }

    /// Layers of the student and of its teacher.
    fn pairs(&self, student: &Outline, teacher: &Outline) -> Result<Vec<(usize, usize)>, Problem> {
        if self.map.is_some() || self.teacher_layers.is_some() {
            let place = if self.teacher_layers.is_some() { "/teacher_layers" } else { "/map" };
            let map = self.map.unwrap_or_default();
            return hidden::layer_pairs((student, teacher), map, self.teacher_layers.as_deref(), place);
        }
        let [own, all] = [student, teacher].map(lesson::layers);
        let (Some(own), Some(last)) = (own.checked_sub(1), all.checked_sub(1)) else {
            let message = "compares attention, but the model has no layers that are alike";
            return Err(Problem::new("/student", message));
        };
        match self.teacher_layer {
            Some(layer) if layer > last => {
                let message = format!("is {layer}, but the teacher has {all} layers, numbered from 0");
                Err(Problem::new("/teacher_layer", message))
            }
            layer => Ok(vec![(own, layer.unwrap_or(last))]),
        }
    }
}

/// The pass.
pub struct Attention;

impl Definition for Attention {
    type Parameters = AttentionParameters;

    const INFO: PassInfo = PassInfo {
        id: "distill/attention",
        summary: "train a smaller model to relate tokens as the present one does, and to answer so",
        version: 1,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::Family],
        leaves: &[Leaves::BuiltModel, Leaves::NewModel, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &AttentionParameters) -> Vec<Problem> {
        let choices = [
            ("teacher_layer", parameters.teacher_layer.is_some()),
            ("map", parameters.map.is_some()),
            ("teacher_layers", parameters.teacher_layers.is_some()),
        ];
        let mut given = choices.iter().filter(|(_, given)| *given);
        let mut problems = Vec::new();
        if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
            let problem = Problem::new(format!("/{second}"), format!("cannot be given together with `{first}`"));
            problems.push(problem.help("remove one of the two"));
        }
        let AttentionParameters { query_weight, key_weight, value_weight, score_weight, .. } = parameters;
        if query_weight + key_weight + value_weight + score_weight == 0.0 {
            let message = "all weights of attention are 0, so nothing of it is compared";
            problems.push(Problem::new("", message).help("`distill/logits` and `distill/embeddings` compare answers"));
        }
        problems
    }

    fn models(parameters: &AttentionParameters) -> Vec<NamedModel> {
        parameters.student.named().into_iter().chain(parameters.teacher.named()).collect()
    }

    fn supply_model(parameters: &mut AttentionParameters, pointer: &str, model: Checkpoint) {
        parameters.student.supply(pointer, &model);
        parameters.teacher.supply(pointer, &model);
    }

    fn plan(parameters: &AttentionParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = lesson::problems(&parameters.settings, cx);
        let roles = lesson::roles(&parameters.student, &parameters.teacher, cx.outline, &mut problems);
        if let Some((student, teachers)) = &roles {
            problems.extend(parameters.compared(student, teachers.first().unwrap_or(cx.outline)).err());
            problems.extend(training::glob_problems(&parameters.settings, student));
        }
        match roles {
            Some((student, teachers)) if problems.is_empty() => {
                Ok(lesson::effect(&parameters.settings, (&student, &teachers), cx))
            }
            _ => Err(problems),
        }
    }

    fn run(parameters: &AttentionParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let student = parameters.student.model(&model, &cx.stream.split("weights"))?;
        let teachers = parameters.teacher.models(&model)?;
        let compared = parameters
            .compared(&student.outline(), &lesson::first(&teachers, &model).outline())
            .map_err(|problem| PassError::Failed(problem.message))?;
        let AttentionParameters { temperature, alpha, distance, .. } = *parameters;
        let attention = Some(&compared);
        let teacher = Teacher { temperature, alpha, distance, attention, ..Teacher::new(&teachers) };
        lesson::teach(cx, &model, teacher, (student, None), &parameters.settings)
    }
}

#[cfg(test)]
#[path = "attention/tests.rs"]
mod tests;

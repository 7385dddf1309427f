//! `distill/self`: a model that has lost something learns it back from what it was.

use paring_model::{Checkpoint, Outline, WeightOutline};
use paring_train::fit::{Distance, FitSettings, Held, Hidden, Teacher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hidden::{self, LayerMap};
use super::lesson;
use super::teachers::{Teachers, teacher_example};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, NamedModel, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;

/// Prunes or quantizes a model by nested stages, and trains what is left to answer as the whole did.
///
/// # What it does
/// The model as it comes is the teacher, unless `teacher` names others. The nested `stages` run on it, and what they
/// leave is the student: it is trained on all training rows to answer as its teacher does, and takes its place. What is
/// compared depends on the task: softmax distributions of classes, and of the token that follows every token of a text
/// (divergence, times the temperature squared), numbers (mean squared difference), or embeddings. Weights that the
/// nested stages set to zero and masked stay zero; units and layers that they removed stay away. Weights that they left
/// as integers stay integers of the same scales and zero points: in every forward pass the floats behind them are
/// rounded to that grid, and inputs of layers as they are quantized; gradients pass where a float lies within half a
/// step of the grid.
///
/// # When to use
/// After any pruning or quantization that costs too much quality: `prune/wanda`, `prune/sparsegpt`, `prune/heads`,
/// `prune/neurons`, `prune/channels`, `prune/layers`, `quantize/gptq`, `quantize/rtn`, `quantize/static-int8`. Labels
/// are not needed: texts or rows like those to come are enough.
///
/// # When not to
/// Where nothing was lost. For scales that shall be trained too: `quantize/qat`. With good labels and a model that is
/// not too sure of them, `train/fit` may do as well for less.
///
/// # Parameters
/// `alpha` is the weight of the teacher's answers, 1 by default; the labels have the rest (of a text, the tokens that
/// follow). `teacher` is `present`, `{ load: PATH }`, or a list of these, whose answers are averaged as in
/// `distill/logits`; the first shows its hidden states. `temperature` softens distributions. `distance` compares
/// embeddings: `cosine` by direction, `squared_error` by length too. `hidden_weight` adds the mean squared difference
/// between the outputs of the layers of both, averaged over layers, times that weight; where the student has fewer
/// layers, they are compared with evenly spread ones, and where its states have another width, after a linear map that
/// is trained with it and thrown away (`hidden_projection.weight`). Where texts are continued, `top_k` lets the teacher
/// answer once: of what may follow each token that many of the most likely ones are kept on disk, and all others count
/// as one. With `keep_zeros`, integers of zero stay zero: for weights that were pruned before they were quantized. All
/// others are those of `train/fit`; `label_smoothing` and `class_weights` are for the labels' loss. A tenth to a third
/// of the rate that trained the model is a good start. A teacher says the same of a row every time: without `dropout`
/// the student comes closer to it.
///
/// # Cost and limits
/// The nested stages, one pass of the training rows through the teacher, whose outputs stay in memory, and the
/// training. A teacher that continues texts, and one whose hidden states are compared, answers each batch anew, in
/// every epoch: a third more time. Two models are in memory.
///
/// # Source
/// Hinton, Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, for the loss; Muralidharan
/// et al. 2024, "Compact Language Models via Pruning and Knowledge Distillation", section 3, for a pruned model that
/// learns from what it was, with and without hidden states; Jacob et al. 2018, "Quantization and Training of Neural
/// Networks for Efficient Integer-Arithmetic-Only Inference", section 3, for gradients of what is rounded; Anshumann et
/// al. 2025, "Sparse Logit Sampling", section 3, for `top_k` with a token that stands for all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfParameters {
    /// Who teaches: `present`, the model before this stage; a model of a directory or a file; or a list of them.
    #[serde(default, skip_serializing_if = "Teachers::is_present")]
    #[schemars(example = teacher_example())]
    pub teacher: Teachers,
    /// Softmax temperature, from 0.1 (inclusive) to 100 (inclusive), for classes and tokens.
    #[serde(default = "one")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub temperature: f64,
    /// Weight of the teacher's answers, from 0 (inclusive, labels only) to 1 (inclusive, teacher only).
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// How far two embeddings are from each other.
    #[serde(default)]
    pub distance: Distance,
    /// Weight of the loss of hidden states, beside that of the answers; 0 leaves them out.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1e6))]
    pub hidden_weight: f64,
    /// Of a text: how many of the tokens that the teacher holds most likely to follow each token are kept, on disk, for
    /// all epochs. Without it the teacher answers each batch anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), example = 64)]
    pub top_k: Option<usize>,
    /// Whether integers that stand for zero stay zero, where the nested stages prune and then quantize. `false` where
    /// not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_zeros: Option<bool>,
    /// The training run.
    #[serde(flatten)]
    pub settings: FitSettings,
}

fn one() -> f64 {
    1.0
}

impl SelfParameters {
    fn hidden(&self, student: &Outline, teacher: &Outline) -> Result<Option<Hidden>, Problem> {
        if self.hidden_weight == 0.0 {
            return Ok(None);
        }
        let both = (student, teacher);
        let pairs = hidden::pairs(both, LayerMap::Uniform, None, "/hidden_weight")?;
        Ok(Some(hidden::hidden(both, pairs, self.hidden_weight)))
    }
}

/// The pass.
pub struct Own;

impl Definition for Own {
    type Parameters = SelfParameters;

    const INFO: PassInfo = PassInfo {
        id: "distill/self",
        summary: "prune or quantize by nested stages, and train what is left to answer as the whole did",
        version: 1,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::Family, Needs::NestedStages],
        leaves: &[Leaves::Masks, Leaves::Shapes, Leaves::QuantizedWeights],
    };

    const TAKES_TARGETS: bool = false;

    fn models(parameters: &SelfParameters) -> Vec<NamedModel> {
        parameters.teacher.named()
    }

    fn supply_model(parameters: &mut SelfParameters, pointer: &str, model: Checkpoint) {
        parameters.teacher.supply(pointer, &model);
    }

    fn plan(parameters: &SelfParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = lesson::problems(&parameters.settings, cx);
        // Once the stage runs, what its nested stages leave is known only when they have.
        let student = cx.nested.unwrap_or(cx.outline);
        problems.extend(same_ends(student, cx.outline));
        problems.extend(integers_problems(parameters, student, cx.nested.is_some()));
        let inside = (parameters.hidden_weight > 0.0).then_some("hidden_weight");
        problems.extend(lesson::top_k_problem(parameters.top_k, cx.outline, inside));
        let teachers = parameters.teacher.outlines(cx.outline).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        let first = teachers.first().unwrap_or(cx.outline);
        let hidden = parameters.hidden(student, first).map_err(|problem| problems.push(problem));
        let projections = hidden.ok().flatten().map(|hidden| hidden.projections()).unwrap_or_default();
        problems.extend(training::glob_problems_with(&parameters.settings, student, &projections));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = lesson::effect(&parameters.settings, (student, &teachers), cx);
        effect.notes.retain(|note| !note.starts_with("the student has"));
        effect.notes.extend(lesson::top_k_note(parameters.top_k, cx));
        effect.exact = false;
        Ok(effect)
    }

    fn run(parameters: &SelfParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let student = cx.services.nested(&model)?;
        let teachers = parameters.teacher.models(&model)?;
        let hidden = parameters
            .hidden(&student.outline(), &lesson::first(&teachers, &model).outline())
            .map_err(|problem| PassError::Failed(problem.message))?;
        let SelfParameters { temperature, alpha, distance, top_k, .. } = *parameters;
        let hidden = hidden.as_ref();
        let teacher = Teacher { temperature, alpha, distance, top_k, hidden, ..Teacher::new(&teachers) };
        let keeps_zeros = parameters.keep_zeros.unwrap_or_default();
        let held = training::quantized(&student.outline()).is_some().then_some(Held { keeps_zeros });
        lesson::teach(cx, &model, teacher, (student, held), &parameters.settings)
    }
}

/// The student has to read what its teacher reads, and to answer in the same terms.
fn same_ends(student: &Outline, teacher: &Outline) -> Option<Problem> {
    let reads = student.inputs == teacher.inputs;
    if reads && student.outputs == teacher.outputs {
        return None;
    }
    let what = if reads { "gives other answers" } else { "reads other inputs" };
    let message = format!("what the nested stages leave {what} than the model before them, so it cannot learn from it");
    Some(Problem::new("", message).help("select features before this stage"))
}

/// What stands against training a student some of whose weights are quantized, if it `is_known` already.
fn integers_problems(parameters: &SelfParameters, student: &Outline, is_known: bool) -> Vec<Problem> {
    if training::quantized(student).is_none() {
        let message = "keeps zeros among integers, but the nested stages leave none: zeros of masks always stay";
        let given = parameters
            .keep_zeros
            .filter(|_| is_known)
            .map(|_| Problem::new("/keep_zeros", message).help("remove `keep_zeros`"));
        return given.into_iter().collect();
    }
    let blocks = student.weights.iter().find(|(_, weight)| matches!(weight, WeightOutline::Blocks { .. }));
    let refuse = |(name, _): (&String, _)| {
        let message = format!("the nested stages leave tensor `{name}` in ggml's blocks, which cannot be trained");
        Problem::new("", message).help("put `quantize/gguf` after this stage")
    };
    let unsuited = training::unsuited(&parameters.settings, "does not go together with quantized weights");
    blocks.map(refuse).into_iter().chain(unsuited).collect()
}

#[cfg(test)]
mod tests {
    use paring_model::{Checkpoint, Granularity, QuantizedWeight, Weight, WeightScheme};
    use serde_json::json;

    use super::Own;
    use crate::testing::{Bench, built, classes, inputs, labels, matrix, unbuilt};

    fn zeros(model: &Checkpoint) -> Vec<usize> {
        let rows = model.tensor("layers.0.weight").unwrap().to_vec2::<f32>().unwrap();
        let places = rows.iter().flatten().enumerate().filter(|(_, weight)| **weight == 0.0);
        places.map(|(place, _)| place).collect()
    }

    /// The nested stages set half of a hidden layer to zero.
    fn half(model: &Checkpoint) -> Checkpoint {
        let mut model = model.clone();
        let rows = model.tensor("layers.0.weight").unwrap().to_vec2::<f32>().unwrap();
        let half = |(at, row): (usize, &Vec<f32>)| if at % 2 == 0 { [row[0], 0.0] } else { [0.0, row[1]] };
        let rows: Vec<[f32; 2]> = rows.iter().enumerate().map(half).collect();
        let rows: Vec<&[f32]> = rows.iter().map(<[f32; 2]>::as_slice).collect();
        model.set_weight("layers.0.weight", Weight::Dense { tensor: matrix(&rows), masked: true });
        model
    }

    /// Labels are of no use: they are the opposite of what the teacher says.
    fn bench(nested: impl Fn(&Checkpoint) -> Checkpoint + 'static) -> Bench {
        let rows: [&[f64]; 6] = [&[2.0, 0.0], &[3.0, 1.0], &[1.0, -1.0], &[0.0, 2.0], &[1.0, 3.0], &[-1.0, 1.0]];
        let mut bench = Bench::with_rows(classes(&rows, &["right", "right", "right", "left", "left", "left"]));
        bench.services.nested = Some(Box::new(nested));
        bench
    }

    fn teacher() -> Checkpoint {
        let mut model = built(&[4], inputs(2), labels(&["left", "right"]));
        model.set_tensor("layers.0.weight", matrix(&[&[1.0, -1.0], &[-1.0, 1.0], &[0.5, -0.5], &[-0.5, 0.5]]));
        model.set_tensor("head.weight", matrix(&[&[1.0, -1.0, 1.0, -1.0], &[-1.0, 1.0, -1.0, 1.0]]));
        model
    }

    #[test]
    fn what_was_set_to_zero_stays_and_the_rest_learns_from_the_whole() {
        let block = json!({"epochs": 60, "batch_size": 6, "learning_rate": 0.05});
        let outcome = bench(half).run::<Own>(&block, &teacher()).unwrap();
        assert_eq!(zeros(&outcome.model), zeros(&half(&teacher())));
        assert_eq!(outcome.receipt.figures["agreement"], 1.0, "{:?}", outcome.receipt);
        let first = outcome.receipt.details["train_loss"][0].as_f64().unwrap();
        assert!(outcome.receipt.figures["train_loss"] < first / 4.0, "{:?}", outcome.receipt);
    }

    /// The nested stages round a hidden layer to two bits, and lose two weights of it.
    fn rounded(model: &Checkpoint) -> Checkpoint {
        let mut model = model.clone();
        let scheme = WeightScheme { bits: 2, symmetric: true, granularity: Granularity::Channel };
        let numbers = [0.75, -0.75, -0.75, 0.75, 0.5, 0.0, 0.0, 0.5];
        let rounded = QuantizedWeight::round_numbers(&numbers, &[4, 2], scheme, &[0.75, 0.75, 0.5, 0.5], &[]).unwrap();
        model.set_weight("layers.0.weight", Weight::Quantized(rounded));
        model
    }

    fn integers(model: &Checkpoint) -> QuantizedWeight {
        let Weight::Quantized(weight) = model.weight("layers.0.weight").unwrap() else { panic!("no integers") };
        weight
    }

    #[test]
    fn integers_learn_on_their_grid() {
        let learned = |keep_zeros: bool| {
            let block = json!({"epochs": 60, "batch_size": 6, "learning_rate": 0.05, "keep_zeros": keep_zeros});
            bench(rounded).run::<Own>(&block, &teacher()).unwrap()
        };
        let (before, free, kept) = (integers(&rounded(&teacher())), learned(false), learned(true));
        assert_eq!(before.values, [1, -1, -1, 1, 1, 0, 0, 1]);
        for outcome in [&free, &kept] {
            let after = integers(&outcome.model);
            assert_eq!((&after.scales, after.scheme), (&before.scales, before.scheme));
            let first = outcome.receipt.details["train_loss"][0].as_f64().unwrap();
            assert!(outcome.receipt.figures["train_loss"] < first / 2.0, "{:?}", outcome.receipt);
        }
        assert_eq!(integers(&kept.model).values[5..7], [0, 0]);
        assert!(integers(&free.model).values[5..7].iter().any(|integer| *integer < 0), "{:?}", integers(&free.model));
    }

    #[test]
    fn what_cannot_learn_is_refused() {
        let refused = |nested: fn(&Checkpoint) -> Checkpoint, block| {
            let problems = bench(nested).plan::<Own>(&block, &teacher()).unwrap_err();
            problems.into_iter().map(|problem| (problem.pointer, problem.message)).collect::<Vec<_>>()
        };
        let other = |_: &Checkpoint| unbuilt(&[4], inputs(1), labels(&["left", "right"]));
        let message = "what the nested stages leave reads other inputs than the model before them, so it cannot learn \
                       from it";
        assert_eq!(refused(other, json!({})), [(String::new(), message.to_owned())]);
        let message = "compares layers, but the model has none that are alike";
        let expected = [("/hidden_weight".to_owned(), message.to_owned())];
        assert_eq!(refused(half, json!({"hidden_weight": 1})), expected);
    }
}

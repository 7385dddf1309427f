//! `quantize/qat`: training on while weights and inputs of layers are rounded, then integers.

mod figures;

use std::collections::BTreeMap;

use paring_data::Part;
use paring_model::{Checkpoint, Granularity, InputForm, Outputs, Site, SiteKind, Task, WeightOutline, WeightScheme};
use paring_train::fake::{FakeInput, FakeQuantization, Method, WeightRange};
use paring_train::fit::{Extras, FitSettings, Lesson, Teacher, fit_with, step_names};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rounding::{self, describe};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;
use crate::wording::counted;

/// Trains a model on while its weights, and the inputs of its layers, are rounded as they will be, and leaves it in
/// integers.
///
/// # What it does
/// In every forward pass each targeted weight is rounded to a symmetric grid of `bits` bits, and with `activation_bits`
/// the input of its layer to a grid with one scale. Gradients pass through the rounding to the floats behind, so that
/// training makes up for it. With `lsq` the scales are trained with the weights: they start at 2 <|v|> / sqrt(Q), where
/// Q is the largest integer, their gradient is round(v/s) - v/s inside the grid and the end of the grid beyond, and it
/// is multiplied by 1 / sqrt(N Q) for N weights a scale or N inputs a row. With `ste` the scales of weights are found
/// anew in each step, and those of inputs from moving averages of the smallest and largest number of a batch (a
/// hundredth of the way each time); gradients pass where a number is within half a step of the grid. At the end the
/// weights become packed integers with their scales, and the layer's input gets its fixed grid: the model computes in
/// integers what it computed in training. Weights that are zero in a masked tensor stay zero. Batch norm, biases and
/// norms train along in floating point; batch norm's running statistics are those of the rounded model. Lookup tables
/// are rounded, but have no input.
///
/// # When to use
/// At 4 bits and below, and for inputs of fewer than 8 bits, where rounding a trained model loses too much. After
/// training and pruning, as the last stage before export.
///
/// # When not to
/// At 8 bits, where `quantize/static-int8` and `quantize/rtn` hardly lose anything and take seconds. Without labelled
/// rows. From nothing: train in floating point first. Before a stage that needs float weights.
///
/// # Parameters
/// `bits` of weights; `activation_bits` of the inputs of layers, which stay in floating point without it. `method` is
/// `lsq` or `ste`; `weight_range` says how `ste` finds the scale of weights: `minmax` from the largest, `mse` with the
/// least squared error. `granularity`: one scale an output `channel` or a `tensor`. Inputs are unsigned integers with a
/// zero point that suits what the first batch shows (0 after a relu), or with `activation_symmetric` signed. Every
/// target is rounded, the first and the last layer too: leave them out with `ignore` where that costs too much. With
/// `teacher` the model before the stage teaches as in `distill/logits`, with `temperature` and `alpha`. All others are
/// those of `train/fit`. The rate that trained the model, or a third of it, is a good start. Learned steps train at the
/// same rate, with `adamw` times their size over that of the weights; `learning_rates` and `freeze` know them as
/// `layers.0.weight_step` and `layers.0.input_step`.
///
/// # Cost and limits
/// Time and memory of `train/fit` and about half as much again: a rounded copy of every weight, and of every input of a
/// layer. `mse` reads all weights 46 times in each step. Where sums in floating point end in another last bit than in
/// training and a number lies in the middle of two integers, the integer may be the other one.
///
/// # Source
/// Esser et al. 2020, "Learned Step Size Quantization", section 2, for `lsq`; Jacob et al. 2018, "Quantization and
/// Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 3, and Bengio et al. 2013,
/// "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation", for `ste`; Hinton,
/// Vinyals & Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, for `teacher`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QatParameters {
    /// Bits of one weight.
    #[serde(default = "four_bits")]
    #[schemars(range(min = 2, max = 8), example = 4)]
    pub bits: u8,
    /// Bits of one input of a layer. Without it inputs stay in floating point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 8), example = 4)]
    pub activation_bits: Option<u8>,
    /// Where scales come from.
    #[serde(default)]
    pub method: QatMethod,
    /// How `ste` finds the range of weights; `mse` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_range: Option<WeightRange>,
    /// Which weights share a scale.
    #[serde(default)]
    pub granularity: QatSharing,
    /// Signed inputs with zero in the middle, rather than unsigned ones with a zero point.
    #[serde(default)]
    pub activation_symmetric: bool,
    /// The model before the stage teaches, besides the labels.
    #[serde(default)]
    pub teacher: bool,
    /// Softmax temperature of the teacher, from 0.1 (inclusive) to 100 (inclusive); 4 where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.1, max = 100.0))]
    pub temperature: Option<f64>,
    /// Weight of the teacher's loss, from 0 (inclusive, labels only) to 1 (inclusive, teacher only); 0.5 where it is
    /// not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: Option<f64>,
    /// The training run.
    #[serde(flatten)]
    pub settings: FitSettings,
}

/// Where scales come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QatMethod {
    /// They are trained with the weights.
    #[default]
    Lsq,
    /// They follow the weights and inputs; gradients pass straight through the rounding.
    Ste,
}

/// Which weights share a scale.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QatSharing {
    /// All of a layer.
    Tensor,
    /// Those of one output channel.
    #[default]
    Channel,
}

fn four_bits() -> u8 {
    4
}

impl QatParameters {
    fn scheme(&self) -> WeightScheme {
        let granularity = match self.granularity {
            QatSharing::Tensor => Granularity::Tensor,
            QatSharing::Channel => Granularity::Channel,
        };
        WeightScheme { bits: self.bits, symmetric: true, granularity }
    }

    /// How training rounds a site.
    fn of(&self, site: &Site) -> FakeQuantization {
        let method = match self.method {
            QatMethod::Lsq => Method::Lsq,
            QatMethod::Ste => Method::Ste { range: self.weight_range.unwrap_or_default() },
        };
        let input = self.activation_bits.filter(|_| multiplies(site));
        let input = input.map(|bits| FakeInput { bits, symmetric: self.activation_symmetric });
        FakeQuantization { method, weight: self.scheme(), input }
    }

    fn steps(&self, sites: &[Site]) -> Vec<String> {
        sites.iter().flat_map(|site| step_names(&site.name, &self.of(site))).collect()
    }

    fn taught<'a>(&self, model: &'a Checkpoint) -> Option<Teacher<'a>> {
        let (temperature, alpha) = (self.temperature.unwrap_or(4.0), self.alpha.unwrap_or(0.5));
        let teacher = Teacher { temperature, alpha, ..Teacher::new(std::slice::from_ref(model)) };
        self.teacher.then_some(teacher)
    }

    /// "4-bit inputs, unsigned", as notes say it.
    fn inputs(&self) -> String {
        let sign = if self.activation_symmetric { "signed" } else { "unsigned" };
        self.activation_bits.map_or("inputs in floating point".to_owned(), |bits| format!("{bits}-bit inputs, {sign}"))
    }
}

/// Whether the site multiplies an input: a lookup table does not, unless it is the output layer too.
fn multiplies(site: &Site) -> bool {
    !matches!(site.kind, SiteKind::Embedding { tied: false })
}

/// The pass.
pub struct Qat;

impl Definition for Qat {
    type Parameters = QatParameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/qat",
        summary: "train on with rounded weights and inputs of layers, then leave integers",
        version: 3,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn check(parameters: &QatParameters) -> Vec<Problem> {
        let wrong = [
            (parameters.weight_range.is_some() && parameters.method == QatMethod::Lsq, "weight_range", "method: ste"),
            (parameters.activation_symmetric && parameters.activation_bits.is_none(), ACTIVATION, "activation_bits"),
            (parameters.temperature.is_some() && !parameters.teacher, "temperature", "teacher: true"),
            (parameters.alpha.is_some() && !parameters.teacher, "alpha", "teacher: true"),
        ];
        let problem = |(_, name, with): (bool, &str, &str)| {
            let help = format!("remove `{name}`, or give `{with}` too");
            Problem::new(format!("/{name}"), format!("goes with `{with}` only")).help(help)
        };
        wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong).map(problem).collect()
    }

    fn plan(parameters: &QatParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let settings = &parameters.settings;
        let mut problems = training::problems(settings, cx);
        problems.extend(quantized_problem(cx));
        problems.extend(training::task_problem(settings, cx.outline));
        problems.extend(teacher_problem(parameters, cx));
        problems.extend(training::unsuited(settings, "does not go together with rounded weights"));
        problems.extend(training::glob_problems_with(settings, cx.outline, &parameters.steps(cx.sites)));
        let input = parameters.activation_bits.map(InputForm::fixed);
        let effect = rounding::plan(cx, parameters.scheme(), input).map_err(|more| problems.extend(more)).ok();
        let Some(mut effect) = effect.filter(|_| problems.is_empty()) else { return Err(problems) };
        for site in cx.sites.iter().filter(|site| !multiplies(site)) {
            if let Some(WeightOutline::Quantized { activation, .. }) = effect.outline.weights.get_mut(&site.weight()) {
                *activation = None;
            }
        }
        trained_too(&mut effect, cx);
        effect.memory += training::memory(&parameters.settings, cx.outline, cx) + copies(cx);
        effect.notes.push(format!("{}; {}", describe(parameters.scheme()), parameters.inputs()));
        effect.notes.extend(training::notes(settings, cx));
        Ok(effect)
    }

    fn run(parameters: &QatParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let float = model.clone();
        let rows = cx.required_examples(Part::Train, &model)?;
        let judges = cx.examples(Part::Validate, &model)?;
        let lesson = Lesson { train: &rows, validate: judges.as_ref(), teacher: parameters.taught(&float) };
        let sites: BTreeMap<String, FakeQuantization> =
            cx.sites.iter().map(|site| (site.name.clone(), parameters.of(site))).collect();
        let (settings, stream) = (&parameters.settings, cx.stream.split("fit"));
        let extras = Extras { rounded: Some(&sites), ..Extras::default() };
        let report = fit_with(&mut model, lesson, extras, settings, &stream, &mut cx.watch(settings))?;
        let mut receipt = training::receipt(settings, &report)?;
        for site in cx.sites {
            receipt.sites.insert(site.name.clone(), figures::of(&float, &model, site)?);
        }
        let (count, scheme) = (counted(cx.sites.len(), "site"), describe(parameters.scheme()));
        receipt.summary = format!("{}; {count} in integers: {scheme}; {}", receipt.summary, parameters.inputs());
        Ok(Outcome { model, receipt })
    }
}

const ACTIVATION: &str = "activation_symmetric";

/// All layers change: those that are no targets are trained as well.
fn trained_too(effect: &mut Effect, cx: &PlanCx<'_>) {
    effect.touches = cx.outline.sites().unwrap_or_default().into_iter().map(|site| site.name).collect();
    effect.skips.iter_mut().for_each(|(_, reason)| *reason = "trained on, but stays in floating point".to_owned());
}

/// A weight that is not among the targets may be quantized already, and then nothing trains through it.
fn quantized_problem(cx: &PlanCx<'_>) -> Option<Problem> {
    let targeted = |name: &str| cx.sites.iter().any(|site| site.weight() == name);
    let name = training::quantized(cx.outline).filter(|name| !targeted(name))?;
    let message = format!("tensor `{name}` is quantized, expected float weights");
    Some(Problem::new("", message).help("quantize all layers in one stage, or start from the float model"))
}

fn teacher_problem(parameters: &QatParameters, cx: &PlanCx<'_>) -> Option<Problem> {
    let continues = cx.outline.outputs.as_ref().map(Outputs::task) == Some(Task::Generate);
    let message = "a model that continues texts learns from no teacher";
    (parameters.teacher && continues).then(|| Problem::new("/teacher", message).help("remove `teacher`"))
}

/// Bytes of the targeted weights rounded, in steps, and their gradient.
fn copies(cx: &PlanCx<'_>) -> u64 {
    let weights = cx.sites.iter().map(|site| crate::weights::shape(cx, site).iter().product::<usize>() as u64);
    weights.fold(0, |sum, weights| sum.saturating_add(weights.saturating_mul(12)))
}

#[cfg(test)]
mod tests;

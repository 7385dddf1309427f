//! `quantize/gptq`: weights rounded one after the other, later ones making up for the error of earlier ones.

mod form;
mod solve;

use paring_model::{Checkpoint, Site, Weight, WeightScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calibrated;
use super::rounding::{self, describe};
use super::scales::WeightObserver;
use super::scheme::{self, Sharing};
use crate::calibration::Calibration;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::hessian::{Factor, Hessian, OutputError};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::walk::{Figures, Group, Visitor, columns, walk};
use crate::weights::{Difference, FloatWeight};
use form::Target;
use solve::Layer;

pub(super) use form::Form;

/// Rounds weights to integers of 2 to 8 bits one input column after the other; the weights that are not rounded yet make
/// up for the error of those that are, as far as calibration inputs tell how.
///
/// # What it does
/// For each layer the mean of x x^T over its calibration inputs, H, is the second derivative of the squared error of its
/// outputs. Columns are rounded in turn, those of the largest inputs first (`act_order`); the error of each, over the
/// diagonal of the upper Cholesky factor of H^-1, is subtracted from the columns that follow, by the factor's row.
/// Layers are worked on in the order in which they run, and each sees the inputs that the layers before it make once
/// they are rounded; layers that share an input are rounded together. Columns that no row activates are rounded to
/// nearest. Weights that pruning set to zero stay zero, and the others make up for it.
///
/// # When to use
/// For language models and encoders at 3 or 4 bits, where rounding to nearest costs accuracy: with the same file size it
/// keeps clearly more.
///
/// # When not to
/// At 8 bits, where `quantize/rtn` is as good and needs no data. Where calibration rows do not look like the data of
/// use. Before training or pruning, which need float weights.
///
/// # Parameters
/// `bits`, `symmetric`, `granularity`, `group_size` and `observer` are as for `quantize/rtn`. `act_order` rounds columns
/// of large inputs first; scales then come from the weights as they were (`static_groups`), so that groups stay
/// consecutive in the file. Without `act_order`, `static_groups: false` chooses the scales of a group from its weights
/// when its first column is rounded. `damping` is added to the diagonal of H, as a share of its mean; where H cannot be
/// factored still, it is raised tenfold, and the receipt says so. `calibration_rows` are drawn at random.
///
/// # Cost and limits
/// One pass of the calibration rows through the model; for each layer of n inputs and m outputs about n^3 + m n^2
/// operations. It holds one block of the model, the calibration activations at one place, and H. Each block is kept as
/// it is done: a run that was cut off goes on after the last one. Fewer than 8 rows, inputs that are not finite, and a
/// layer that sees only zeros are refused. Lookup tables multiply nothing and stay as they are.
///
/// # Source
/// Frantar et al. 2022, "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", section 3
/// and algorithm 1; `act_order` and `static_groups` are those of its published code.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GptqParameters {
    /// Bits of one weight.
    #[serde(default = "four")]
    #[schemars(range(min = 2, max = 8), example = 4)]
    pub bits: u8,
    /// Zero in the middle of the integers, and no zero points. Otherwise each scale has a zero point.
    #[serde(default = "yes")]
    pub symmetric: bool,
    /// Which weights share a scale. `group` where `group_size` is given, otherwise `channel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Sharing>,
    /// Inputs of one output channel that share a scale; 128 where `granularity` is `group` and this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576), example = 64)]
    pub group_size: Option<usize>,
    /// How the range of the weights that share a scale is chosen.
    #[serde(default)]
    pub observer: WeightObserver,
    /// Columns of large inputs are rounded first.
    #[serde(default = "yes")]
    pub act_order: bool,
    /// Scales come from the weights before any is rounded.
    #[serde(default = "yes")]
    pub static_groups: bool,
    /// Added to the diagonal of H, as a share of its mean.
    #[serde(default = "one_percent")]
    #[schemars(range(min = 0.0, max = 1.0), example = 0.01)]
    pub damping: f64,
    /// At most this many rows are looked at.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn four() -> u8 {
    4
}

fn yes() -> bool {
    true
}

fn one_percent() -> f64 {
    0.01
}

fn rows() -> usize {
    128
}

impl GptqParameters {
    fn scheme(&self) -> WeightScheme {
        scheme::of(self.bits, self.symmetric, self.granularity, self.group_size)
    }
}

/// The pass.
pub struct Gptq;

impl Definition for Gptq {
    type Parameters = GptqParameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/gptq",
        summary: "round weights to integers of 2 to 8 bits, later ones making up for the error of earlier ones",
        version: 3,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn check(parameters: &GptqParameters) -> Vec<Problem> {
        let mut problems = scheme::problems(parameters.granularity, parameters.group_size);
        if parameters.act_order && !parameters.static_groups {
            let problem =
                Problem::new("/static_groups", "is `false`, but `act_order` needs scales that are chosen first");
            problems.push(problem.help("set `act_order: false`, or leave `static_groups` out"));
        }
        problems
    }

    fn plan(parameters: &GptqParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let scheme = parameters.scheme();
        let mut effect = calibrated::plan(cx, scheme)?;
        effect.notes.extend(calibrated::notes(cx, &describe(scheme), parameters.calibration_rows));
        Ok(effect)
    }

    fn run(parameters: &GptqParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let forms = |_: &str| Form::Integers(parameters.scheme());
        let GptqParameters { act_order, static_groups, damping, .. } = *parameters;
        let rounding = Rounding::new(&forms, parameters.observer);
        let mut visitor = Rounding { act_order, static_groups, damping, ..rounding };
        let (model, sites) = walk(cx, model, &calibration, &mut visitor)?;
        let receipt = calibrated::receipt("rounded", parameters.scheme(), sites, calibration.rows);
        Ok(Outcome { model, receipt })
    }
}

/// How weights are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// To the nearest integer.
    Nearest,
    /// Later weights make up for the error of earlier ones.
    Gptq,
}

/// Sums up a group's inputs, then rounds its weights.
pub(super) struct Rounding<'a> {
    /// What the weight of a site becomes.
    forms: &'a dyn Fn(&str) -> Form,
    observer: WeightObserver,
    act_order: bool,
    static_groups: bool,
    damping: f64,
    hessian: Hessian,
}

impl<'a> Rounding<'a> {
    /// With the defaults of `quantize/gptq`.
    pub(super) fn new(forms: &'a dyn Fn(&str) -> Form, observer: WeightObserver) -> Self {
        let damping = one_percent();
        Self { forms, observer, act_order: true, static_groups: true, damping, hessian: Hessian::default() }
    }
}

impl Visitor for Rounding<'_> {
    fn see(&mut self, group: &Group, input: &candle_core::Tensor) -> Result<(), PassError> {
        self.hessian.add(&columns(group, input)?)
    }

    fn settle(&mut self, group: &Group, model: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let hessian = std::mem::take(&mut self.hessian);
        let name = group.sites.first().map(|site| site.name.as_str()).unwrap_or_default();
        let mean = hessian.mean(name)?;
        let factor = Factor::new(name, &mean, self.damping, self.act_order)?;
        let squares: Vec<f32> = mean.diagonal().column_vector().iter().map(|square| *square as f32).collect();
        let errors = OutputError::new(&mean)?;
        group.sites.iter().map(|site| self.round(model, site, (&factor, &squares), &errors)).collect()
    }
}

impl Rounding<'_> {
    fn round(
        &self,
        model: &Checkpoint,
        site: &Site,
        (factor, squares): (&Factor, &[f32]),
        errors: &OutputError,
    ) -> Result<(Weight, Figures), PassError> {
        let weight = FloatWeight::read(model, site)?;
        let target = Target { form: (self.forms)(&site.name), weight: &weight, observer: self.observer, squares };
        let nearest = form::restored(&target.nearest()?)?;
        let (grid, group) = target.grid()?;
        let late_steps = !self.static_groups;
        let layer = Layer { weights: &weight.numbers, factor, grid: &*grid, group, late_steps, masked: weight.masked };
        let rounded = target.assemble(layer.solve())?;
        let restored = form::restored(&rounded)?;
        let mut figures =
            rounding::told(Difference::between(&weight.numbers, &restored), form::bits_per_weight(&rounded));
        let more = [
            ("output_error", errors.between(&weight.numbers, &restored)?),
            ("nearest_output_error", errors.between(&weight.numbers, &nearest)?),
            ("damping", factor.damping),
            ("dead_columns", factor.dead.len() as f64),
        ];
        figures.extend(more.map(|(name, figure)| (name.to_owned(), figure)));
        Ok((rounded, figures))
    }
}

#[cfg(test)]
mod tests;

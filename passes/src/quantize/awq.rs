//! `quantize/awq`: input channels that matter are scaled up before rounding, by scales folded into what comes before.

mod clip;
mod scale;

use candle_core::{DType, Tensor};
use faer::Mat;
use paring_model::{Checkpoint, Fold, Site, Weight, WeightScheme};
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
use crate::hessian::{Hessian, OutputError};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::walk::{Figures, Finished, Group, Visitor, columns, multiplying, walk};
use crate::weights::FloatWeight;
use crate::wording::counted;

/// Rounds weights to integers of 2 to 8 bits after scaling up the input channels that carry large activations, so that
/// their weights lose less.
///
/// # What it does
/// For each group of layers that share an input, the columns of their weights are multiplied by s and what writes the
/// input is divided by s: the normalization before them, or the rows of the layer before them. s is the mean magnitude
/// of each input channel to the power a, over the geometric mean of its largest and smallest, with a of 0, 0.05, ...
/// 0.95 that leaves the least squared error of the layers' outputs on the calibration inputs. With `clip`, the range of
/// each group of weights then shrinks to 1.00, 0.95, ... 0.55 of it, to what leaves the least output error of the group;
/// query and key layers are not clipped. Then weights are rounded to nearest.
///
/// # When to use
/// For language models at 4 bits with few calibration rows: it fits two numbers a group to them, no weights.
///
/// # When not to
/// Where nothing can take the scales up: behind a residual stream that reads the same normalization (BERT), or behind an
/// activation function. Such layers are only clipped and rounded. Where the best accuracy is wanted and there are enough
/// rows: `quantize/gptq`.
///
/// # Parameters
/// `bits`, `symmetric`, `granularity` and `group_size` are as for `quantize/rtn`; zero points are the default here.
/// `clip` searches ranges. `calibration_rows` are drawn at random.
///
/// # Cost and limits
/// One pass of the calibration rows through the model, and 20 roundings of each weight. It holds one block of the model,
/// the calibration activations at one place, and x x^T of the block's inputs. Each block is kept as it is done: a run
/// that was cut off goes on after the last one. Lookup tables multiply nothing and stay as they are.
///
/// # Source
/// Lin et al. 2023, "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration", section 3.2 and
/// equations 4 and 5; the clipping is that of its published code.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwqParameters {
    /// Bits of one weight.
    #[serde(default = "four")]
    #[schemars(range(min = 2, max = 8), example = 4)]
    pub bits: u8,
    /// Zero in the middle of the integers, and no zero points. Otherwise each scale has a zero point.
    #[serde(default)]
    pub symmetric: bool,
    /// Which weights share a scale. `group` where `group_size` is given, otherwise `channel`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granularity: Option<Sharing>,
    /// Inputs of one output channel that share a scale; 128 where `granularity` is `group` and this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576), example = 64)]
    pub group_size: Option<usize>,
    /// Ranges of weights shrink where that lowers the error of outputs.
    #[serde(default = "yes")]
    pub clip: bool,
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

fn rows() -> usize {
    128
}

impl AwqParameters {
    fn scheme(&self) -> WeightScheme {
        scheme::of(self.bits, self.symmetric, self.granularity, self.group_size)
    }
}

/// The pass.
pub struct Awq;

impl Definition for Awq {
    type Parameters = AwqParameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/awq",
        summary: "round weights to integers of 2 to 8 bits after scaling up the channels of large activations",
        version: 2,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn check(parameters: &AwqParameters) -> Vec<Problem> {
        scheme::problems(parameters.granularity, parameters.group_size)
    }

    fn plan(parameters: &AwqParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let scheme = parameters.scheme();
        let mut effect = calibrated::plan(cx, scheme)?;
        let sites = multiplying(cx.sites);
        let folded = sites.iter().filter(|site| calibrated::fold(site, &sites).is_some()).count();
        if folded == 0 {
            let problem = Problem::new("", "nothing before any of the targets can take up scales of their inputs");
            return Err(vec![problem.help("use `quantize/gptq`, or `quantize/rtn` with `observer: mse`")]);
        }
        if folded < sites.len() {
            let rest = counted(sites.len() - folded, "site");
            effect.notes.push(format!("{rest} with nothing before that takes up scales: clipped and rounded only"));
        }
        effect.notes.extend(calibrated::notes(cx, &describe(scheme), parameters.calibration_rows));
        Ok(effect)
    }

    fn run(parameters: &AwqParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let mut visitor = Scaling { parameters, targets: cx.sites, inputs: Inputs::default(), seen: Vec::new() };
        let (model, sites) = walk(cx, model, &calibration, &mut visitor)?;
        let receipt = calibrated::receipt("scaled and rounded", parameters.scheme(), sites, calibration.rows);
        Ok(Outcome { model, receipt })
    }
}

/// What is known of a group's inputs.
#[derive(Default)]
struct Inputs {
    hessian: Hessian,
    /// Sum of magnitudes, [in].
    magnitudes: Option<Tensor>,
}

/// A group of sites with what their inputs are like.
struct Seen {
    group: Group,
    /// The mean of x x^T; of the scaled inputs once scales are folded in.
    mean: Mat<f64>,
    /// The mean magnitude of each input channel.
    magnitudes: Vec<f64>,
    /// Scales of the input channels, and the power that gave them.
    scales: Vec<f32>,
    power: f64,
    /// What the receipt compares with.
    nearest_errors: Vec<f64>,
}

/// Watches groups, and scales and rounds their weights once their block is done.
struct Scaling<'a> {
    parameters: &'a AwqParameters,
    targets: &'a [Site],
    inputs: Inputs,
    seen: Vec<Seen>,
}

impl Visitor for Scaling<'_> {
    fn see(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError> {
        let columns = columns(group, input)?.to_dtype(DType::F32)?;
        self.inputs.hessian.add(&columns)?;
        let sum = columns.abs()?.sum(0)?;
        self.inputs.magnitudes = Some(match &self.inputs.magnitudes {
            Some(before) => (before + sum)?,
            None => sum,
        });
        Ok(())
    }

    fn settle(&mut self, group: &Group, _: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let Inputs { hessian, magnitudes } = std::mem::take(&mut self.inputs);
        let name = group.sites.first().map(|site| site.name.as_str()).unwrap_or_default();
        let magnitudes = magnitudes.map_or(Ok(Vec::new()), |sum| sum.to_vec1::<f32>())?;
        self.seen.push(Seen {
            group: group.clone(),
            mean: hessian.mean(name)?,
            magnitudes: magnitudes.into_iter().map(f64::from).collect(),
            scales: Vec::new(),
            power: 0.0,
            nearest_errors: Vec::new(),
        });
        Ok(Vec::new())
    }

    fn finish(&mut self, model: &mut Checkpoint) -> Result<Finished, PassError> {
        if self.waits() {
            return Ok(Finished { waits: true, ..Finished::default() });
        }
        let mut finished = Finished::default();
        let mut seen = std::mem::take(&mut self.seen);
        for seen in &mut seen {
            let scheme = self.parameters.scheme();
            seen.nearest_errors = nearest_errors(seen, model, scheme)?;
            let takes = seen.group.sites.first().filter(|site| calibrated::fold(site, self.targets).is_some());
            if let Some(source) = takes.and_then(|site| model.outline().source(site).ok()) {
                (seen.scales, seen.power) = scale::search(seen, model, scheme)?;
                finished.tensors.extend(scale::fold(seen, model, &source)?);
            }
        }
        for seen in &seen {
            for (site, nearest) in seen.group.sites.iter().zip(&seen.nearest_errors) {
                let figures = self.round(seen, site, *nearest, model)?;
                finished.figures.push((site.name.clone(), figures));
            }
        }
        Ok(finished)
    }
}

impl Scaling<'_> {
    /// Whether a site that was not seen yet scales the rows of one that was.
    fn waits(&self) -> bool {
        let seen = |name: &String| self.seen.iter().any(|seen| seen.group.sites.iter().any(|site| site.name == *name));
        let unseen = self.targets.iter().filter(|site| !seen(&site.name));
        unseen.filter_map(|site| calibrated::fold(site, self.targets)).any(|fold| match fold {
            Fold::Rows(writer) => seen(writer),
            Fold::Norm(_) => false,
        })
    }

    /// Rounds a scaled weight, clipped where that is asked for.
    fn round(&self, seen: &Seen, site: &Site, nearest: f64, model: &mut Checkpoint) -> Result<Figures, PassError> {
        let scheme = self.parameters.scheme();
        let weight = FloatWeight::read(model, site)?;
        let clips = self.parameters.clip && clip::suits(site);
        let clipped = if clips { clip::search(&weight, &seen.mean, scheme) } else { weight.numbers.clone() };
        let quantized = rounding::nearest(&weight.with(clipped), scheme, WeightObserver::Minmax)?;
        let mut figures = rounding::figures(&weight, &quantized, None);
        let error = OutputError::new(&seen.mean)?.between(&weight.numbers, &rounding::restored(&quantized)?)?;
        let more = [("output_error", error), ("nearest_output_error", nearest), ("power", seen.power)];
        figures.extend(more.map(|(name, figure)| (name.to_owned(), figure)));
        model.set_weight(&site.weight(), Weight::Quantized(quantized));
        Ok(figures)
    }
}

/// The output errors of a group's sites if they were rounded to nearest as they are.
fn nearest_errors(seen: &Seen, model: &Checkpoint, scheme: WeightScheme) -> Result<Vec<f64>, PassError> {
    let errors = OutputError::new(&seen.mean)?;
    let one = |site: &Site| {
        let weight = FloatWeight::read(model, site)?;
        let rounded = super::scales::rounded(&weight.numbers, weight.inputs(), scheme, WeightObserver::Minmax);
        errors.between(&weight.numbers, &rounded)
    };
    seen.group.sites.iter().map(one).collect()
}

#[cfg(test)]
mod tests;

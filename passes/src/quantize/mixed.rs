//! `quantize/mixed`: more bits for the layers that need them, within a budget.

mod allocate;
mod divergence;

use std::collections::BTreeMap;

use paring_model::{Checkpoint, Weight, WeightOutline, WeightScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::calibrated;
use super::each::each;
use super::gptq::{Form, Method, Rounding};
use super::rounding;
use super::scales::{self, WeightObserver};
use super::scheme;
use crate::calibration::Calibration;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::hessian::{Hessian, OutputError};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::walk::{Figures, Group, Visitor, columns, look, multiplying, walk};
use crate::weights::FloatWeight;
use crate::wording::counted;
use allocate::{Candidate, allocate};
use divergence::divergences;

/// Rounds the weights of each layer to a number of bits of its own: those that lose most get more, and all together stay
/// within a budget.
///
/// # What it does
/// On the calibration rows it measures, for each layer and each number of bits in `bits`, the squared error of the
/// layer's outputs once its weights are rounded, over the square of the outputs. With `sensitivity: divergence` it then
/// rounds the weights of one layer at a time, to one number of bits for all, runs the rest of the model, and measures how
/// far the answers move: the Kullback-Leibler divergence of the probabilities of classes or tokens, or the squared error
/// of other outputs over their square. To a first approximation that is in proportion to the layer's own squared error,
/// which so tells it for the other numbers of bits. With `reconstruction` the layers' own errors are what counts.
///
/// Of all choices of bits that stay within the budget it takes the one with the least sum: a multiple-choice knapsack,
/// solved to optimality. Then weights are rounded, by `method`. The receipt tells the bits and the errors of every layer.
///
/// # When to use
/// Where a file must not be larger than a number of bytes, or fewer bits than one number for all layers allows are
/// wanted: at the same size the error is lower.
///
/// # When not to
/// Where what loads the model knows one number of bits only. At 8 bits, where nothing is lost anyway.
///
/// # Parameters
/// Give one budget: `bits_per_weight`, with scales and zero points, over all targets; or `size`, of the whole weights
/// file, in bytes (`60MB`). `bits` are the choices. `symmetric`, `group_size` and `observer` are as for `quantize/rtn`.
/// `method: gptq` rounds as `quantize/gptq` does, `nearest` as `quantize/rtn`; errors are measured with `nearest` either
/// way. `calibration_rows` are drawn at random. `sensitivity` is what the choice keeps small; `divergence` compares about
/// 1024 answers to some of the rows (a text has one for each token).
///
/// # Cost and limits
/// One pass of the calibration rows through the model and a rounding of each weight for each choice; with `gptq` a second
/// pass, and what that costs. It holds one block of the model, the calibration activations at one place, and x x^T of one
/// input; with `divergence` the whole model in f32, for half a forward pass of 1024 tokens a layer. Lookup tables multiply
/// nothing and stay as they are.
///
/// # Source
/// The choice as an integer program, of losses that were measured for one layer at a time: Hubara et al. 2021, "Accurate
/// Post Training Quantization With Small Calibration Sets", section 4. The divergence of the outputs as a layer's
/// sensitivity: Cai et al. 2020, "ZeroQ: A Novel Zero Shot Quantization Framework", equation 2. Errors from x x^T: Nagel
/// et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization", section 3.2.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixedParameters {
    /// Bits of one weight on average, with scales and zero points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1.0, max = 32.0), example = 4.5)]
    pub bits_per_weight: Option<f64>,
    /// Most bytes of the weights file: `60MB`, `500kB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "60MB")]
    pub size: Option<String>,
    /// Numbers of bits that a layer may get.
    #[serde(default = "choices")]
    #[schemars(length(min = 2, max = 7), inner(range(min = 2, max = 8)))]
    pub bits: Vec<u8>,
    /// Zero in the middle of the integers, and no zero points. Otherwise each scale has a zero point.
    #[serde(default = "yes")]
    pub symmetric: bool,
    /// Inputs of one output channel that share a scale; all of them where this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576), example = 64)]
    pub group_size: Option<usize>,
    /// How the range of the weights that share a scale is chosen.
    #[serde(default = "mse")]
    pub observer: WeightObserver,
    /// What a layer must not lose.
    #[serde(default)]
    pub sensitivity: Sensitivity,
    /// How weights are rounded.
    #[serde(default = "gptq")]
    pub method: Method,
    /// At most this many rows are looked at.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

/// What the choice of bits keeps small.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// What the model's answers lose when the layer is rounded.
    #[default]
    Divergence,
    /// What the layer's outputs lose.
    Reconstruction,
}

fn choices() -> Vec<u8> {
    vec![2, 3, 4, 5, 6, 8]
}

fn yes() -> bool {
    true
}

fn gptq() -> Method {
    Method::Gptq
}

fn mse() -> WeightObserver {
    WeightObserver::Mse
}

fn rows() -> usize {
    128
}

impl MixedParameters {
    fn scheme(&self, bits: u8) -> WeightScheme {
        scheme::of(bits, self.symmetric, None, self.group_size)
    }

    /// The choices, fewest bits first.
    fn choices(&self) -> Vec<u8> {
        let mut bits = self.bits.clone();
        bits.sort_unstable();
        bits.dedup();
        bits
    }

    /// Bytes that a weight of this shape takes.
    fn bytes(&self, shape: &[usize], bits: u8) -> u64 {
        let (shape, scheme) = (shape.to_vec(), self.scheme(bits));
        WeightOutline::Quantized { shape, scheme, activation: None }.size()
    }

    /// Bytes that weights of these shapes may take together; the whole file takes `lowest` where all get the fewest bits.
    fn budget(&self, shapes: &[Vec<usize>], lowest: u64) -> Result<u64, Problem> {
        let fewest = self.choices().first().copied().unwrap_or(2);
        let least: u64 = shapes.iter().map(|shape| self.bytes(shape, fewest)).sum();
        let budget = match (self.bits_per_weight, &self.size) {
            (Some(bits), _) => {
                let weights: usize = shapes.iter().map(|shape| shape.iter().product::<usize>()).sum();
                (weights as f64 * bits / 8.0) as u64
            }
            (None, Some(size)) => {
                let size = paring_schema::units::parse_bytes(size).map_err(|reason| Problem::new("/size", reason))?;
                size.saturating_sub(lowest.saturating_sub(least))
            }
            (None, None) => 0,
        };
        if budget >= least {
            return Ok(budget);
        }
        let place = if self.size.is_some() { "/size" } else { "/bits_per_weight" };
        let message = format!("leaves {budget} bytes for the targets, which take {least} with {fewest} bits each");
        Err(Problem::new(place, message).help("raise the budget, allow fewer `bits`, or target more of the model"))
    }
}

/// The pass.
pub struct Mixed;

impl Definition for Mixed {
    type Parameters = MixedParameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/mixed",
        summary: "round each layer to a number of bits of its own, the best choice within a budget",
        version: 4,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[Leaves::QuantizedWeights],
    };

    fn check(parameters: &MixedParameters) -> Vec<Problem> {
        let help = "give `bits_per_weight: 4.5`, or `size: 60MB`";
        match (parameters.bits_per_weight, &parameters.size) {
            (Some(_), Some(_)) => vec![Problem::new("/size", "is a second budget beside `bits_per_weight`").help(help)],
            (None, None) => vec![Problem::new("", "there is no budget").help(help)],
            (None, Some(size)) => {
                let parsed = paring_schema::units::parse_bytes(size);
                parsed.err().map(|reason| Problem::new("/size", reason)).into_iter().collect()
            }
            (Some(_), None) => Vec::new(),
        }
    }

    fn plan(parameters: &MixedParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let fewest = parameters.choices().first().copied().unwrap_or(2);
        let mut effect = calibrated::plan(cx, parameters.scheme(fewest))?;
        let sites = multiplying(cx.sites);
        let shapes: Vec<Vec<usize>> = sites.iter().map(|site| crate::weights::shape(cx, site).to_vec()).collect();
        let budget = parameters.budget(&shapes, effect.outline.file_size()).map_err(|problem| vec![problem])?;
        if parameters.sensitivity == Sensitivity::Divergence {
            let all = cx.outline.weights.values().map(|weight| weight.shape().iter().product::<usize>() as u64 * 4);
            effect.memory += all.sum::<u64>();
        }
        effect.exact = false;
        effect
            .notes
            .push(format!("bits of each site within {budget} bytes; the size told is that of {fewest} bits each"));
        effect.notes.extend(calibrated::notes(cx, "errors of outputs", parameters.calibration_rows));
        Ok(effect)
    }

    fn run(parameters: &MixedParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let mut measuring = Measuring { parameters, hessian: Hessian::default(), found: BTreeMap::new() };
        look(cx, cx.sites, &model, &calibration, &mut measuring)?;
        let Measuring { mut found, .. } = measuring;
        let budget = budget(parameters, cx, &model)?;
        if parameters.sensitivity == Sensitivity::Divergence {
            weigh(parameters, cx, &model, &calibration, &mut found, budget)?;
        }
        let bits = choose(&found, budget)?;
        let (model, sites) = match parameters.method {
            Method::Gptq => {
                let forms = |site: &str| Form::Integers(parameters.scheme(bits.get(site).copied().unwrap_or(8)));
                walk(cx, model, &calibration, &mut Rounding::new(&forms, parameters.observer))?
            }
            Method::Nearest => nearest(parameters, cx, model, &bits)?,
        };
        let mut receipt = Receipt { sites, ..Receipt::default() };
        for (site, candidates) in &found {
            if let Some(figures) = receipt.sites.get_mut(site) {
                figures.insert("bits".to_owned(), f64::from(bits.get(site).copied().unwrap_or(0)));
                let errors = candidates.iter().map(|one| (format!("error_at_{}_bits", one.bits), one.error));
                figures.extend(errors);
            }
        }
        let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
        bits.values().for_each(|bits| *counts.entry(*bits).or_default() += 1);
        receipt.details.insert("sites_by_bits".to_owned(), json!(counts));
        let parts: Vec<String> = counts.iter().map(|(bits, count)| format!("{count} with {bits} bits")).collect();
        receipt.summary = format!("rounded {}: {}", counted(bits.len(), "site"), parts.join(", "));
        Ok(Outcome { model, receipt })
    }
}

/// Measures what each number of bits costs at each site.
struct Measuring<'a> {
    parameters: &'a MixedParameters,
    hessian: Hessian,
    found: BTreeMap<String, Vec<Candidate>>,
}

impl Visitor for Measuring<'_> {
    fn see(&mut self, group: &Group, input: &candle_core::Tensor) -> Result<(), PassError> {
        self.hessian.add(&columns(group, input)?)
    }

    fn settle(&mut self, group: &Group, model: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let name = group.sites.first().map(|site| site.name.as_str()).unwrap_or_default();
        let errors = OutputError::new(&std::mem::take(&mut self.hessian).mean(name)?)?;
        for site in &group.sites {
            let weight = FloatWeight::read(model, site)?;
            let nothing = vec![0.0; weight.numbers.len()];
            let whole = errors.between(&weight.numbers, &nothing)?.max(f64::MIN_POSITIVE);
            let candidate = |bits: u8| -> Result<Candidate, PassError> {
                let scheme = self.parameters.scheme(bits);
                let rounded = scales::rounded(&weight.numbers, weight.inputs(), scheme, self.parameters.observer);
                let error = errors.between(&weight.numbers, &rounded)? / whole;
                Ok(Candidate { bits, bytes: self.parameters.bytes(&weight.shape, bits), error })
            };
            let candidates = self.parameters.choices().into_iter().map(candidate).collect::<Result<_, _>>()?;
            self.found.insert(site.name.clone(), candidates);
        }
        Ok(Vec::new())
    }
}

/// Makes of each layer's own errors those of the model's answers. They are measured for the most bits that all layers
/// could have.
fn weigh(
    parameters: &MixedParameters,
    cx: &Cx<'_>,
    model: &Checkpoint,
    calibration: &Calibration,
    found: &mut BTreeMap<String, Vec<Candidate>>,
    budget: u64,
) -> Result<(), PassError> {
    let choices = parameters.choices();
    let bytes = |index: usize| found.values().filter_map(|one| one.get(index)).map(|one| one.bytes).sum::<u64>();
    let reference = (0..choices.len()).rev().find(|&index| bytes(index) <= budget).unwrap_or(0);
    let scheme = parameters.scheme(choices.get(reference).copied().unwrap_or(8));
    let sites = multiplying(cx.sites);
    let lost = divergences(cx, model, calibration, &sites, (scheme, parameters.observer))?;
    for (site, candidates) in found {
        let own = candidates.get(reference).map_or(0.0, |one| one.error);
        let factor = if own > 0.0 { lost.get(site).copied().unwrap_or(0.0) / own } else { 0.0 };
        candidates.iter_mut().for_each(|one| one.error *= factor);
    }
    Ok(())
}

/// Bytes that the targets may take.
fn budget(parameters: &MixedParameters, cx: &Cx<'_>, model: &Checkpoint) -> Result<u64, PassError> {
    let mut outline = model.outline();
    let mut shapes = Vec::new();
    for site in multiplying(cx.sites) {
        let shape = outline.weights.get(&site.weight()).map(|weight| weight.shape().to_vec()).unwrap_or_default();
        let scheme = parameters.scheme(parameters.choices().first().copied().unwrap_or(2));
        let rounded = WeightOutline::Quantized { shape: shape.clone(), scheme, activation: None };
        outline.weights.insert(site.weight(), rounded);
        shapes.push(shape);
    }
    parameters.budget(&shapes, outline.file_size()).map_err(|problem| PassError::Failed(problem.message))
}

/// The bits of each site.
fn choose(found: &BTreeMap<String, Vec<Candidate>>, budget: u64) -> Result<BTreeMap<String, u8>, PassError> {
    let candidates: Vec<Vec<Candidate>> = found.values().cloned().collect();
    let chosen = allocate(&candidates, budget)?;
    let bits = found.iter().zip(chosen).filter_map(|((site, candidates), index)| {
        candidates.get(index).map(|candidate| (site.clone(), candidate.bits))
    });
    Ok(bits.collect())
}

/// Rounds to nearest.
fn nearest(
    parameters: &MixedParameters,
    cx: &Cx<'_>,
    model: Checkpoint,
    bits: &BTreeMap<String, u8>,
) -> Result<(Checkpoint, indexmap::IndexMap<String, Figures>), PassError> {
    each(cx, model, &multiplying(cx.sites), &|model, site| {
        let bits = bits.get(&site.name).copied().unwrap_or(8);
        let (weight, figures) = rounding::round(model, site, parameters.scheme(bits), parameters.observer, None)?;
        Ok((Weight::Quantized(weight), figures))
    })
}

#[cfg(test)]
mod tests;

//! `quantize/smoothquant`: moves the outliers of layer inputs into the weights, before both become integers.

mod factors;
mod fold;
mod groups;
mod watch;

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::Checkpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calibration::{self, Calibration};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::weights;
use crate::wording::counted;

use factors::Smoothing;
use groups::Group;

/// Makes layer inputs easier to quantize: divides each channel of a layer's input by a factor and multiplies the weights
/// that read it by the same, so that the model computes what it did.
///
/// # What it does
/// For input channel j, s_j = max |X_j|^a / max |W_j|^(1 - a): X_j is what the calibration rows show there, W_j the
/// weights that read it, of all sites that share the input, and a is `alpha`. The weights' columns are multiplied by s,
/// and what makes the input is divided by it: the weight and the bias of the norm before the sites, or the hidden layer
/// before, where a ReLU lies between. A channel whose inputs or weights are all zero keeps its scale. Weights stay
/// floats, and outputs stay the same but for rounding.
///
/// # When to use
/// Directly before `quantize/static-int8` (or another stage that rounds inputs) on models whose inputs have a few
/// channels far larger than the others, as decoders do.
///
/// # When not to
/// Where only weights are quantized: it makes their ranges wider. On encoders that add what a norm gives to what the
/// layer gives (BERT and its kin): their norms cannot be scaled alone, and their sites are left as they are; take more
/// bits for the inputs (`activation_bits` of `quantize/static-int8`) or `quantize/dynamic-int8`.
///
/// # Parameters
/// `alpha`: how much of the difficulty moves from inputs to weights, 0.5 where nothing is said. With `search` each group
/// of sites takes the one of 0, 0.1, ... 1 with the least squared error of its outputs, inputs in 8 bits with one scale
/// and weights in 8 bits with one scale an output channel, on up to 256 rows of its input. `calibration_rows` are drawn
/// at random from the calibration part of the data, or from the training part where there is none.
///
/// # Cost and limits
/// One pass of the calibration rows through the model. With `search` the rows of every group are kept, 1 KiB an input
/// channel. Sites without a norm (or a hidden layer and a ReLU) before them are left and listed, and so are those that
/// share one with a site that is not targeted.
///
/// # Source
/// Xiao et al. 2022, "SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language Models", section
/// 4, equations 3 and 4; Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction",
/// section 4.1, for the fold through a ReLU.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmoothQuantParameters {
    /// Share of the difficulty that moves from inputs to weights; not with `search`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0), example = 0.5)]
    pub alpha: Option<f64>,
    /// Each group of sites finds its own.
    #[serde(default)]
    pub search: bool,
    /// At most this many rows are looked at.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn rows() -> usize {
    512
}

/// The pass.
pub struct SmoothQuant;

impl Definition for SmoothQuant {
    type Parameters = SmoothQuantParameters;

    const INFO: PassInfo = PassInfo {
        id: "quantize/smoothquant",
        summary: "move outliers of layer inputs into the weights, before both become integers",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family, Needs::CalibrateRows],
        leaves: &[],
    };

    fn check(parameters: &SmoothQuantParameters) -> Vec<Problem> {
        if parameters.search && parameters.alpha.is_some() {
            let problem = Problem::new("/alpha", "does not go with `search: true`, which finds it");
            return vec![problem.help("remove `alpha` or `search`")];
        }
        Vec::new()
    }

    fn plan(parameters: &SmoothQuantParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = weights::problems(cx);
        problems.extend(calibration::problem(cx));
        let (groups, left) = groups::find(cx.outline, cx.sites);
        if problems.is_empty() && groups.is_empty() {
            let message = "no target has a norm of its own before it, so there is nothing to fold factors into";
            problems
                .push(Problem::new("", message).help("`quantize/static-int8` with `activation_bits: 12` needs none"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        for group in &groups {
            effect.touches.extend(group.sites.iter().map(|site| site.name.clone()));
            effect.touches.extend(group.source.site.clone());
        }
        effect.touches.sort_unstable();
        effect.touches.dedup();
        effect.memory = groups.iter().map(|group| watch::memory(group, parameters.search)).sum();
        effect.skips = weights::untargeted(cx);
        effect.skips.extend(left);
        let rows = calibration::planned_rows(cx, parameters.calibration_rows);
        effect.notes.push(format!("ranges of layer inputs come from {}", counted(rows, "row")));
        effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        Ok(effect)
    }

    fn run(parameters: &SmoothQuantParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let (groups, _) = groups::find(&model.outline(), cx.sites);
        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
        let watched = watch::watch(cx, &calibration, &groups, parameters.search)?;
        let mut receipt = Receipt::default();
        for (done, (group, seen)) in groups.iter().zip(&watched).enumerate() {
            cx.check_cancelled()?;
            cx.services.progress(done, groups.len(), group.name());
            let weights = fold::weights(&model, group)?;
            let smoothing = match parameters.search {
                true => factors::search(&weights, seen)?,
                false => factors::smooth(&weights, &seen.largest, parameters.alpha.unwrap_or(0.5)),
            };
            fold::apply(&mut model, group, &smoothing.factors)?;
            tell(&mut receipt, group, &smoothing, &seen.largest);
        }
        receipt.figures.insert("calibration_rows".to_owned(), calibration.rows as f64);
        receipt.summary = format!("smoothed the inputs of {}", counted(receipt.sites.len(), "site"));
        Ok(Outcome { model, receipt })
    }
}

fn tell(receipt: &mut Receipt, group: &Group, smoothing: &Smoothing, largest: &[f32]) {
    let after = largest.iter().zip(&smoothing.factors).map(|(largest, factor)| largest / factor);
    let figures: IndexMap<String, f64> = [
        ("alpha", smoothing.alpha),
        ("largest_input_before", f64::from(largest.iter().copied().fold(0.0, f32::max))),
        ("largest_input_after", f64::from(after.fold(0.0, f32::max))),
    ]
    .into_iter()
    .map(|(name, figure)| (name.to_owned(), figure))
    .collect();
    for site in &group.sites {
        receipt.sites.insert(site.name.clone(), figures.clone());
    }
}

#[cfg(test)]
mod tests;

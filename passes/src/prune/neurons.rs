//! `prune/neurons`: hidden neurons removed for good.

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Outline, Site, UnitGroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::importance::{by_activation, by_magnitude, keep_best};
use crate::calibration::{self, Calibration};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::weights;
use crate::wording::counted;

/// Removes the least important neurons of fully connected hidden layers, so that the matrices become smaller.
///
/// # What it does
/// Scores each neuron of each targeted hidden layer and keeps the best. The row that produces a removed neuron, its
/// bias, and the columns that read it are cut out of the tensors, and the widths in the configuration follow. Nothing
/// is masked: the model is a smaller one of the same family. All layers are scored on the model as it comes; of equally
/// important neurons the earlier stays.
///
/// # When to use
/// Where the model must be smaller and faster on any machine with no sparse kernels. Train for a few epochs after it.
///
/// # When not to
/// Where every neuron matters (a width that is small already): `prune/magnitude` takes single weights and loses less at
/// equal counts. After quantization, which leaves no float weights. Convolution channels are not removed.
///
/// # Parameters
/// Either `ratio`, the fraction of neurons removed from each layer (rounded to the nearest whole number), or `keep`,
/// the number that stays in each. `importance`: `magnitude` is the sum of |w| over the weights that produce a neuron
/// and needs no data; `activation` is its mean absolute value after the nonlinearity over `calibration_rows` rows,
/// drawn at random from the calibration part of the data, or from the training part where there is none. `round_to`
/// rounds widths up to a multiple, which fast kernels like (8 or 16); at least one neuron always stays.
///
/// # Cost and limits
/// One pass over the weights, and one of the calibration rows through the model for `activation`. A layer that has no
/// more neurons than are kept stays as it is; if that is so for all targets, the plan is refused.
///
/// # Source
/// Li et al. 2017, "Pruning Filters for Efficient ConvNets", section 3.1, for magnitude; Muralidharan et al. 2024,
/// "Compact Language Models via Pruning and Knowledge Distillation", section 2.2, for activation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeuronsParameters {
    /// Fraction of neurons removed from each layer, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Fraction>,
    /// Neurons that stay in each layer. Instead of `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536), example = 32)]
    pub keep: Option<usize>,
    /// What makes a neuron important.
    #[serde(default)]
    pub importance: Importance,
    /// Widths are rounded up to a multiple of this.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024), example = 8)]
    pub round_to: usize,
    /// At most this many rows are looked at for the importance `activation`.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

/// What makes a neuron important.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// The sum of |w| over the weights that produce it.
    #[default]
    Magnitude,
    /// Its mean absolute value after the nonlinearity, over the calibration rows.
    Activation,
}

fn one() -> usize {
    1
}

fn rows() -> usize {
    512
}

impl NeuronsParameters {
    /// How many of `count` neurons stay.
    fn kept(&self, count: usize) -> usize {
        let removed = self.ratio.map_or(0, |ratio| (count as f64 * ratio.value()).round() as usize);
        let kept = self.keep.unwrap_or(count.saturating_sub(removed)).max(1);
        kept.next_multiple_of(self.round_to.max(1)).min(count)
    }
}

/// The pass.
pub struct Neurons;

impl Definition for Neurons {
    type Parameters = NeuronsParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/neurons",
        summary: "remove the least important hidden neurons, so that matrices become smaller",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::Shapes],
    };

    fn check(parameters: &NeuronsParameters) -> Vec<Problem> {
        let mut problems: Vec<Problem> = parameters.ratio.and_then(|it| it.problem("/ratio")).into_iter().collect();
        match (parameters.ratio, parameters.keep) {
            (None, None) => problems
                .push(Problem::new("", "has neither `ratio` nor `keep`").help("such as `ratio: 0.5` or `keep: 32`")),
            (Some(_), Some(_)) => problems
                .push(Problem::new("/keep", "cannot be given together with `ratio`").help("remove one of the two")),
            _ => (),
        }
        problems
    }

    fn plan(parameters: &NeuronsParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = weights::problems(cx);
        if parameters.importance == Importance::Activation {
            problems.extend(calibration::problem(cx));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        shrink(parameters, cx, &mut effect).map_err(|problem| vec![problem])?;
        if parameters.importance == Importance::Activation {
            effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        }
        Ok(effect)
    }

    fn run(parameters: &NeuronsParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let mut groups = groups(&model.outline(), cx.sites)?;
        groups.retain(|group| parameters.kept(group.count) < group.count);
        let scores = scores(parameters, cx, &model, &groups)?;
        let mut receipt = Receipt::default();
        for (group, scores) in groups.iter().zip(scores) {
            let kept = keep_best(&scores, parameters.kept(group.count));
            keep_units(&mut model, group, &kept)?;
            record(&mut receipt, group, &kept, &scores);
        }
        summarize(&mut receipt);
        Ok(Outcome { model, receipt })
    }
}

/// The neurons of the targeted sites, in forward order.
fn groups(outline: &Outline, sites: &[Site]) -> Result<Vec<UnitGroup>, PassError> {
    let targeted = |group: &UnitGroup| group.kind == "neurons" && sites.iter().any(|site| site.name == group.site);
    Ok(outline.units()?.into_iter().filter(targeted).collect())
}

/// Cuts the outline, and says which targets stay as they are.
fn shrink(parameters: &NeuronsParameters, cx: &PlanCx<'_>, effect: &mut Effect) -> Result<(), Problem> {
    let failed = |error: String| Problem::new("", error);
    let groups = groups(cx.outline, cx.sites).map_err(|error| failed(error.to_string()))?;
    for site in cx.sites {
        let Some(group) = groups.iter().find(|group| group.site == site.name) else {
            effect.skips.push((site.name.clone(), "has no hidden neurons".to_owned()));
            continue;
        };
        let kept = parameters.kept(group.count);
        if kept == group.count {
            effect.skips.push((site.name.clone(), format!("all of its {kept} neurons stay")));
            continue;
        }
        keep_units_outline(&mut effect.outline, group, kept).map_err(|error| failed(error.to_string()))?;
        effect.touches.push(site.name.clone());
        effect.notes.push(format!("`{}`: {kept} of {} neurons stay", site.name, group.count));
    }
    effect.memory = cx.outline.parameters() * 4;
    effect.skips.extend(weights::untargeted(cx));
    let reasons =
        || effect.skips.iter().take(3).map(|(site, reason)| format!("`{site}`: {reason}")).collect::<Vec<_>>();
    if effect.touches.is_empty() {
        return Err(Problem::new("", format!("removes no neuron ({})", reasons().join("; "))));
    }
    Ok(())
}

fn scores(
    parameters: &NeuronsParameters,
    cx: &Cx<'_>,
    model: &Checkpoint,
    groups: &[UnitGroup],
) -> Result<Vec<Vec<f64>>, PassError> {
    match parameters.importance {
        Importance::Magnitude => groups.iter().map(|group| by_magnitude(model, group)).collect(),
        Importance::Activation => {
            let calibration = Calibration::new(cx, model, parameters.calibration_rows)?;
            by_activation(cx, &calibration, groups)
        }
    }
}

fn record(receipt: &mut Receipt, group: &UnitGroup, kept: &[usize], scores: &[f64]) {
    let all: f64 = scores.iter().sum();
    let share: f64 = kept.iter().filter_map(|&unit| scores.get(unit)).sum::<f64>() / all.max(f64::MIN_POSITIVE);
    let figures = [("neurons", group.count as f64), ("kept", kept.len() as f64), ("kept_importance", share)];
    let figures: IndexMap<String, f64> = figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect();
    receipt.sites.insert(group.site.clone(), figures);
    receipt.details.insert(group.site.clone(), json!({ "kept": kept, "scores": scores }));
}

fn summarize(receipt: &mut Receipt) {
    let sum = |name: &str| receipt.sites.values().filter_map(|figures| figures.get(name)).sum::<f64>();
    let (kept, neurons) = (sum("kept"), sum("neurons"));
    receipt.summary = format!("kept {kept} of {neurons} neurons in {}", counted(receipt.sites.len(), "layer"));
    receipt.figures.insert("kept".to_owned(), kept);
    receipt.figures.insert("neurons".to_owned(), neurons);
}

#[cfg(test)]
mod tests;

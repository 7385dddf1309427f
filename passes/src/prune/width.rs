//! `prune/width`: numbers of the stream between a transformer's layers removed for good.

use std::collections::BTreeSet;

use candle_core::{DType, Tensor};
use indexmap::IndexMap;
use paring_data::Part;
use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Outline, Outputs, Site, Slice, UnitGroup, families};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::importance::{keep_best, means_of};
use super::share::Share;
use crate::calibration::{self, Calibration};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::walk::groups;
use crate::weights;

/// Makes a transformer narrower: removes the least important numbers of the stream that all of its layers share.
///
/// # What it does
/// Between the layers every token is a vector of `hidden_size` numbers, which each layer reads, normalized, and adds
/// to. Each of its dimensions is scored, and the best are kept, the same ones everywhere: columns of the embedding
/// tables and of the matrices that read the stream, rows and biases of those that write it, and entries of the norms
/// are cut out of the tensors, and the configuration follows. Heads stay as wide as they were, which `head_dim` says
/// from then on. A pooler is cut on both sides, for other programs expect it to be as wide as the stream. A model whose
/// head is none gives embeddings of fewer numbers.
///
/// # When to use
/// To make all matrices of a transformer smaller, the embedding tables too, which nothing else does: before training or
/// distillation, as the shape of a smaller model. With `prune/heads` by the same ratio, heads and stream fit each other
/// as in the stock models, so that their loaders, those of GGUF among them, take the result.
///
/// # When not to
/// Without training after it. A norm takes mean and variance, or the mean square, of all dimensions, so that without
/// some the rest are scaled otherwise than the weights were trained for; and all layers lose at once. At equal size
/// `prune/neurons`, `prune/heads` and `prune/layers` lose less. After quantization, which leaves no float weights.
///
/// # Parameters
/// Either `ratio`, the fraction of dimensions that goes (rounded to the nearest whole number), or `keep`, the number
/// that stays. `importance`: `activation` is the mean absolute value that the norms give a dimension over
/// `calibration_rows` rows, drawn at random from the calibration part of the data, or from the training part where
/// there is none, summed over the norms before each attention and each feed-forward part; `magnitude` is the sum of |w|
/// over all rows and columns that belong to a dimension, biases and norms aside, and needs no data. `round_to` rounds
/// the width up to a multiple, which fast kernels like (32 or 64).
///
/// # Cost and limits
/// One pass over the weights, and one of the calibration rows through the model for `activation`. There are no targets:
/// the stream is one for the whole model. Where embeddings get shorter, they cannot be compared with those of the model
/// before all stages: `cosine` cannot be measured. Tensors that the model does not run stay as they are.
///
/// # Source
/// Muralidharan et al. 2024, "Compact Language Models via Pruning and Knowledge Distillation", section 2.2, for
/// embedding channels by the activations of norms; Fang et al. 2023, "DepGraph: Towards Any Structural Pruning",
/// section 3, for what goes together and its `magnitude`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WidthParameters {
    /// Fraction of dimensions that goes, from 0 (exclusive) to 1 (exclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Fraction>,
    /// Dimensions that stay. Instead of `ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65536), example = 256)]
    pub keep: Option<usize>,
    /// What makes a dimension important.
    #[serde(default)]
    pub importance: WidthImportance,
    /// The width is rounded up to a multiple of this.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1024), example = 64)]
    pub round_to: usize,
    /// At most this many rows are looked at for the importance `activation`.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

/// What makes a dimension of the stream important.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WidthImportance {
    /// Its mean absolute value after the norms, over the calibration rows.
    #[default]
    Activation,
    /// The sum of |w| over all weights that read or write it.
    Magnitude,
}

fn one() -> usize {
    1
}

fn rows() -> usize {
    512
}

impl WidthParameters {
    fn share(&self) -> Share {
        Share { ratio: self.ratio, scope: None, keep: self.keep, round_to: self.round_to }
    }

    /// The stream of the model, where some of it goes.
    fn stream(&self, outline: &Outline) -> Result<UnitGroup, Problem> {
        let stream = families::stream(outline).map_err(|error| Problem::new("", error.to_string()))?;
        let none = || {
            let message = "the model has no stream that all of its layers share, as transformers have";
            Problem::new("", message).help("`prune/neurons` and `prune/channels` work on other networks")
        };
        let stream = stream.ok_or_else(none)?;
        let (kept, count) = (self.share().kept(stream.count), stream.count);
        let message = || format!("removes no dimension: all {count} stay");
        let problem = || Problem::new("", message()).help("raise `ratio`, or lower `keep` or `round_to`");
        if kept < count { Ok(stream) } else { Err(problem()) }
    }
}

/// The pass.
pub struct Width;

impl Definition for Width {
    type Parameters = WidthParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/width",
        summary: "remove the least important numbers of the stream between a transformer's layers",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &WidthParameters) -> Vec<Problem> {
        parameters.share().problems()
    }

    fn plan(parameters: &WidthParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = weights::problems(cx);
        if parameters.importance == WidthImportance::Activation {
            problems.extend(calibration::problem(cx));
        }
        let stream = parameters.stream(cx.outline).map_err(|problem| problems.push(problem)).ok();
        let Some(stream) = stream.filter(|_| problems.is_empty()) else { return Err(problems) };
        let mut effect = Effect::same_shape(cx.outline);
        let kept = parameters.share().kept(stream.count);
        let failed = |error: paring_model::ModelError| vec![Problem::new("", error.to_string())];
        keep_units_outline(&mut effect.outline, &stream, kept).map_err(failed)?;
        effect.notes.push(format!("{kept} of {} dimensions stay", stream.count));
        effect.notes.extend(shorter(cx, &effect.outline).map_err(|problem| vec![problem])?);
        let touched: BTreeSet<&String> = stream.slices.iter().map(|slice| &slice.tensor).collect();
        let is_touched = |site: &&Site| touched.contains(&site.weight());
        let (inside, outside): (Vec<&Site>, Vec<&Site>) = cx.sites.iter().partition(is_touched);
        effect.touches = inside.into_iter().map(|site| site.name.clone()).collect();
        let apart = |site: &Site| (site.name.clone(), "neither reads nor writes the stream".to_owned());
        effect.skips = outside.into_iter().map(apart).collect();
        effect.memory = cx.outline.parameters() * 4;
        if parameters.importance == WidthImportance::Activation {
            effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        }
        Ok(effect)
    }

    fn run(parameters: &WidthParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let stream = parameters.stream(&model.outline()).map_err(|problem| PassError::Failed(problem.message))?;
        let scores = match parameters.importance {
            WidthImportance::Activation => {
                let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
                by_norms(cx, &model, &calibration)?
            }
            WidthImportance::Magnitude => by_magnitude(&model, &stream)?,
        };
        let kept = keep_best(&scores, parameters.share().kept(stream.count));
        keep_units(&mut model, &stream, &kept)?;
        Ok(Outcome { model, receipt: receipt(&stream, &kept, &scores) })
    }
}

/// What is told where embeddings get shorter.
fn shorter(cx: &PlanCx<'_>, after: &Outline) -> Result<Option<String>, Problem> {
    let width = |outline: &Outline| match &outline.outputs {
        Some(Outputs::Embed { width, .. }) => Some(*width),
        _ => None,
    };
    let Some((before, after)) = width(cx.outline).zip(width(after)).filter(|(before, after)| before != after) else {
        return Ok(None);
    };
    if let Some(measure) = cx.measures.iter().find(|measure| measure.starts_with("cosine")) {
        let message = format!(
            "leaves embeddings of {after} numbers, so that the measure `{measure}` cannot compare them with those of \
            {before}"
        );
        return Err(
            Problem::new("", message).help("take it out of `measure` of the recipe; `spearman` can be measured")
        );
    }
    Ok(Some(format!("embeddings have {after} numbers, no longer {before}")))
}

/// The mean absolute value of each dimension after the norms before attention and feed-forward parts, summed over these
/// (Muralidharan et al. 2024, section 2.2).
fn by_norms(cx: &Cx<'_>, model: &Checkpoint, calibration: &Calibration) -> Result<Vec<f64>, PassError> {
    let mut sites = model.outline().sites()?;
    sites.retain(|site| site.layer.is_some() && site.norm_before.is_some());
    // What shares its input with another reads the same norm.
    let first = groups(&sites).into_iter().filter_map(|group| group.sites.into_iter().next());
    let means = means_of(cx, &first.collect::<Vec<_>>(), model, calibration)?;
    let mut scores = Vec::new();
    for means in means.values() {
        scores.resize(means.len(), 0.0);
        scores.iter_mut().zip(means).for_each(|(score, mean)| *score += mean);
    }
    Ok(scores)
}

/// L1 norm of the rows and columns that belong to each dimension (Fang et al. 2023, section 3.3), biases and norms
/// aside.
fn by_magnitude(model: &Checkpoint, stream: &UnitGroup) -> Result<Vec<f64>, PassError> {
    let mut scores = vec![0.0; stream.count];
    for Slice { tensor: name, axis, .. } in &stream.slices {
        let weight = model.tensor(name)?;
        if weight.rank() < 2 {
            continue;
        }
        let sums: Tensor = weight.to_dtype(DType::F32)?.abs()?.sum(1 - axis.min(&1))?;
        let sums = sums.to_vec1::<f32>()?;
        scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += f64::from(sum));
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(PassError::Failed(format!("tensor `{name}` holds a number that is not finite")));
        }
    }
    Ok(scores)
}

fn receipt(stream: &UnitGroup, kept: &[usize], scores: &[f64]) -> Receipt {
    let all: f64 = scores.iter().sum();
    let share = kept.iter().filter_map(|&unit| scores.get(unit)).sum::<f64>() / all.max(f64::MIN_POSITIVE);
    let figures = [("dimensions", stream.count as f64), ("kept", kept.len() as f64), ("kept_importance", share)];
    let figures: IndexMap<String, f64> = figures.into_iter().map(|(name, figure)| (name.to_owned(), figure)).collect();
    Receipt {
        summary: format!("kept {} of {} dimensions", kept.len(), stream.count),
        figures,
        details: [("stream".to_owned(), json!({ "kept": kept, "scores": scores }))].into_iter().collect(),
        ..Receipt::default()
    }
}

#[cfg(test)]
mod tests;

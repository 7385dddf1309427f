//! `prune/layers`: whole layers of a transformer removed.

use candle_core::DType;
use indexmap::IndexMap;
use paring_data::Part;
use paring_model::depth::{keep_layers, keep_layers_outline, layers};
use paring_model::tap::LateWeights;
use paring_model::{Checkpoint, Forward, Input, Outline, Site, WeightOutline};
use paring_train::measure::{Direction, info};
use paring_train::metrics::cosines;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::importance::keep_best;
use crate::calibration::{self, Calibration};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::walk::BatchState;
use crate::weights;
use crate::wording::counted;

/// Removes the layers of a transformer that change their input least.
///
/// # What it does
/// Runs the calibration rows through the model, and measures the block influence of each layer: 1 - the mean cosine of
/// the angle between what goes into the layer and what comes out, over all tokens but padding. The layers of least
/// influence are taken out whole; those that stay are numbered anew and the configuration follows. With `measure`,
/// those go without which the model measures best. All layers are judged on the model as it comes; of equal ones the
/// earlier stays. The receipt tells what was found for every layer.
///
/// # When to use
/// To make a decoder or an encoder smaller and faster in proportion, on any machine: its layers cost the same and run
/// one after the other. Models of many layers lose little with a few of them. Train or distill after it.
///
/// # When not to
/// For models of few layers, where each does much; `prune/neurons` and `prune/heads` take less from every layer there.
///
/// # Parameters
/// One of: `remove`, the number of layers that go; `ratio`, the fraction of them that goes (rounded to the nearest
/// whole number); `layers`, the numbers of those that go, from 0, whatever their influence. A layer is removed only if
/// all of its matrices are targets: `ignore: ["model.layers.0.*"]` keeps the first one. `calibration_rows` are drawn at
/// random.
///
/// # Cost and limits
/// One pass of the calibration rows through the model; none with `layers`; with `measure`, all calibration rows as
/// often as there are layers. At least one layer stays. Fewer than 8 rows and activations that are not finite are
/// refused.
///
/// # Source
/// Men et al. 2024, "ShortGPT: Layers in Large Language Models are More Redundant Than You Expect", section 3.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayersParameters {
    /// Layers that go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000), example = 4)]
    pub remove: Option<usize>,
    /// Fraction of the layers that goes, from 0 (exclusive) to 1 (exclusive). Instead of `remove`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<Fraction>,
    /// Numbers of the layers that go, from 0. Instead of `remove`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub layers: Option<Vec<usize>>,
    /// A measure of the recipe, taken on the calibration rows, that judges layers instead of block influence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = "perplexity".to_owned())]
    pub measure: Option<String>,
    /// At most this many rows are looked at for block influence.
    #[serde(default = "rows")]
    #[schemars(range(min = 8, max = 1_000_000))]
    pub calibration_rows: usize,
}

fn rows() -> usize {
    128
}

impl LayersParameters {
    /// How many of `count` layers go, and the parameter that says so.
    fn removed(&self, count: usize) -> (usize, &'static str) {
        match (self.remove, self.ratio, &self.layers) {
            (Some(remove), _, _) => (remove, "/remove"),
            (_, Some(ratio), _) => ((count as f64 * ratio.value()).round() as usize, "/ratio"),
            (_, _, layers) => (layers.as_ref().map_or(0, Vec::len), "/layers"),
        }
    }
}

/// The pass.
pub struct Layers;

impl Definition for Layers {
    type Parameters = LayersParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/layers",
        summary: "remove the layers of a transformer that change their input least",
        version: 1,
        needs: &[Needs::BuiltModel, Needs::Family],
        leaves: &[Leaves::Shapes],
    };

    fn check(parameters: &LayersParameters) -> Vec<Problem> {
        let mut problems: Vec<Problem> = parameters.ratio.and_then(|it| it.problem("/ratio")).into_iter().collect();
        let given = [parameters.remove.is_some(), parameters.ratio.is_some(), parameters.layers.is_some()];
        match given.iter().filter(|given| **given).count() {
            1 => (),
            0 => problems
                .push(Problem::new("", "has none of `remove`, `ratio` and `layers`").help("such as `remove: 2`")),
            _ => problems
                .push(Problem::new("", "has more than one of `remove`, `ratio` and `layers`").help("keep one of them")),
        }
        if parameters.layers.is_some() && parameters.measure.is_some() {
            let problem = Problem::new("/measure", "judges layers, but `layers` says which go");
            problems.push(problem.help("remove one of the two"));
        }
        problems
    }

    fn plan(parameters: &LayersParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let names = layers(cx.outline);
        let candidates = candidates(cx.outline, cx.sites);
        let mut problems: Vec<Problem> = misfit(parameters, &names, &candidates).into_iter().collect();
        if parameters.layers.is_none() {
            problems.extend(calibration::problem(cx));
        }
        problems.extend(parameters.measure.as_ref().and_then(|name| unfit(cx, name)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        let (removed, _) = parameters.removed(names.len());
        let keep: Vec<usize> = match &parameters.layers {
            Some(layers) => (0..names.len()).filter(|layer| !layers.contains(layer)).collect(),
            None => (0..names.len() - removed).collect(),
        };
        keep_layers_outline(&mut effect.outline, &keep).map_err(|error| vec![Problem::new("", error.to_string())])?;
        // Which layers go is found by running: what is left is known where all are alike.
        effect.exact = parameters.layers.is_some() || alike(cx.outline, &names);
        let (inside, outside): (Vec<&Site>, Vec<&Site>) = cx.sites.iter().partition(|site| site.layer.is_some());
        effect.touches = inside.into_iter().map(|site| site.name.clone()).collect();
        effect.skips = outside.into_iter().map(|site| (site.name.clone(), "belongs to no layer".to_owned())).collect();
        effect.skips.extend(weights::untargeted(cx));
        effect.notes.push(format!("{} of {} layers stay", keep.len(), names.len()));
        if parameters.layers.is_none() {
            effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        }
        Ok(effect)
    }

    fn run(parameters: &LayersParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let names = layers(&model.outline());
        let mut receipt = Receipt::default();
        let keep: Vec<usize> = match &parameters.layers {
            Some(layers) => (0..names.len()).filter(|layer| !layers.contains(layer)).collect(),
            None => {
                let candidates = candidates(&model.outline(), cx.sites);
                let (what, found) = match &parameters.measure {
                    Some(measure) => (format!("{measure}_without"), without(cx, &model, measure, &candidates)?),
                    None => {
                        let calibration = Calibration::new(cx, &model, parameters.calibration_rows)?;
                        receipt.figures.insert("calibration_rows".to_owned(), calibration.rows as f64);
                        let influences = influences(cx, &model, &calibration.batches, &names)?;
                        ("block_influence".to_owned(), influences)
                    }
                };
                let higher = parameters.measure.as_ref().and_then(|name| info(name)).map(|info| info.direction);
                let sign = if higher == Some(Direction::Higher) { -1.0 } else { 1.0 };
                let importance: Vec<f64> = found.iter().map(|found| sign * found).collect();
                let keep = strongest(&importance, &candidates, names.len() - parameters.removed(names.len()).0);
                for (layer, (name, found)) in names.iter().zip(&found).enumerate() {
                    let kept = ("kept".to_owned(), f64::from(u8::from(keep.contains(&layer))));
                    let found = Some((what.clone(), *found)).filter(|(_, found)| found.is_finite());
                    receipt.sites.insert(name.clone(), found.into_iter().chain([kept]).collect::<IndexMap<_, _>>());
                }
                keep
            }
        };
        keep_layers(&mut model, &keep)?;
        let removed: Vec<String> =
            (0..names.len()).filter(|layer| !keep.contains(layer)).map(|l| l.to_string()).collect();
        let number = if removed.len() == 1 { "number" } else { "numbers" };
        receipt.summary =
            format!("removed {} of {}: {number} {}", removed.len(), counted(names.len(), "layer"), removed.join(", "));
        receipt.figures.insert("kept".to_owned(), keep.len() as f64);
        receipt.figures.insert("layers".to_owned(), names.len() as f64);
        Ok(Outcome { model, receipt })
    }
}

/// Why a measure cannot judge layers.
fn unfit(cx: &PlanCx<'_>, name: &str) -> Option<Problem> {
    if !cx.measures.iter().any(|measure| measure == name) {
        let message = format!("`{name}` is not among the recipe's measures");
        return Some(Problem::new("/measure", message).help("add it to `measure` of the recipe"));
    }
    let fits = info(name).is_some_and(|info| info.needs_rows && !info.timing && !info.needs_baseline);
    let message = || format!("`{name}` does not tell a good layer from a bad one");
    (!fits).then(|| Problem::new("/measure", message()).help("such as `perplexity` or `accuracy`"))
}

/// What the model without each layer measures on the calibration rows, layer by layer; not a number for a layer that
/// stays anyway.
fn without(cx: &Cx<'_>, model: &Checkpoint, measure: &str, candidates: &[usize]) -> Result<Vec<f64>, PassError> {
    let count = layers(&model.outline()).len();
    let mut found = vec![f64::NAN; count];
    for (done, &layer) in candidates.iter().enumerate() {
        cx.check_cancelled()?;
        cx.services.progress(done, candidates.len(), &format!("{measure} without layer {layer}"));
        let mut rest = model.clone();
        keep_layers(&mut rest, &(0..count).filter(|other| *other != layer).collect::<Vec<_>>())?;
        let value = cx.services.measure(measure, &rest, Part::Calibrate)?;
        if !value.is_finite() {
            return Err(PassError::Failed(format!("without layer {layer} the measure `{measure}` is no number")));
        }
        found.iter_mut().skip(layer).take(1).for_each(|found| *found = value);
    }
    Ok(found)
}

/// Layers all of whose sites are targets.
fn candidates(outline: &Outline, targets: &[Site]) -> Vec<usize> {
    let sites = outline.sites().unwrap_or_default();
    let whole = |layer: &usize| {
        let mut own = sites.iter().filter(|site| site.layer == Some(*layer));
        own.all(|site| targets.iter().any(|target| target.name == site.name))
    };
    (0..layers(outline).len()).filter(whole).collect()
}

/// Why that many layers, or those, cannot go.
fn misfit(parameters: &LayersParameters, names: &[String], candidates: &[usize]) -> Option<Problem> {
    let count = names.len();
    let (removed, place) = parameters.removed(count);
    if count == 0 {
        let message = "the model has no layers that are alike, as transformers have";
        return Some(Problem::new("", message).help("`prune/neurons` and `prune/channels` work on other networks"));
    }
    let listed = parameters.layers.iter().flatten();
    if let Some(layer) = listed.clone().find(|layer| **layer >= count) {
        return Some(Problem::new(place, format!("names layer {layer}, but the model has layers 0 to {}", count - 1)));
    }
    if let Some(layer) = listed.clone().find(|layer| !candidates.contains(layer)) {
        let message = format!("names layer {layer}, but not all of its matrices are targets");
        return Some(Problem::new(place, message));
    }
    match removed {
        0 => Some(Problem::new(place, format!("removes none of the {count} layers"))),
        removed if removed >= count => Some(Problem::new(place, format!("leaves none of the {count} layers"))),
        removed if removed > candidates.len() => {
            let message = format!("removes {removed} layers, but only {} are targets as a whole", candidates.len());
            Some(Problem::new(place, message))
        }
        _ => None,
    }
}

/// The `keep` layers that stay: all that are no candidates, and the most influential of the others; of equals the
/// earlier.
fn strongest(influences: &[f64], candidates: &[usize], keep: usize) -> Vec<usize> {
    let score =
        |(layer, influence): (usize, &f64)| if candidates.contains(&layer) { *influence } else { f64::INFINITY };
    keep_best(&influences.iter().enumerate().map(score).collect::<Vec<_>>(), keep)
}

/// Whether every layer has the same tensors in the same form.
fn alike(outline: &Outline, names: &[String]) -> bool {
    let of = |root: &String| -> Vec<(&str, &WeightOutline)> {
        let own = |(name, weight)| Some((str::strip_prefix(name, root.as_str())?.strip_prefix('.')?, weight));
        outline.weights.iter().map(|(name, weight)| (name.as_str(), weight)).filter_map(own).collect()
    };
    names.first().is_none_or(|first| names.iter().all(|other| of(other) == of(first)))
}

/// 1 - the mean cosine between a layer's input and output, layer by layer.
fn influences(cx: &Cx<'_>, model: &Checkpoint, batches: &[Input], names: &[String]) -> Result<Vec<f64>, PassError> {
    let weights = LateWeights::new(model.clone());
    let network = model.network_from(&weights)?;
    let batches = batches.iter().map(|input| BatchState::enter(network.as_ref(), input));
    let mut batches = batches.collect::<Result<Vec<_>, PassError>>()?;
    let sites = model.outline().sites()?;
    let mut influences = Vec::new();
    // The first block looks tokens up; after it each is a layer.
    for block in 0..=names.len() {
        let (mut sum, mut tokens) = (0.0, 0);
        for batch in &mut batches {
            cx.check_cancelled()?;
            let before = batch.x.clone();
            batch.x = network.block(block, &before, &batch.shared, &mut Forward::inference())?;
            if block > 0 {
                let numbers = |x| Ok::<_, PassError>(batch.answers(x)?.to_dtype(DType::F32)?);
                let (before, after) = (numbers(&before)?, numbers(&batch.x)?);
                let width = after.dim(1)?;
                let found =
                    cosines(&before.flatten_all()?.to_vec1::<f32>()?, &after.flatten_all()?.to_vec1::<f32>()?, width)?;
                sum += found.iter().sum::<f64>();
                tokens += found.len();
            }
        }
        sites.iter().for_each(|site| weights.forget(&site.name));
        let Some(name) = block.checked_sub(1).and_then(|layer| names.get(layer)) else { continue };
        let influence = 1.0 - sum / tokens as f64;
        if !influence.is_finite() {
            return Err(calibration::not_finite(name));
        }
        cx.services.progress(block, names.len(), name);
        influences.push(influence);
    }
    Ok(influences)
}

#[cfg(test)]
mod tests;

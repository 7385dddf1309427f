//! Structured pruning: whole units removed, so that tensors become smaller. What the passes for neurons, heads and
//! channels share; each says which units it removes.

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Outline, Site, UnitGroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::gradients::{self, Answers};
use super::importance::{by_activation, by_magnitude, by_taylor, keep_best};
use super::reconstruct::Reconstruction;
use super::share::{Share, relative};
use crate::calibration::{self, Calibration};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::hessian;
use crate::receipt::{Outcome, Receipt};
use crate::walk::{Figures, multiplying, walk_at};
use crate::weights;
use crate::wording::counted;

/// What makes a unit important.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// The sum of |w| over the weights that produce it.
    #[default]
    Magnitude,
    /// Its mean absolute value as the next layer reads it, over the calibration rows.
    Activation,
    /// How much the loss of the calibration rows would change without it, to the first order, squared.
    Taylor,
}

/// Units of one sort, and the words for them.
pub(crate) struct Kind {
    /// Their names in the family's table of units.
    pub(crate) tables: &'static [&'static str],
    /// One of them.
    pub(crate) one: &'static str,
    /// What a target without any lacks.
    pub(crate) lacking: &'static str,
}

/// What a recipe asks for.
pub(crate) struct Structure {
    /// What is removed.
    pub(crate) kind: Kind,
    /// How many go.
    pub(crate) share: Share,
    /// Which go.
    pub(crate) importance: Importance,
    /// Whose answers `taylor` looks at.
    pub(crate) answers: Option<Answers>,
    /// What reads the units is fitted anew to those that are left.
    pub(crate) reconstruct: bool,
    /// At most this many rows are looked at.
    pub(crate) calibration_rows: usize,
}

impl Structure {
    fn looks_at_rows(&self) -> bool {
        self.reconstruct || self.importance != Importance::Magnitude
    }

    /// What is wrong with the parameters alone.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = self.share.problems();
        if self.answers.is_some() && self.importance != Importance::Taylor {
            problems.push(Problem::new("/answers", "goes with `importance: taylor` only").help("remove `answers`"));
        }
        problems
    }

    /// The model afterwards.
    ///
    /// # Errors
    /// What stands against it, a run that would remove nothing among that.
    pub(crate) fn plan(&self, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = weights::problems(cx);
        if self.looks_at_rows() {
            problems.extend(calibration::problem(cx));
        }
        if self.importance == Importance::Taylor {
            problems.extend(gradients::problem(cx, self.answers.unwrap_or_default(), "/importance"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        self.shrink(cx, &mut effect).map_err(|problem| vec![problem])?;
        if self.looks_at_rows() {
            effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        }
        Ok(effect)
    }

    /// Removes the least important units of each targeted group. All are scored on the model as it comes.
    ///
    /// # Errors
    /// When a weight or an activation is not finite, or the model does not run.
    pub(crate) fn run(&self, cx: &Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let mut groups = self.groups(&model.outline(), cx.sites)?;
        groups.retain(|group| self.share.fewest(group.count) < group.count);
        let calibration =
            self.looks_at_rows().then(|| Calibration::new(cx, &model, self.calibration_rows)).transpose()?;
        // Looked at in any case: what is no number may be hidden in activations, where relu makes zero of it.
        let magnitudes = groups.iter().map(|group| by_magnitude(&model, group)).collect::<Result<_, _>>()?;
        let scores = match (self.importance, &calibration) {
            (Importance::Activation, Some(calibration)) => by_activation(cx, &model, calibration, &groups)?,
            (Importance::Taylor, _) => {
                by_taylor(cx, &model, (self.calibration_rows, self.answers.unwrap_or_default()), &groups)?
            }
            _ => magnitudes,
        };
        let counts = self.share.counts(&self.comparable(&scores));
        let kept = counts.iter().zip(&scores).map(|(&count, scores)| keep_best(scores, count));
        let mut kept: Vec<(UnitGroup, Vec<usize>)> = groups.into_iter().zip(kept.collect::<Vec<_>>()).collect();
        let mut receipt = Receipt::default();
        for ((group, kept), scores) in kept.iter().zip(&scores) {
            self.record(&mut receipt, group, kept, scores);
        }
        self.summarize(&mut receipt);
        kept.retain(|(group, kept)| kept.len() < group.count);
        if kept.is_empty() {
            let (one, round_to) = (self.kind.one, self.share.round_to);
            return Err(PassError::Failed(format!(
                "removes no {one}: rounded up to a multiple of {round_to}, all stay in every layer; lower `round_to`, \
                or raise `ratio`"
            )));
        }
        if let Some(calibration) = calibration.filter(|_| self.reconstruct) {
            let mut sites = model.outline().sites()?;
            let mut reconstruction = Reconstruction::new(&kept, &sites);
            sites.retain(|site| reconstruction.reads(site));
            let (fitted, figures) = walk_at(cx, &sites, model, &calibration, &mut reconstruction)?;
            model = fitted;
            receipt.figures.insert("output_error_ratio".to_owned(), error_ratio(&figures));
            figures.into_iter().for_each(|(site, figures)| receipt.sites.entry(site).or_default().extend(figures));
        }
        for (group, kept) in &kept {
            keep_units(&mut model, group, kept)?;
        }
        Ok(Outcome { model, receipt })
    }

    /// Scores that can be ranked over all groups; those of the loss are of one unit as they are.
    fn comparable(&self, scores: &[Vec<f64>]) -> Vec<Vec<f64>> {
        match self.importance {
            Importance::Taylor => scores.to_vec(),
            Importance::Magnitude | Importance::Activation => scores.iter().map(|scores| relative(scores)).collect(),
        }
    }

    /// The groups of the targeted sites, in forward order.
    fn groups(&self, outline: &Outline, sites: &[Site]) -> Result<Vec<UnitGroup>, PassError> {
        let targeted = |group: &UnitGroup| {
            self.kind.tables.contains(&group.kind) && sites.iter().any(|site| site.name == group.site)
        };
        Ok(outline.units()?.into_iter().filter(targeted).collect())
    }

    /// Cuts the outline, and says which targets stay as they are.
    fn shrink(&self, cx: &PlanCx<'_>, effect: &mut Effect) -> Result<(), Problem> {
        let failed = |error: String| Problem::new("", error);
        let groups = self.groups(cx.outline, cx.sites).map_err(|error| failed(error.to_string()))?;
        let mut all = 0;
        for site in cx.sites {
            let Some(group) = groups.iter().find(|group| group.site == site.name) else {
                effect.skips.push((site.name.clone(), format!("has no {}", self.kind.lacking)));
                continue;
            };
            let (kept, units) = (self.share.kept(group.count), self.many());
            if self.share.fewest(group.count) == group.count {
                effect.skips.push((site.name.clone(), format!("all of its {} {units} stay", group.count)));
                continue;
            }
            keep_units_outline(&mut effect.outline, group, kept).map_err(|error| failed(error.to_string()))?;
            effect.touches.push(site.name.clone());
            all += group.count;
            if !self.share.is_global() {
                effect.notes.push(format!("`{}`: {kept} of {} {units} stay", site.name, group.count));
            }
        }
        effect.memory = cx.outline.parameters() * if self.importance == Importance::Taylor { 12 } else { 4 };
        if self.reconstruct {
            let sites = cx.outline.sites().map_err(|error| failed(error.to_string()))?;
            effect.memory += hessian::memory(cx, &multiplying(&sites));
        }
        effect.skips.extend(weights::untargeted(cx));
        let reasons =
            || effect.skips.iter().take(3).map(|(site, reason)| format!("`{site}`: {reason}")).collect::<Vec<_>>();
        if effect.touches.is_empty() {
            return Err(Problem::new("", format!("removes no {} ({})", self.kind.one, reasons().join("; "))));
        }
        if self.share.is_global() { self.foresee(all, effect) } else { Ok(()) }
    }

    /// Says what is known of units that compete over all targets: which of them go is found by running.
    fn foresee(&self, all: usize, effect: &mut Effect) -> Result<(), Problem> {
        let (units, layers) = (self.many(), effect.touches.len());
        let removed = self.share.removed(all).min(all - layers);
        if removed == 0 {
            let ratio = self.share.ratio.map_or(0.0, Fraction::value);
            return Err(Problem::new("/ratio", format!("is `{ratio}`, which removes none of the {all} {units}")));
        }
        let at_least = if self.share.round_to > 1 { "at least " } else { "" };
        let kept = all - removed;
        effect.exact = layers == 1;
        let found = "; how many in each is found by running, and the size is that of equal shares";
        let unsure = if effect.exact { "" } else { found };
        let layers = counted(layers, "layer");
        effect.notes.push(format!("{at_least}{kept} of {all} {units} stay in {layers}{unsure}"));
        Ok(())
    }

    fn many(&self) -> String {
        format!("{}s", self.kind.one)
    }

    fn record(&self, receipt: &mut Receipt, group: &UnitGroup, kept: &[usize], scores: &[f64]) {
        let all: f64 = scores.iter().sum();
        let share: f64 = kept.iter().filter_map(|&unit| scores.get(unit)).sum::<f64>() / all.max(f64::MIN_POSITIVE);
        let figures = [
            (self.many(), group.count as f64),
            ("kept".to_owned(), kept.len() as f64),
            ("kept_importance".to_owned(), share),
        ];
        receipt.sites.insert(group.site.clone(), figures.into_iter().collect::<IndexMap<String, f64>>());
        receipt.details.insert(group.site.clone(), json!({ "kept": kept, "scores": scores }));
    }

    fn summarize(&self, receipt: &mut Receipt) {
        let sum = |name: &str| receipt.sites.values().filter_map(|figures| figures.get(name)).sum::<f64>();
        let units = self.many();
        let (kept, all) = (sum("kept"), sum(&units));
        receipt.summary = format!("kept {kept} of {all} {units} in {}", counted(receipt.sites.len(), "layer"));
        receipt.figures.insert("kept".to_owned(), kept);
        receipt.figures.insert(units, all);
    }
}

/// The output error of all readers over what it would be with their weights as they were.
fn error_ratio(sites: &IndexMap<String, Figures>) -> f64 {
    let total = |name: &str| sites.values().filter_map(|figures| figures.get(name)).sum::<f64>();
    let (fitted, cut) = (total("output_error"), total("cut_output_error"));
    if cut > 0.0 { fitted / cut } else { 0.0 }
}

#[cfg(test)]
mod tests;

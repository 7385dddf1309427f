//! Structured pruning: whole units removed, so that tensors become smaller. What the passes for neurons, heads and
//! channels share; each says which units it removes.

use indexmap::IndexMap;
use paring_data::Part;
use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Outline, Site, UnitGroup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::gradients;
use super::importance::{by_activation, by_magnitude, by_taylor, keep_best};
use super::reconstruct::Reconstruction;
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
    /// The share of each group that goes;
    pub(crate) ratio: Option<Fraction>,
    /// or how many stay.
    pub(crate) keep: Option<usize>,
    /// Which go.
    pub(crate) importance: Importance,
    /// What reads the units is fitted anew to those that are left.
    pub(crate) reconstruct: bool,
    /// What stays is rounded up to a multiple of this.
    pub(crate) round_to: usize,
    /// At most this many rows are looked at.
    pub(crate) calibration_rows: usize,
}

impl Structure {
    /// How many of `count` units stay.
    pub(crate) fn kept(&self, count: usize) -> usize {
        let removed = self.ratio.map_or(0, |ratio| (count as f64 * ratio.value()).round() as usize);
        let kept = self.keep.unwrap_or(count.saturating_sub(removed)).max(1);
        kept.next_multiple_of(self.round_to.max(1)).min(count)
    }

    fn looks_at_rows(&self) -> bool {
        self.reconstruct || self.importance != Importance::Magnitude
    }

    /// What is wrong with it: one of the two amounts has to be given.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.ratio.and_then(|it| it.problem("/ratio")).into_iter().collect();
        match (self.ratio, self.keep) {
            (None, None) => problems
                .push(Problem::new("", "has neither `ratio` nor `keep`").help("such as `ratio: 0.5` or `keep: 32`")),
            (Some(_), Some(_)) => problems
                .push(Problem::new("/keep", "cannot be given together with `ratio`").help("remove one of the two")),
            _ => (),
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
            problems.extend(gradients::problem(cx, "/importance"));
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
        groups.retain(|group| self.kept(group.count) < group.count);
        let calibration =
            self.looks_at_rows().then(|| Calibration::new(cx, &model, self.calibration_rows)).transpose()?;
        let scores = match (self.importance, &calibration) {
            (Importance::Activation, Some(calibration)) => by_activation(cx, &model, calibration, &groups)?,
            (Importance::Taylor, _) => by_taylor(cx, &model, self.calibration_rows, &groups)?,
            _ => groups.iter().map(|group| by_magnitude(&model, group)).collect::<Result<_, _>>()?,
        };
        let kept: Vec<Vec<usize>> =
            groups.iter().zip(&scores).map(|(group, scores)| keep_best(scores, self.kept(group.count))).collect();
        let mut receipt = Receipt::default();
        let kept: Vec<(UnitGroup, Vec<usize>)> = groups.into_iter().zip(kept).collect();
        for ((group, kept), scores) in kept.iter().zip(&scores) {
            self.record(&mut receipt, group, kept, scores);
        }
        self.summarize(&mut receipt);
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
        for site in cx.sites {
            let Some(group) = groups.iter().find(|group| group.site == site.name) else {
                effect.skips.push((site.name.clone(), format!("has no {}", self.kind.lacking)));
                continue;
            };
            let (kept, units) = (self.kept(group.count), self.many());
            if kept == group.count {
                effect.skips.push((site.name.clone(), format!("all of its {kept} {units} stay")));
                continue;
            }
            keep_units_outline(&mut effect.outline, group, kept).map_err(|error| failed(error.to_string()))?;
            effect.touches.push(site.name.clone());
            effect.notes.push(format!("`{}`: {kept} of {} {units} stay", site.name, group.count));
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

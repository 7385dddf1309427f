//! Walking the stages over outlines: selectors, order, each pass's own plan, sizes.

use indexmap::IndexMap;
use paring_model::Outline;
use paring_passes::{Effect, PlanCx};
use paring_schema::{Diagnostic, Diagnostics};
use paring_train::measure;
use serde_json::Value;

use super::{Plan, PlannedStage};
use crate::export;
use crate::ledger::{Selection, select};
use crate::masks;
use crate::order::{History, Order};
use crate::problems;
use crate::project::{ConfiguredStage, Project};

/// Plans a recipe. No weight is read.
///
/// # Errors
/// Measures and gates that cannot be taken; and for the first stage that cannot work, everything that is wrong with it
/// (later stages depend on what it leaves).
pub fn plan(project: &Project) -> Result<Plan, Box<Diagnostics>> {
    let mut problems = measure_problems(project);
    let before = project.model.outline();
    let mut walk = Walk { project, outline: before.clone(), history: History::default(), exact: true };
    let stages = match walk.stages(&project.checked.stages) {
        Ok(stages) => stages,
        Err(found) => {
            problems.extend(found);
            Vec::new()
        }
    };
    if problems.is_empty() && walk.outline.built {
        problems = export::problems(project.loaded(), &project.model, &stages, &walk.outline);
    }
    if problems.is_empty() {
        Ok(summarize(project, [&before, &walk.outline], stages))
    } else {
        Err(project.diagnostics(problems))
    }
}

fn summarize(project: &Project, [before, after]: [&Outline; 2], stages: Vec<PlannedStage>) -> Plan {
    let recipe = &project.loaded().recipe;
    let last = stages.last().map_or(before.file_size(), |stage| stage.size);
    let rows = project.data.iter().flat_map(|data| data.notes.iter().cloned());
    let stored: u64 = stages.iter().map(|stage| stage.size).sum();
    Plan {
        recipe: recipe.name.clone(),
        size: before.built.then(|| before.file_size()),
        macs: before.macs().ok().filter(|_| before.config.is_some()),
        rows: project.data.as_ref().map(|data| {
            let parts = &data.parts;
            [&parts.train, &parts.validate, &parts.calibrate, &parts.test].map(Vec::len)
        }),
        exports: recipe.export.iter().map(|export| export.format.clone()).collect(),
        peak_memory: stages.iter().map(|stage| stage.memory).max().unwrap_or(0),
        disk: stored + last * recipe.export.len() as u64,
        notes: rows.chain(export::notes(project.loaded(), after)).collect(),
        stages,
    }
}

/// One walk over stages.
pub(crate) struct Walk<'a> {
    pub(crate) project: &'a Project,
    pub(crate) outline: Outline,
    pub(crate) history: History,
    /// Whether the outline is certain so far.
    pub(crate) exact: bool,
}

/// Most sets of values that nested stages are planned with.
const MOST_SAMPLES: usize = 64;

/// Nested stages, planned.
#[derive(Default)]
struct Nested {
    /// With the first set of values.
    stages: Vec<PlannedStage>,
    /// What they leave.
    outline: Option<Outline>,
    /// Every set of values leaves that.
    exact: bool,
}

impl Walk<'_> {
    fn stages(&mut self, stages: &[ConfiguredStage]) -> Result<Vec<PlannedStage>, Vec<Diagnostic>> {
        stages.iter().map(|stage| self.stage(stage)).collect()
    }

    fn stage(&mut self, configured: &ConfiguredStage) -> Result<PlannedStage, Vec<Diagnostic>> {
        let (selection, nested, effect) = self.effect(configured)?;
        self.exact &= effect.exact;
        let planned = self.planned(configured, selection, nested, effect);
        self.history.record(&configured.stage, &self.outline, &planned.effect.outline);
        self.outline = planned.effect.outline.clone();
        Ok(planned)
    }

    /// What the stage hits, its nested stages, and what its pass predicts.
    fn effect(&self, configured: &ConfiguredStage) -> Result<(Selection, Vec<PlannedStage>, Effect), Vec<Diagnostic>> {
        let project = self.project;
        let loaded = project.loaded();
        let sites = self.outline.sites().map_err(|error| vec![problems::of_model(loaded, &error)])?;
        let selection = select(loaded, &configured.stage, &sites)?;
        let parts = project.data.as_ref().map(|data| &data.parts);
        let order = Order { loaded, outline: &self.outline, sites: &selection.sites, parts, history: &self.history };
        let unmet = order.check(configured);
        if !unmet.is_empty() {
            return Err(unmet);
        }
        let nested = self.nested(configured)?;
        let cx = PlanCx {
            outline: &self.outline,
            sites: &selection.sites,
            parts,
            nested: nested.outline.as_ref(),
            nested_stages: nested.stages.len(),
            measures: &loaded.recipe.measure,
        };
        let refused = |found: Vec<paring_passes::Problem>| -> Vec<Diagnostic> {
            found.iter().map(|problem| problems::of_pass("P006", loaded, &configured.stage, problem)).collect()
        };
        let mut effect = configured.step.plan(&cx).map_err(refused)?;
        // What a sweep leaves is certain when whatever it may bind leaves the same.
        effect.exact |= nested.exact;
        Ok((selection, nested.stages, effect))
    }

    /// Plans nested stages with values that stand for all that the sweep may bind.
    fn nested(&self, configured: &ConfiguredStage) -> Result<Nested, Vec<Diagnostic>> {
        if configured.stage.nested.is_empty() {
            return Ok(Nested::default());
        }
        let mut found: Option<Nested> = None;
        for bindings in self.project.loaded().sampled_values(&configured.stage, MOST_SAMPLES) {
            let (stages, outline) = self.bound(configured, &bindings)?;
            let exact = stages.iter().all(|stage| stage.exact);
            match &mut found {
                None => found = Some(Nested { stages, outline: Some(outline), exact }),
                Some(first) => first.exact &= exact && first.outline.as_ref() == Some(&outline),
            }
        }
        Ok(found.unwrap_or_default())
    }

    /// The nested stages with the sweep's variables bound, and the outline they leave.
    fn bound(
        &self,
        configured: &ConfiguredStage,
        bindings: &IndexMap<String, Value>,
    ) -> Result<(Vec<PlannedStage>, Outline), Vec<Diagnostic>> {
        let checked = &self.project.checked;
        let stages = checked.loaded.bind(&configured.stage, bindings, &checked.catalog)?;
        let configured: Result<Vec<_>, _> = stages.iter().map(|stage| self.project.configure(stage)).collect();
        let mut walk = Walk { outline: self.outline.clone(), history: self.history.clone(), ..*self };
        let planned = walk.stages(&configured?)?;
        Ok((planned, walk.outline))
    }

    fn planned(
        &self,
        configured: &ConfiguredStage,
        selection: Selection,
        nested: Vec<PlannedStage>,
        effect: Effect,
    ) -> PlannedStage {
        let after = &effect.outline;
        let size = after.file_size();
        let inner = nested.iter().map(|stage| stage.memory).max().unwrap_or(0);
        PlannedStage {
            id: configured.stage.id.clone(),
            pass: configured.stage.pass.clone(),
            parameters: configured.step.resolved(),
            ledger: selection.lines,
            touches: effect.touches.clone(),
            skips: effect.skips.clone(),
            size,
            macs: after.config.as_ref().and_then(|_| after.macs().ok()),
            memory: inner.max(self.outline.file_size() + size + effect.memory),
            exact: self.exact,
            stages: nested,
            cache: None,
            notes: effect.notes.iter().cloned().chain(masks::note(&self.outline, after)).collect(),
            effect,
        }
    }
}

/// Measures that do not suit the task or have no rows.
fn measure_problems(project: &Project) -> Vec<Diagnostic> {
    let loaded = project.loaded();
    let recipe = &loaded.recipe;
    let mut problems = Vec::new();
    for (index, name) in recipe.measure.iter().enumerate() {
        let place = loaded.span(&format!("/measure/{index}"));
        let Some(info) = measure::info(name) else { continue };
        if let Some(outputs) = project.model.outputs()
            && !info.tasks.is_empty()
            && !info.tasks.contains(&outputs.task())
        {
            let message = format!("measure `{name}` does not suit the task of this recipe");
            problems.push(Diagnostic::new("P010", message).label(place, "").label(loaded.span("/task"), "the task"));
        } else if info.needs_rows && project.data.as_ref().is_none_or(|data| data.parts.test.is_empty()) {
            let message = format!("measure `{name}` needs test rows, and there are none");
            let help = match project.data {
                Some(_) => "give `data.split` a share for `test`, or name a file as `data.test`",
                None => "name rows: `data: { train: { path: rows.csv } }`",
            };
            problems.push(Diagnostic::new("P009", message).label(place, "").help(help));
        }
    }
    problems
}

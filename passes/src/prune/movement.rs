//! `prune/movement`: weights that training moves towards zero become zero.

use paring_data::Part;
use paring_model::{Checkpoint, Site, SiteKind, WeightOutline};
use paring_train::fit::{Extras, FitSettings, Lesson, Movement as Moves, fit_with};
use paring_train::sparse::{Growth, SparsityScope, scores_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::told::{figures, summarize};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::Outcome;
use crate::training;
use crate::weights::{self, FloatWeight};

/// Trains a model on, and sets those weights to zero that training moves towards zero.
///
/// # What it does
/// Every targeted weight has a score, which begins at zero and is trained beside it: it rises while the gradient moves
/// the weight away from zero, and falls while it moves it towards zero. From step to step the weights of least score
/// are zero in the model; their share grows from nothing to `sparsity` along a cubic curve. The gradient of a score is
/// that of a weight that is not zero, so that a weight can come back. At the end the zeros become a mask. The loss is
/// that of `train/fit`; all weights are trained, those without scores too.
///
/// # When to use
/// Where a model that was trained on much is fine-tuned for a task of its own, and most of its weights shall go: what
/// fine-tuning does not need is not what is small. From about 70% of zeros on it keeps more than `prune/magnitude`.
///
/// # When not to
/// For few zeros, where magnitudes do as well and cost nothing; for a model from nothing, whose weights have moved from
/// where they were drawn only. Without labels: `prune/wanda`.
///
/// # Parameters
/// `sparsity` is the fraction of the targeted weights that is zero in the end. `scope`: weights compete within each
/// target (`per_site`), or over all of them (`global`). The fraction grows from `begin` to `end`, shares of the run;
/// what follows is for recovery. The choice is made anew every `every_steps` steps. `score_learning_rate` is the peak
/// rate of the scores: some hundred times that of the weights. All others are those of `train/fit`; `early_stopping`
/// looks at the epochs after `end` only.
///
/// # Cost and limits
/// Time and memory of `train/fit`, and the scores, with their gradients and moments, as much again for the targeted
/// weights. The ranking reads all scores whenever a choice is made.
///
/// # Source
/// Sanh, Wolf & Rush 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", section 4: movement pruning with the
/// hard choice of the best scores, and the cubic schedule of Zhu & Gupta 2018, "To prune, or not to prune", section 3.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MovementParameters {
    /// The fraction of the targeted weights that is zero in the end, from 0 to 1 (both exclusive).
    #[schemars(range(min = 0.0001, max = 0.9999))]
    pub sparsity: f64,
    /// Whether weights compete over all targets or within each.
    #[serde(default = "per_site")]
    pub scope: SparsityScope,
    /// Where the fraction begins to grow, as a share of the run.
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub begin: f64,
    /// Where it has grown, as a share of the run.
    #[serde(default = "most")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub end: f64,
    /// Steps from one choice of weights to the next.
    #[serde(default = "each")]
    #[schemars(range(min = 1, max = 1000000))]
    pub every_steps: usize,
    /// Peak learning rate of the scores.
    #[serde(default = "hundredth")]
    #[schemars(range(min = 1e-9, max = 100.0))]
    pub score_learning_rate: f64,
    /// The training run.
    #[serde(flatten)]
    pub settings: FitSettings,
}

fn per_site() -> SparsityScope {
    SparsityScope::PerSite
}

fn tenth() -> f64 {
    0.1
}

fn most() -> f64 {
    0.7
}

fn each() -> usize {
    1
}

fn hundredth() -> f64 {
    0.01
}

impl MovementParameters {
    fn growth(&self) -> Growth {
        let Self { sparsity, scope, begin, end, every_steps, .. } = *self;
        Growth { sparsity, begin, end, every_steps, scope }
    }
}

/// The pass.
pub struct Movement;

impl Definition for Movement {
    type Parameters = MovementParameters;

    const INFO: PassInfo = PassInfo {
        id: "prune/movement",
        summary: "train on, and set weights to zero that training moves towards zero",
        version: 1,
        needs: &[Needs::TrainRows, Needs::BuiltModel, Needs::FloatWeights, Needs::Family],
        leaves: &[Leaves::Masks],
    };

    fn check(parameters: &MovementParameters) -> Vec<Problem> {
        let mut problems = training::unsuited(&parameters.settings, "does not go together with scores of weights");
        problems.extend(training::time_problem(parameters.begin, parameters.end));
        problems
    }

    fn plan(parameters: &MovementParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let settings = &parameters.settings;
        let mut problems = training::problems(settings, cx);
        problems.extend(weights::problems(cx));
        problems.extend(training::task_problem(settings, cx.outline));
        if !cx.sites.is_empty() && moving(cx.sites).next().is_none() {
            let message = "targets tables only, whose rows are looked up: most of their scores would never move";
            problems.push(Problem::new("", message).help("target linear layers or convolutions"));
        }
        let scores: Vec<String> = moving(cx.sites).map(|site| scores_name(&site.name)).collect();
        problems.extend(training::glob_problems_with(settings, cx.outline, &scores));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = training::effect(settings, cx.outline, cx);
        for site in moving(cx.sites) {
            if let Some(WeightOutline::Dense { shape, masked, .. }) = effect.outline.weights.get_mut(&site.weight()) {
                *masked = true;
                effect.memory += shape.iter().product::<usize>() as u64 * 20;
            }
        }
        effect.skips = weights::untargeted(cx);
        effect.skips.iter_mut().for_each(|(_, reason)| *reason = "trained on, but keeps all its weights".to_owned());
        let tables = cx.sites.iter().filter(|site| is_table(site));
        let reason = "a table, whose rows are looked up: most of its scores would never move";
        effect.skips.extend(tables.map(|site| (site.name.clone(), reason.to_owned())));
        Ok(effect)
    }

    fn run(parameters: &MovementParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let before = moving(cx.sites).map(|site| FloatWeight::read(&model, site)).collect::<Result<Vec<_>, _>>()?;
        let rows = cx.required_examples(Part::Train, &model)?;
        let judges = cx.examples(Part::Validate, &model)?;
        let lesson = Lesson { train: &rows, validate: judges.as_ref(), teacher: None };
        let movement = Moves {
            sites: moving(cx.sites).map(|site| site.name.clone()).collect(),
            growth: parameters.growth(),
            score_learning_rate: parameters.score_learning_rate,
        };
        let (settings, stream) = (&parameters.settings, cx.stream.split("fit"));
        let extras = Extras { movement: Some(&movement), ..Extras::default() };
        let report = fit_with(&mut model, lesson, extras, settings, &stream, &mut cx.watch(settings))?;
        let mut receipt = training::receipt(settings, &report)?;
        let trained = receipt.summary.clone();
        for (site, before) in moving(cx.sites).zip(&before) {
            receipt.sites.insert(site.name.clone(), figures(before, &model.floats(&site.weight())?));
        }
        summarize(&mut receipt);
        receipt.summary = format!("{}; {trained}", receipt.summary);
        Ok(Outcome { model, receipt })
    }
}

/// Targets whose weights have scores.
fn moving(sites: &[Site]) -> impl Iterator<Item = &Site> {
    sites.iter().filter(|site| !is_table(site))
}

fn is_table(site: &Site) -> bool {
    matches!(site.kind, SiteKind::Embedding { .. })
}

#[cfg(test)]
mod tests;

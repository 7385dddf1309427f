//! What passes that prune single weights by calibration inputs share: how much goes, and their plan.

use std::collections::BTreeMap;

use paring_data::Part;
use paring_model::{Checkpoint, Site, WeightOutline};

use super::amount;
use super::mask::zeros_of;
use super::owl::Owl;
use super::pattern::Pattern;
use crate::calibration::{self, Calibration};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::walk::{multiplying, untouched};
use crate::weights;
use crate::wording::counted;

/// How much a recipe asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// A share of the weights;
    pub(crate) sparsity: Option<Fraction>,
    /// or this many of each group.
    pub(crate) pattern: Option<Pattern>,
    /// The share differs from layer to layer.
    pub(crate) owl: Option<Owl>,
}

/// How much of one site goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rule {
    /// A share of its weights.
    Share(f64),
    /// All but some of each group of inputs.
    Pattern(Pattern),
}

/// How much of each site goes.
pub(crate) struct Rules {
    rule: Rule,
    sites: BTreeMap<String, f64>,
}

impl Rules {
    /// For the site of that name.
    pub(crate) fn of(&self, site: &str) -> Rule {
        self.sites.get(site).map_or(self.rule, |share| Rule::Share(*share))
    }
}

impl Amount {
    /// What is wrong with it.
    pub(crate) fn problems(self) -> Vec<Problem> {
        let mut problems = amount::problems(self.sparsity, self.pattern);
        if problems.is_empty() {
            problems.extend(self.owl.and_then(|owl| owl.problem(self.sparsity)));
        }
        problems
    }

    /// How much of each site goes; layers are compared on the model as it comes.
    ///
    /// # Errors
    /// When they cannot be compared.
    pub(crate) fn rules(self, cx: &Cx<'_>, model: &Checkpoint, calibration: &Calibration) -> Result<Rules, PassError> {
        let share = self.sparsity.map_or(0.0, Fraction::value);
        let sites = match self.owl {
            Some(owl) => owl.sparsities(cx, model, calibration, share)?,
            None => BTreeMap::new(),
        };
        Ok(Rules { rule: self.pattern.map_or(Rule::Share(share), Rule::Pattern), sites })
    }

    /// The model after the targets that multiply are pruned, from at most `rows` calibration rows; `bytes` are held for
    /// each weight of the largest.
    ///
    /// # Errors
    /// When there are too few rows, a target has no float weight, or does not fit.
    pub(crate) fn plan(self, cx: &PlanCx<'_>, rows: usize, bytes: usize) -> Result<Effect, Vec<Problem>> {
        let sites = multiplying(cx.sites);
        let mut problems = weights::problems(&PlanCx { sites: &sites, ..*cx });
        problems.extend(calibration::problem(cx));
        problems.extend(sites.iter().filter_map(|site| self.misfit(cx, site)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut effect = Effect::same_shape(cx.outline);
        for site in &sites {
            if let Some(WeightOutline::Dense { shape, masked, .. }) = effect.outline.weights.get_mut(&site.weight()) {
                *masked = true;
                effect.memory = effect.memory.max((shape.iter().product::<usize>() * bytes) as u64);
            }
            effect.touches.push(site.name.clone());
        }
        effect.pattern = self.pattern;
        effect.skips = untouched(cx, "`prune/magnitude` prunes it");
        let rows = calibration::planned_rows(cx, rows);
        effect.notes.push(format!("inputs are those of {}", counted(rows, "calibration row")));
        effect.notes.extend(cx.stand_in_note(Part::Calibrate));
        Ok(effect)
    }

    /// Why a target does not fit the pattern, or would lose every weight.
    fn misfit(self, cx: &PlanCx<'_>, site: &Site) -> Option<Problem> {
        let inputs = weights::inputs(weights::shape(cx, site));
        match (self.pattern, self.sparsity) {
            (Some(pattern), _) => amount::uneven(cx, site, pattern),
            (None, Some(sparsity)) if zeros_of(inputs, sparsity.value()) == inputs => {
                let (sparsity, name) = (sparsity.value(), &site.name);
                let message = format!("is `{sparsity}`, which leaves none of the {inputs} inputs of `{name}`");
                Some(Problem::new("/sparsity", message))
            }
            _ => None,
        }
    }
}

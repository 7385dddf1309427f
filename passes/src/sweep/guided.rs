//! Sweeps whose next trial follows from the trials before it.

use paring_model::Checkpoint;
use paring_search::{Domain, Outcome as Found, Parameter, Point, Sampler, pareto};
use rand::RngExt as _;
use serde_json::Value;

use super::choose::{Goal, Objectives, Pick};
use super::space::{self, Axis, AxisScale, Space};
use super::trials::{self, Bindings, Tried};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::receipt::Outcome;

/// What the parameters of every such pass say.
pub(super) struct Search<'a> {
    pub space: &'a Space,
    pub objectives: &'a Objectives,
    pub trials: usize,
    pub patience: Option<usize>,
    pub pick: &'a Pick,
}

/// What is wrong with the space.
pub(super) fn problems(space: &Space) -> Vec<Problem> {
    let mut problems = space::problems(space);
    problems.extend(space::points_problems(space));
    if problems.is_empty()
        && let Err(error) = searched(space)
    {
        problems.push(Problem::new("/space", error.to_string()));
    }
    problems
}

impl Search<'_> {
    /// The plan's words for it.
    pub fn plan(&self, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let most = self.most();
        let mut effect = trials::plan(cx, self.objectives, self.pick, most)?;
        if most < self.trials {
            effect.notes.push(format!("the space has only {most} combinations: each is tried once"));
        }
        if let Some(patience) = self.patience {
            effect.notes.push(format!("ends after {patience} trials in a row that are no better"));
        }
        Ok(effect)
    }

    /// Runs trials until there are enough of them, or `patience` of them in a row were no better.
    pub fn run(
        &self,
        cx: &Cx<'_>,
        model: &Checkpoint,
        sampler: impl FnOnce(u64) -> Box<dyn Sampler>,
    ) -> Result<Outcome, PassError> {
        let searched = searched(self.space).map_err(|error| PassError::Failed(error.to_string()))?;
        let sampler = sampler(cx.stream.split("draws").rng().random());
        let mut points: Vec<Point> = Vec::new();
        trials::run(cx, model, self.objectives, self.pick, self.most(), |tried| {
            let history: Vec<paring_search::Trial> =
                points.iter().zip(tried).map(|(point, tried)| self.seen(point, tried)).collect();
            if self.patience.is_some_and(|patience| since_better(&history) >= patience) {
                return None;
            }
            let point = sampler.suggest(&searched, &history);
            let bindings = self.bindings(&point);
            points.push(point);
            Some(bindings)
        })
    }

    /// As many trials as are asked for, or as there are combinations.
    fn most(&self) -> usize {
        space::combinations(self.space).map_or(self.trials, |most| self.trials.min(most))
    }

    fn bindings(&self, point: &Point) -> Bindings {
        let axes = self.space.iter().zip(point);
        axes.filter_map(|((name, axis), value)| Some((name.clone(), bound(axis, (*value)?)))).collect()
    }

    fn seen(&self, point: &Point, tried: &Tried) -> paring_search::Trial {
        let value = |(name, goal): (&String, &Goal), measures: &indexmap::IndexMap<String, f64>| {
            let value = measures.get(name).copied().unwrap_or(f64::NAN);
            if *goal == Goal::Maximize { -value } else { value }
        };
        let outcome = match &tried.measures {
            Some(measures) => Found::Measured {
                values: self.objectives.iter().map(|objective| value(objective, measures)).collect(),
                violation: 0.0,
            },
            None => Found::Failed,
        };
        paring_search::Trial { point: point.clone(), outcome }
    }
}

/// How many trials there were since the last that none before it equals or beats.
fn since_better(history: &[paring_search::Trial]) -> usize {
    let better = |number: &usize| {
        history[*number].feasible().is_some_and(|values| {
            let before = history[..*number].iter().filter_map(|trial| trial.feasible());
            before.into_iter().all(|other| other != values && !pareto::dominates(other, values))
        })
    };
    let last = (0..history.len()).rev().find(better);
    history.len() - last.map_or(0, |number| number + 1)
}

fn searched(space: &Space) -> Result<paring_search::Space, paring_search::SpaceError> {
    let parameter = |axis: &Axis| {
        let log = axis.scale == AxisScale::Log;
        let domain = match (&axis.choice, axis.int, axis.range) {
            (Some(choice), ..) => Domain::Categorical { choices: choice.len() },
            (None, Some([low, high]), _) => Domain::Int { low, high, log },
            (None, None, range) => {
                let [low, high] = range.unwrap_or_default();
                Domain::Float { low, high, log }
            }
        };
        Parameter { domain, condition: None }
    };
    paring_search::Space::new(space.values().map(parameter).collect())
}

fn bound(axis: &Axis, value: f64) -> Value {
    match (&axis.choice, axis.int) {
        (Some(choice), _) => choice.get(value as usize).cloned().unwrap_or(Value::Null),
        (None, Some(_)) => Value::from(value as i64),
        (None, None) => Value::from(value),
    }
}

#[cfg(test)]
mod tests;

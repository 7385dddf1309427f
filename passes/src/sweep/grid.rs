//! `sweep/grid`: every combination of the values.

use paring_model::Checkpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choose::{Objectives, Pick};
use super::space::{self, Space};
use super::trials::{self, Bindings, Tried};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Needs, PassInfo};
use crate::receipt::Outcome;

/// Most combinations that a grid may have.
const MOST_TRIALS: usize = 10_000;

/// Runs the nested stages with every combination of the variables' values, and keeps the best model.
///
/// # What it does
/// Takes the combinations in order, the last variable changing fastest. Each trial runs the nested stages on the model
/// before the sweep, with the trial's values in place of the variables, and is measured on the validation rows. A trial
/// that fails is recorded, and the sweep goes on; all trials stand in the report. Stages that several trials have in
/// common run once.
///
/// # When to use
/// For one or two variables with a few values each, where the whole picture is wanted.
///
/// # When not to
/// For three variables and more, or continuous ones: `sweep/random` finds as good a model in fewer trials, since a grid
/// spends most of its trials on variables that hardly matter.
///
/// # Parameters
/// `space` names the variables. `objectives` names measures of the recipe, most important first. `pick` says which
/// trial becomes the result; with several objectives the report also holds the Pareto front.
///
/// # Cost and limits
/// As many runs of the nested stages as there are combinations, at most 10,000. All models are held until one is chosen
/// (those in the cache are read from disk as needed).
///
/// # Source
/// Bergstra & Bengio 2012, "Random Search for Hyper-Parameter Optimization", section 2, which also says what is wrong
/// with it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridParameters {
    /// The variables, by name.
    pub space: Space,
    /// Measures and what to do with them, most important first.
    #[schemars(example = serde_json::json!({ "accuracy": "maximize" }))]
    pub objectives: Objectives,
    /// Which trial becomes the result.
    #[serde(default)]
    pub pick: Pick,
}

/// The pass.
pub struct Grid;

impl Definition for Grid {
    type Parameters = GridParameters;

    const INFO: PassInfo = PassInfo {
        id: "sweep/grid",
        summary: "run nested stages with every combination of values, and keep the best model",
        version: 1,
        needs: &[Needs::NestedStages, Needs::ValidateRows],
        leaves: &[],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &GridParameters) -> Vec<Problem> {
        let mut problems = space::problems(&parameters.space);
        for (name, axis) in &parameters.space {
            if axis.range.is_some() && axis.points.is_none() {
                let message = "is a continuous range, and a grid needs to know how many values of it to try";
                problems.push(Problem::new(format!("/space/{name}"), message).help("add `points: 5`"));
            }
        }
        let count = count(&parameters.space);
        if problems.is_empty() && count.is_none_or(|count| count > MOST_TRIALS) {
            let found = count.map_or_else(|| "too many to count".to_owned(), |count| count.to_string());
            problems.push(Problem::new("/space", format!("has {found} combinations, expected at most {MOST_TRIALS}")));
        }
        problems
    }

    fn plan(parameters: &GridParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        trials::plan(cx, &parameters.objectives, &parameters.pick, count(&parameters.space).unwrap_or(0))
    }

    fn run(parameters: &GridParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let all = combinations(&parameters.space);
        let next = |tried: &[Tried]| all.get(tried.len()).cloned();
        trials::run(cx, &model, &parameters.objectives, &parameters.pick, all.len(), next)
    }
}

/// How many combinations there are.
fn count(space: &Space) -> Option<usize> {
    space.values().try_fold(1_usize, |product, axis| product.checked_mul(axis.grid_count()?))
}

/// All combinations, the last variable changing fastest.
fn combinations(space: &Space) -> Vec<Bindings> {
    space.iter().fold(vec![Bindings::new()], |so_far, (name, axis)| {
        let count = axis.grid_count().unwrap_or(0);
        so_far
            .iter()
            .flat_map(|bindings| {
                (0..count).map(move |index| {
                    let mut next = bindings.clone();
                    next.insert(name.clone(), axis.grid_value(index, count));
                    next
                })
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;

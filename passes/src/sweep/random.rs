//! `sweep/random`: values drawn at random.

use std::collections::BTreeSet;

use paring_model::Checkpoint;
use paring_train::Stream;
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

/// How often a trial that was drawn before is drawn again.
const DRAWS: usize = 1000;

/// Runs the nested stages with values drawn at random, and keeps the best model.
///
/// # What it does
/// Draws every variable on its own, evenly over its choices or its range (over the logarithm with `scale: log`). Each
/// trial runs the nested stages on the model before the sweep, with the trial's values in place of the variables, and
/// is measured on the validation rows. No combination is tried twice. The draws depend on the recipe's seed and the
/// trial's number alone. A trial that fails is recorded, and the sweep goes on; all trials stand in the report.
///
/// # When to use
/// For any number of variables, continuous ones among them, when little is known about them.
///
/// # When not to
/// For a handful of combinations, which `sweep/grid` tries completely; and where a trial takes long, `sweep/bayes` and
/// `sweep/tpe` learn from each one.
///
/// # Parameters
/// `space` names the variables, `trials` says how many draws. `objectives` names measures of the recipe, most important
/// first. `pick` says which trial becomes the result; with several objectives the report also holds the Pareto front.
///
/// # Cost and limits
/// `trials` runs of the nested stages, fewer where the space has fewer combinations. 60 trials find one of the best 5%
/// of all settings with a probability of 95%, whatever the number of variables.
///
/// # Source
/// Bergstra & Bengio 2012, "Random Search for Hyper-Parameter Optimization", section 2.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomParameters {
    /// The variables, by name.
    pub space: Space,
    /// Measures and what to do with them, most important first.
    #[schemars(example = serde_json::json!({ "accuracy": "maximize" }))]
    pub objectives: Objectives,
    /// How many combinations are tried.
    #[serde(default = "twenty")]
    #[schemars(range(min = 1, max = 100_000))]
    pub trials: usize,
    /// Which trial becomes the result.
    #[serde(default)]
    pub pick: Pick,
}

fn twenty() -> usize {
    20
}

/// The pass.
pub struct Random;

impl Definition for Random {
    type Parameters = RandomParameters;

    const INFO: PassInfo = PassInfo {
        id: "sweep/random",
        summary: "run nested stages with values drawn at random, and keep the best model",
        version: 1,
        needs: &[Needs::NestedStages, Needs::ValidateRows],
        leaves: &[],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &RandomParameters) -> Vec<Problem> {
        let mut problems = space::problems(&parameters.space);
        problems.extend(space::points_problems(&parameters.space));
        problems
    }

    fn plan(parameters: &RandomParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let count = draws(parameters);
        let mut effect = trials::plan(cx, &parameters.objectives, &parameters.pick, count)?;
        if count < parameters.trials {
            effect.notes.push(format!("the space has only {count} combinations: each is tried once"));
        }
        Ok(effect)
    }

    fn run(parameters: &RandomParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let drawn = draw(&parameters.space, draws(parameters), &cx.stream.split("draws"));
        let next = |tried: &[Tried]| drawn.get(tried.len()).cloned();
        trials::run(cx, &model, &parameters.objectives, &parameters.pick, drawn.len(), next)
    }
}

/// How many different combinations are drawn.
fn draws(parameters: &RandomParameters) -> usize {
    space::combinations(&parameters.space).map_or(parameters.trials, |most| parameters.trials.min(most))
}

/// Draws that many different combinations. Where chance does not find another one, there are fewer.
fn draw(space: &Space, count: usize, stream: &Stream) -> Vec<Bindings> {
    let mut seen = BTreeSet::new();
    let mut drawn = Vec::new();
    for number in 0..count {
        let own = stream.split(&number.to_string());
        let fresh = (0..DRAWS).find_map(|attempt| {
            let mut rng = own.split(&attempt.to_string()).rng();
            let bindings: Bindings = space.iter().map(|(name, axis)| (name.clone(), axis.draw(&mut rng))).collect();
            seen.insert(serde_json::json!(bindings).to_string()).then_some(bindings)
        });
        drawn.extend(fresh);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use paring_train::Stream;
    use serde_json::json;

    use super::draw;
    use crate::sweep::space::Space;

    fn space(value: serde_json::Value) -> Space {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn draws_stay_inside_and_are_even_over_the_logarithm() {
        let space = space(json!({ "rate": { "range": [1e-4, 1e-1], "scale": "log" } }));
        let rates: Vec<f64> =
            draw(&space, 2000, &Stream::new(1)).iter().map(|bindings| bindings["rate"].as_f64().unwrap()).collect();
        assert!(rates.iter().all(|rate| (1e-4..=1e-1).contains(rate)));
        let third = rates.iter().filter(|rate| **rate < 1e-3).count() as f64 / 2000.0;
        // A third of the decades; three standard deviations of a binomial share are 0.032.
        assert!((third - 1.0 / 3.0).abs() < 0.032, "{third}");
    }

    #[test]
    fn a_small_space_is_tried_completely_and_nothing_twice() {
        let space = space(json!({ "a": { "choice": [1, 2] }, "b": { "int": [1, 3] } }));
        let drawn = draw(&space, 6, &Stream::new(3));
        let different: std::collections::BTreeSet<String> =
            drawn.iter().map(|bindings| json!(bindings).to_string()).collect();
        assert_eq!((drawn.len(), different.len()), (6, 6));
    }

    #[test]
    fn the_first_draws_do_not_depend_on_how_many_follow() {
        let space = space(json!({ "x": { "range": [0.0, 1.0] } }));
        assert_eq!(draw(&space, 5, &Stream::new(1))[..3], draw(&space, 3, &Stream::new(1))[..]);
        assert_ne!(draw(&space, 3, &Stream::new(1)), draw(&space, 3, &Stream::new(2)));
    }
}

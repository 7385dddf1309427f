//! `sweep/evolution`: over generations of values for several objectives.

use paring_model::Checkpoint;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choose::{Objectives, Pick};
use super::guided::{self, Search};
use super::space::Space;
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Needs, PassInfo};
use crate::receipt::Outcome;

/// Runs the nested stages over generations of values that are crossed and changed, and keeps the best model.
///
/// # What it does
/// NSGA-II: the first `population` trials are drawn at random. Each later generation is made of the best trials so far,
/// by rank of domination and, within a rank, by how empty their place on the front is: two of them are crossed, and
/// values are changed now and then. Each trial runs the nested stages on the model before the sweep and is measured on
/// the validation rows. A trial that fails is recorded, counts as worse than all others, and the sweep goes on; all
/// trials stand in the report.
///
/// # When to use
/// For two or three objectives that pull apart, such as accuracy and size, with hundreds of trials.
///
/// # When not to
/// For one objective, or for fewer trials than some generations: `sweep/tpe` and `sweep/bayes` need fewer.
///
/// # Parameters
/// `space` names the variables, `trials` says how many trials at most, `patience` ends the sweep earlier. `population`
/// is the size of a generation. `objectives` names measures of the recipe, most important first. `pick` says which
/// trial becomes the result; with several objectives the report also holds the Pareto front.
///
/// # Cost and limits
/// `trials` runs of the nested stages.
///
/// # Source
/// Deb et al. 2002, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", with its crossover (Deb & Agrawal
/// 1995) and mutation (Deb & Goyal 1996).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvolutionParameters {
    /// The variables, by name.
    pub space: Space,
    /// Measures and what to do with them, most important first.
    #[schemars(example = serde_json::json!({ "accuracy": "maximize" }))]
    pub objectives: Objectives,
    /// How many combinations are tried at most.
    #[serde(default = "trials")]
    #[schemars(range(min = 1, max = 100_000))]
    pub trials: usize,
    /// Ends after so many trials in a row that are no better than those before: that improve no objective without loss
    /// in another. Without it all trials run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), example = 20)]
    pub patience: Option<usize>,
    /// Trials of a generation.
    #[serde(default = "twenty")]
    #[schemars(range(min = 2, max = 10_000))]
    pub population: usize,
    /// Which trial becomes the result.
    #[serde(default)]
    pub pick: Pick,
}

fn trials() -> usize {
    100
}

fn twenty() -> usize {
    20
}

impl EvolutionParameters {
    fn search(&self) -> Search<'_> {
        let EvolutionParameters { space, objectives, trials, patience, pick, .. } = self;
        Search { space, objectives, trials: *trials, patience: *patience, pick }
    }
}

/// The pass.
pub struct Evolution;

impl Definition for Evolution {
    type Parameters = EvolutionParameters;

    const INFO: PassInfo = PassInfo {
        id: "sweep/evolution",
        summary: "run nested stages over generations of values for several objectives, and keep the best model",
        version: 1,
        needs: &[Needs::NestedStages, Needs::ValidateRows],
        leaves: &[],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &EvolutionParameters) -> Vec<Problem> {
        guided::problems(&parameters.space)
    }

    fn plan(parameters: &EvolutionParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.search().plan(cx)
    }

    fn run(parameters: &EvolutionParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        let population = parameters.population;
        parameters.search().run(cx, &model, |seed| Box::new(paring_search::Nsga2 { seed, population }))
    }
}

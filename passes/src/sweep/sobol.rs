//! `sweep/sobol`: with values spread evenly over the space.

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

/// Runs the nested stages with values that fill the space evenly, and keeps the best model.
///
/// # What it does
/// Takes the points of a scrambled Sobol sequence: however many trials there are, they leave no large part of the space
/// out. Each trial runs the nested stages on the model before the sweep, with the trial's values in place of the
/// variables, and is measured on the validation rows. A trial that fails is recorded, and the sweep goes on; all trials
/// stand in the report.
///
/// # When to use
/// In place of `sweep/random`: for a picture of a space with continuous variables, at any number of trials.
///
/// # When not to
/// For finding the best in few trials: `sweep/bayes` and `sweep/tpe` learn from each trial.
///
/// # Parameters
/// `space` names the variables, `trials` says how many trials at most, `patience` ends the sweep earlier. `objectives`
/// names measures of the recipe, most important first. `pick` says which trial becomes the result; with several
/// objectives the report also holds the Pareto front.
///
/// # Cost and limits
/// `trials` runs of the nested stages, fewer where the space has fewer combinations.
///
/// # Source
/// Sobol 1967, "On the Distribution of Points in a Cube and the Approximate Evaluation of Integrals"; direction
/// numbers: Joe & Kuo 2008; scrambling: Burley 2020, "Practical Hash-based Owen Scrambling".
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SobolParameters {
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
    /// Which trial becomes the result.
    #[serde(default)]
    pub pick: Pick,
}

fn trials() -> usize {
    30
}

impl SobolParameters {
    fn search(&self) -> Search<'_> {
        let SobolParameters { space, objectives, trials, patience, pick } = self;
        Search { space, objectives, trials: *trials, patience: *patience, pick }
    }
}

/// The pass.
pub struct Sobol;

impl Definition for Sobol {
    type Parameters = SobolParameters;

    const INFO: PassInfo = PassInfo {
        id: "sweep/sobol",
        summary: "run nested stages with values spread evenly over the space, and keep the best model",
        version: 1,
        needs: &[Needs::NestedStages, Needs::ValidateRows],
        leaves: &[],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &SobolParameters) -> Vec<Problem> {
        guided::problems(&parameters.space)
    }

    fn plan(parameters: &SobolParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.search().plan(cx)
    }

    fn run(parameters: &SobolParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        parameters.search().run(cx, &model, |seed| Box::new(paring_search::Sobol { seed }))
    }
}

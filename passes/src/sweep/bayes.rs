//! `sweep/bayes`: where a model of the trials expects most.

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

/// Runs the nested stages with the values from which a model of the trials so far expects most, and keeps the best
/// model.
///
/// # What it does
/// The first ten trials are spread over the space. Then a Gaussian process is fitted to them (Matern 5/2, one length a
/// variable), to the values as they are or drawn apart at their low end, whichever is likelier; and the point is tried
/// where the logarithm of expected improvement is largest. With several objectives each trial weights them at random
/// anew; failed trials count as the worst. Each trial runs the nested stages on the model before the sweep and is
/// measured on the validation rows. A trial that fails is recorded, and the sweep goes on; all trials stand in the
/// report.
///
/// # When to use
/// Where a trial takes seconds or longer, for ten to a few hundred trials over up to about twenty variables.
///
/// # When not to
/// For thousands of trials: `sweep/tpe` chooses faster. With more than 300 trials only the best and the last ones are
/// looked at.
///
/// # Parameters
/// `space` names the variables, `trials` says how many trials at most, `patience` ends the sweep earlier. `objectives`
/// names measures of the recipe, most important first. `pick` says which trial becomes the result; with several
/// objectives the report also holds the Pareto front.
///
/// # Cost and limits
/// `trials` runs of the nested stages; some 30 milliseconds to choose one after 100 trials, and time that grows with
/// the cube of their number up to 300.
///
/// # Source
/// Jones et al. 1998, "Efficient Global Optimization of Expensive Black-Box Functions"; Ament et al. 2023, "Unexpected
/// Improvements to Expected Improvement"; Garrido-Merchan & Hernandez-Lobato 2020 for whole numbers and choices;
/// Knowles 2006, "ParEGO", for several objectives.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BayesParameters {
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

impl BayesParameters {
    fn search(&self) -> Search<'_> {
        let BayesParameters { space, objectives, trials, patience, pick } = self;
        Search { space, objectives, trials: *trials, patience: *patience, pick }
    }
}

/// The pass.
pub struct Bayes;

impl Definition for Bayes {
    type Parameters = BayesParameters;

    const INFO: PassInfo = PassInfo {
        id: "sweep/bayes",
        summary: "run nested stages where a model of the trials expects most, and keep the best model",
        version: 1,
        needs: &[Needs::NestedStages, Needs::ValidateRows],
        leaves: &[],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &BayesParameters) -> Vec<Problem> {
        guided::problems(&parameters.space)
    }

    fn plan(parameters: &BayesParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.search().plan(cx)
    }

    fn run(parameters: &BayesParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        parameters.search().run(cx, &model, |seed| Box::new(paring_search::Bayes::new(seed)))
    }
}

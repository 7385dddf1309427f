//! `sweep/tpe`: with values like those that did well.

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

/// Runs the nested stages with values that are likely among good trials and unlikely among others, and keeps the best
/// model.
///
/// # What it does
/// The first ten trials are spread over the space. Then two densities are estimated, one of the best tenth of the
/// trials and one of the others (failed ones among them), each a mixture of kernels over all variables together; of 32
/// points drawn from the first, the one is tried where it exceeds the second most. With several objectives the best
/// tenth is by rank of domination, and within a rank by hypervolume. Each trial runs the nested stages on the model
/// before the sweep and is measured on the validation rows. A trial that fails is recorded, and the sweep goes on; all
/// trials stand in the report.
///
/// # When to use
/// For some dozens to thousands of trials over variables of every kind, choices and whole numbers among them.
///
/// # When not to
/// For fewer than about 20 trials, where it has little to learn from; and where trials take long and there are up to
/// some hundred of them, `sweep/bayes` needs fewer.
///
/// # Parameters
/// `space` names the variables, `trials` says how many trials at most, `patience` ends the sweep earlier. `objectives`
/// names measures of the recipe, most important first. `pick` says which trial becomes the result; with several
/// objectives the report also holds the Pareto front.
///
/// # Cost and limits
/// `trials` runs of the nested stages; less than a millisecond to choose each.
///
/// # Source
/// Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", section 4; kernels over all variables: Falkner
/// et al. 2018, "BOHB"; Watanabe 2023, "Tree-Structured Parzen Estimator"; several objectives: Ozaki et al. 2022.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TpeParameters {
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

impl TpeParameters {
    fn search(&self) -> Search<'_> {
        let TpeParameters { space, objectives, trials, patience, pick } = self;
        Search { space, objectives, trials: *trials, patience: *patience, pick }
    }
}

/// The pass.
pub struct Tpe;

impl Definition for Tpe {
    type Parameters = TpeParameters;

    const INFO: PassInfo = PassInfo {
        id: "sweep/tpe",
        summary: "run nested stages with values like those that did well, and keep the best model",
        version: 1,
        needs: &[Needs::NestedStages, Needs::ValidateRows],
        leaves: &[],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &TpeParameters) -> Vec<Problem> {
        guided::problems(&parameters.space)
    }

    fn plan(parameters: &TpeParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        parameters.search().plan(cx)
    }

    fn run(parameters: &TpeParameters, cx: &mut Cx<'_>, model: Checkpoint) -> Result<Outcome, PassError> {
        parameters.search().run(cx, &model, |seed| Box::new(paring_search::Tpe::new(seed)))
    }
}

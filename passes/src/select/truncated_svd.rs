//! `select/truncated-svd`: the first singular directions of the features in place of them, without centring.

use indexmap::IndexMap;
use paring_model::{Checkpoint, InputStep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features, pca};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};

/// Replaces the features by the coordinates of rows along the directions that hold most of their squares.
///
/// # What it does
/// Takes the right singular vectors of the training rows, as the network sees them, of the largest singular values.
/// From then on the model reads a row's coordinates along them; no mean is taken off, so that zero stays zero. The
/// matrix is saved with the model, which still takes whole raw rows. Where it is trained already, its first layer is
/// turned the same way, and loses only what lies outside the directions kept. Of each direction's two signs the one is
/// taken whose largest entry is positive.
///
/// # When to use
/// On counts and other features for which zero means nothing was there (of texts: latent semantic analysis).
///
/// # When not to
/// Where the mean is far from zero: the first direction then says little but that. `select/pca` takes it off.
///
/// # Parameters
/// `keep` is the number of components that the model reads; half of the features where not given.
///
/// # Cost and limits
/// As `select/pca`. Works on models that read a list of features, not on images.
///
/// # Source
/// Eckart and Young 1936, "The Approximation of One Matrix by Another of Lower Rank"; as scikit-learn's `TruncatedSVD`
/// but for signs. For wide tables Halko, Martinsson and Tropp 2011, "Finding Structure with Randomness", algorithms 4.4
/// and 5.1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TruncatedSvdParameters {
    /// How many components the model reads. Half of the features by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 16)]
    pub keep: Option<usize>,
}

/// The pass.
pub struct TruncatedSvd;

impl Definition for TruncatedSvd {
    type Parameters = TruncatedSvdParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/truncated-svd",
        summary: "read the first singular directions of the features in place of them",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &TruncatedSvdParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let width = change::width(cx.outline);
        pca::plan(parameters.keep.unwrap_or(width / 2), cx)
    }

    fn run(parameters: &TruncatedSvdParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let table = features::features(cx, &model)?;
        let origin = vec![0.0; table.columns];
        let keep = parameters.keep.unwrap_or(table.columns / 2);
        let found = pca::principal(&table, &origin, Some(keep), cx)?;
        let share: f64 = found.ratios().take(keep).sum();
        let rows = table.rows.saturating_sub(1) as f64;
        let component = |(index, (variance, ratio)): (usize, (&f64, f64))| {
            let figures = [("singular_value", (variance * rows).sqrt()), ("share_of_squares", ratio)];
            (format!("component {index}"), figures.map(|(name, value)| (name.to_owned(), value)).into())
        };
        let receipt = Receipt {
            summary: format!("{keep} components for {} features, {:.1}% of the squares", table.columns, share * 100.0),
            sites: found.variances.iter().zip(found.ratios()).take(keep).enumerate().map(component).collect(),
            figures: IndexMap::from([("components".to_owned(), keep as f64), ("share_of_squares".to_owned(), share)]),
            ..Receipt::default()
        };
        let components = found.directions.iter().take(keep).flatten().map(|&entry| entry as f32).collect();
        let step = InputStep::Project { mean: vec![0.0; table.columns], components, rows: keep };
        change::apply(&mut model, step, &origin)?;
        Ok(Outcome { model, receipt })
    }
}

#[cfg(test)]
mod tests {
    use paring_model::InputStep;
    use serde_json::json;

    use super::TruncatedSvd;
    use crate::testing::{Bench, classes, inputs, labels, unbuilt};

    /// Rows (2, 1), (-2, -1) and (-1, 2): squares 10 along (2, 1), 5 across; no mean is taken off.
    #[test]
    fn directions_hold_squares() {
        let rows: [&[f64]; 3] = [&[2.0, 1.0], &[-2.0, -1.0], &[-1.0, 2.0]];
        let bench = Bench::with_rows(classes(&rows, &["a", "b", "a"]));
        let model = unbuilt(&[2], inputs(2), labels(&["a", "b"]));
        let outcome = bench.run::<TruncatedSvd>(&json!({}), &model).unwrap();
        let first = &outcome.receipt.sites["component 0"];
        assert!((first["singular_value"] - 10.0_f64.sqrt()).abs() < 1e-6, "{first:?}");
        assert!((first["share_of_squares"] - 2.0 / 3.0).abs() < 1e-6, "{first:?}");
        let inputs = outcome.model.inputs().unwrap();
        let Some(InputStep::Project { components, mean, .. }) = inputs.steps.last() else { panic!("no projection") };
        assert!((components[0] - 2.0 / 5.0_f32.sqrt()).abs() < 1e-6 && mean == &[0.0, 0.0], "{components:?}");
    }
}

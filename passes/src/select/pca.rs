//! `select/pca`: principal components in place of features.

use indexmap::IndexMap;
use paring_model::{Checkpoint, InputStep};
use paring_statistics::Features;
use paring_statistics::principal::{Components, components, randomized};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};
use crate::wording::counted;

/// Replaces the features by fewer, uncorrelated ones: the directions in which the training rows vary most.
///
/// # What it does
/// Takes the covariance of the features over the training rows, as the network sees them, and its eigenvectors of the
/// largest eigenvalues. From then on the model reads a row's coordinates along these directions, centred on the
/// training mean; the matrix is saved with the model, which still takes whole raw rows. Where it is trained already,
/// its first layer is turned the same way, and loses only what lies outside the directions kept. Of each direction's
/// two signs the one is taken whose largest entry is positive.
///
/// # When to use
/// Where many features move together (pixels, spectra, sensors): a few components carry nearly all of them.
///
/// # When not to
/// Where single features must stay readable or raw columns shall be dropped for good: every component needs every
/// feature. Where what decides varies little: variance is not relevance. The saved matrix costs bytes: 4 for each
/// feature and component.
///
/// # Parameters
/// Either `keep`, the number of components, or `variance`, the share of all variance that the components must exceed;
/// the share is 95% where neither is given. `whiten` divides every component by its standard deviation, so that all
/// weigh the same.
///
/// # Cost and limits
/// Memory: the training rows and three times the covariance, 24 bytes for each pair of features. Time grows with the
/// cube of the number of features: of more than a thousand, a `keep` below 80% of the smaller side of the table is found by a randomized search instead, which takes some times
/// rows x features x `keep`. Works on models that read a list of features, not on images.
///
/// # Source
/// Jolliffe 2002, "Principal Component Analysis", chapters 2 and 6.1.1, for the share of variance; signs and the count
/// for a share as scikit-learn's `PCA`. The randomized search: Halko, Martinsson and Tropp 2011, "Finding Structure
/// with Randomness", algorithms 4.4 and 5.1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PcaParameters {
    /// How many components the model reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), example = 16)]
    pub keep: Option<usize>,
    /// Share of the variance that the components exceed, from 0 (exclusive) to 1 (exclusive). 0.95 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1e-6, max = 0.999_999), example = 0.95)]
    pub variance: Option<f64>,
    /// Whether every component is divided by its standard deviation.
    #[serde(default)]
    pub whiten: bool,
}

impl PcaParameters {
    fn share(&self) -> f64 {
        self.variance.unwrap_or(0.95)
    }
}

/// The pass.
pub struct Pca;

impl Definition for Pca {
    type Parameters = PcaParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/pca",
        summary: "read the principal components of the features in place of them",
        version: 2,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs, Leaves::Shapes],
    };

    const TAKES_TARGETS: bool = false;

    fn check(parameters: &PcaParameters) -> Vec<Problem> {
        let both = parameters.keep.is_some() && parameters.variance.is_some();
        let problem =
            || Problem::new("/variance", "cannot be given together with `keep`").help("remove one of the two");
        both.then(problem).into_iter().collect()
    }

    fn plan(parameters: &PcaParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        if let Some(keep) = parameters.keep {
            return plan(keep, cx);
        }
        let effect = plan(1, cx)?;
        let share = parameters.share();
        let note = format!("how many components exceed {share} of the variance is known once they are computed");
        Ok(Effect { exact: false, notes: vec![note], memory: effect.memory, ..Effect::same_shape(cx.outline) })
    }

    fn run(parameters: &PcaParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let table = features::features(cx, &model)?;
        let means = table.means();
        let found = principal(&table, &means, parameters.keep, cx)?;
        let keep = parameters.keep.unwrap_or_else(|| found.exceeding(parameters.share()));
        if !(1..table.columns).contains(&keep) {
            let width = table.columns;
            return Err(PassError::Failed(format!("needs {keep} components, no fewer than the {width} features")));
        }
        let components = found.directions.iter().take(keep).flatten().map(|&entry| entry as f32).collect();
        let mean = means.iter().map(|&mean| mean as f32).collect();
        change::apply(&mut model, InputStep::Project { mean, components, rows: keep }, &means)?;
        if parameters.whiten {
            let deviation = |variance: &f64| if *variance > 0.0 { variance.sqrt() as f32 } else { 1.0 };
            let scale = found.variances.iter().take(keep).map(deviation).collect();
            change::apply(&mut model, InputStep::Scale { mean: vec![0.0; keep], scale }, &vec![0.0; keep])?;
        }
        Ok(Outcome { model, receipt: receipt(&found, keep, table.columns) })
    }
}

/// Reads as many components in place of the features.
pub(super) fn plan(keep: usize, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
    let mut problems = change::problems(cx);
    let width = change::width(cx.outline);
    if width > 0 && !(1..width).contains(&keep) {
        let wanted = format!("1 (inclusive) to {width} (exclusive), the features that the model reads");
        problems.push(Problem::new("/keep", format!("is `{keep}`, expected a number from {wanted}")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let rows = cx.parts.map_or(0, |parts| parts.train.len()) as u64;
    let memory = (width as u64).saturating_mul(24 * width as u64 + 12 * rows);
    let blank = InputStep::Project { mean: vec![0.0; width], components: vec![0.0; keep * width], rows: keep };
    Ok(Effect { memory, ..Effect::same_shape(&change::planned(cx.outline, blank)) })
}

/// Features from which on a few components are searched for rather than all computed.
const WIDE: usize = 1000;

/// The components around `means`: all of them, or only `keep` of a wide table.
pub(super) fn principal(
    table: &Features,
    means: &[f64],
    keep: Option<usize>,
    cx: &Cx<'_>,
) -> Result<Components, PassError> {
    let few = |keep: &usize| table.columns > WIDE && keep * 10 < table.rows.min(table.columns) * 8;
    Ok(match keep.filter(few) {
        Some(keep) => randomized(table, means, keep, &mut cx.stream.split("directions").rng())?,
        None => components(table, means)?,
    })
}

fn receipt(found: &Components, keep: usize, width: usize) -> Receipt {
    let explained: f64 = found.ratios().take(keep).sum();
    let component = |(index, (variance, ratio)): (usize, (&f64, f64))| {
        let figures = [("explained_variance", *variance), ("explained_variance_ratio", ratio)];
        (format!("component {index}"), figures.map(|(name, value)| (name.to_owned(), value)).into())
    };
    let share = explained * 100.0;
    Receipt {
        summary: format!(
            "{} for {}, {share:.1}% of the variance",
            counted(keep, "component"),
            counted(width, "feature")
        ),
        sites: found.variances.iter().zip(found.ratios()).take(keep).enumerate().map(component).collect(),
        figures: IndexMap::from(
            [("components", keep as f64), ("explained_variance_ratio", explained)]
                .map(|(name, value)| (name.to_owned(), value)),
        ),
        ..Receipt::default()
    }
}

#[cfg(test)]
mod tests {
    use paring_model::InputStep;
    use serde_json::json;

    use super::Pca;
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

    fn bench() -> Bench {
        let rows: [&[f64]; 4] = [&[3.0, 2.0], &[-1.0, 0.0], &[0.2, 2.6], &[1.8, -0.6]];
        Bench::with_rows(classes(&rows, &["a", "b", "a", "b"]))
    }

    #[test]
    fn the_covariance_is_taken_apart_by_hand() {
        let model = unbuilt(&[2], inputs(2), labels(&["a", "b"]));
        let outcome = bench().run::<Pca>(&json!({"keep": 1}), &model).unwrap();
        // Centred rows (2, 1), (-2, -1), (-.8, 1.6), (.8, -1.6): variance 10/3 along (2, 1), 6.4/3 across.
        let first = &outcome.receipt.sites["component 0"];
        assert!((first["explained_variance"] - 10.0 / 3.0).abs() < 1e-6, "{first:?}");
        assert!((first["explained_variance_ratio"] - 10.0 / 16.4).abs() < 1e-6, "{first:?}");
        let Some(InputStep::Project { components, mean, .. }) = outcome.model.inputs().unwrap().steps.last().cloned()
        else {
            panic!("no projection");
        };
        let expected = [2.0 / 5.0_f32.sqrt(), 1.0 / 5.0_f32.sqrt()];
        assert!(components.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6));
        assert_eq!(mean, [1.0, 1.0]);
    }

    #[test]
    fn a_share_of_the_variance_decides_how_many() {
        let model = built(&[2], inputs(2), labels(&["a", "b"]));
        let outcome = bench().run::<Pca>(&json!({"variance": 0.6}), &model).unwrap();
        assert_eq!(outcome.receipt.figures["components"], 1.0);
        let error = bench().run::<Pca>(&json!({"variance": 0.62}), &model).unwrap_err().to_string();
        assert_eq!(error, "needs 2 components, no fewer than the 2 features");
    }

    #[test]
    fn more_components_than_features_are_refused() {
        let model = unbuilt(&[2], inputs(2), labels(&["a", "b"]));
        let problems = bench().plan::<Pca>(&json!({"keep": 3}), &model).unwrap_err();
        assert_eq!(problems[0].pointer, "/keep");
        let problems = bench().plan::<Pca>(&json!({"keep": 1, "variance": 0.5}), &model).unwrap_err();
        assert_eq!(problems[0].message, "cannot be given together with `keep`");
    }

    #[test]
    fn whitened_components_have_one_variance() {
        let model = built(&[2], inputs(2), labels(&["a", "b"]));
        let bench = bench();
        let outcome = bench.run::<Pca>(&json!({"keep": 1, "whiten": true}), &model).unwrap();
        let seen = bench.with_cx(&outcome.model, |cx| cx.training_features(&outcome.model).unwrap().0.data);
        // Coordinates sqrt(5), -sqrt(5), 0, 0 over a deviation of sqrt(10 / 3).
        for (found, expected) in seen.iter().zip([1.5_f32.sqrt(), -(1.5_f32.sqrt()), 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{seen:?}");
        }
    }
}

//! `select/pca`: principal components in place of features.

use faer::{Mat, Side};
use indexmap::IndexMap;
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, InputStep};
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
/// largest eigenvalues. From then on the model reads a row's coordinates along these directions, centred on the training
/// mean; the matrix is saved with the model, which still takes whole raw rows. Where it is trained already, its first
/// layer is turned the same way, and loses only what lies outside the directions kept. Of each direction's two signs the
/// one is taken whose largest entry is positive.
///
/// # When to use
/// Where many features move together (pixels, spectra, sensors): a few components carry nearly all of them.
///
/// # When not to
/// Where single features must stay readable or raw columns shall be dropped for good: every component needs every
/// feature. Where what decides varies little: variance is not relevance. The saved matrix costs bytes: 4 for each feature
/// and component.
///
/// # Parameters
/// Either `keep`, the number of components, or `variance`, the share of all variance that the components must exceed;
/// the share is 95% where neither is given.
///
/// # Cost and limits
/// Memory: the training rows and three times the covariance, 24 bytes for each pair of features. Time grows with the cube
/// of the number of features; beyond a few thousand it is long. Works on models that read a list of features, not on
/// images.
///
/// # Source
/// Jolliffe 2002, "Principal Component Analysis", chapters 2 and 6.1.1, for the share of variance; signs and the count for
/// a share as scikit-learn's `PCA`.
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
        version: 1,
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
        let mut problems = change::problems(cx);
        let width = change::width(cx.outline);
        if let Some(keep) = parameters.keep.filter(|keep| width > 0 && !(1..width).contains(keep)) {
            let wanted = format!("1 (inclusive) to {width} (exclusive), the features that the model reads");
            problems.push(Problem::new("/keep", format!("is `{keep}`, expected a number from {wanted}")));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let rows = cx.parts.map_or(0, |parts| parts.train.len()) as u64;
        let memory = (width as u64).saturating_mul(24 * width as u64 + 12 * rows);
        let effect = match parameters.keep {
            Some(keep) => Effect::same_shape(&change::planned(cx.outline, blank(width, keep))),
            None => {
                let share = parameters.share();
                let note =
                    format!("how many components exceed {share} of the variance is known once they are computed");
                Effect { exact: false, notes: vec![note], ..Effect::same_shape(cx.outline) }
            }
        };
        Ok(Effect { memory, ..effect })
    }

    fn run(parameters: &PcaParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let (matrix, _) = cx.training_features(&model)?;
        let means = features::means(&matrix);
        let components = principal(&matrix, &means)?;
        let keep = parameters.keep.unwrap_or_else(|| components.exceeding(parameters.share()));
        if !(1..matrix.columns).contains(&keep) {
            let width = matrix.columns;
            return Err(PassError::Failed(format!("needs {keep} components, no fewer than the {width} features")));
        }
        let receipt = components.receipt(keep);
        let mean = means.iter().map(|&mean| mean as f32).collect();
        let step = InputStep::Project { mean, components: components.first(keep), rows: keep };
        change::apply(&mut model, step, &means)?;
        Ok(Outcome { model, receipt })
    }
}

/// A projection of the right size without its numbers.
fn blank(width: usize, keep: usize) -> InputStep {
    InputStep::Project { mean: vec![0.0; width], components: vec![0.0; keep * width], rows: keep }
}

/// Directions of the rows' variance, the largest first.
struct Components {
    /// One direction of length 1 each.
    directions: Vec<Vec<f64>>,
    /// The variance along each, with rows - 1 in the divisor.
    variances: Vec<f64>,
}

fn principal(matrix: &Matrix, means: &[f64]) -> Result<Components, PassError> {
    if matrix.rows < 2 {
        return Err(PassError::Failed(format!("there are {} training rows, expected at least 2", matrix.rows)));
    }
    let columns: Vec<Vec<f64>> = means
        .iter()
        .enumerate()
        .map(|(index, mean)| features::column(matrix, index).map(|cell| cell - mean).collect())
        .collect();
    let centred = Mat::from_fn(matrix.rows, matrix.columns, |row, column| at(&columns, column, row));
    let covariance = centred.transpose() * &centred * faer::Scale(1.0 / (matrix.rows - 1) as f64);
    let failed = |_| PassError::Failed("the eigenvalues of the features' covariance did not converge".to_owned());
    let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let order = (0..matrix.columns).rev();
    Ok(Components {
        directions: order.clone().map(|index| signed(vectors.col(index).iter().copied().collect())).collect(),
        variances: order.map(|index| values[index].max(0.0)).collect(),
    })
}

fn at(columns: &[Vec<f64>], column: usize, row: usize) -> f64 {
    columns.get(column).and_then(|cells| cells.get(row)).copied().unwrap_or(0.0)
}

/// The direction with the sign that makes its entry of largest size positive; the first of equal ones decides.
fn signed(direction: Vec<f64>) -> Vec<f64> {
    let largest = direction.iter().copied().reduce(|best, entry| if entry.abs() > best.abs() { entry } else { best });
    let sign = if largest.unwrap_or(1.0) < 0.0 { -1.0 } else { 1.0 };
    direction.into_iter().map(|entry| entry * sign).collect()
}

impl Components {
    fn ratios(&self) -> impl Iterator<Item = f64> + '_ {
        let total: f64 = self.variances.iter().sum();
        self.variances.iter().map(move |variance| if total > 0.0 { variance / total } else { 0.0 })
    }

    /// The fewest components whose share of the variance exceeds `share`.
    fn exceeding(&self, share: f64) -> usize {
        let mut sum = 0.0;
        let enough = |ratio: f64| {
            sum += ratio;
            sum > share
        };
        self.ratios().position(enough).map_or(self.variances.len(), |place| place + 1)
    }

    /// The first components, row after row.
    fn first(&self, keep: usize) -> Vec<f32> {
        self.directions.iter().take(keep).flatten().map(|&entry| entry as f32).collect()
    }

    fn receipt(&self, keep: usize) -> Receipt {
        let explained: f64 = self.ratios().take(keep).sum();
        let component = |(index, (variance, ratio)): (usize, (&f64, f64))| {
            let figures = [("explained_variance", *variance), ("explained_variance_ratio", ratio)];
            let figures = figures.map(|(name, value)| (name.to_owned(), value));
            (format!("component {index}"), IndexMap::from(figures))
        };
        let share = explained * 100.0;
        Receipt {
            summary: format!(
                "{} for {}, {share:.1}% of the variance",
                counted(keep, "component"),
                counted(self.variances.len(), "feature")
            ),
            sites: self.variances.iter().zip(self.ratios()).take(keep).enumerate().map(component).collect(),
            figures: [("components", keep as f64), ("explained_variance_ratio", explained)]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
            ..Receipt::default()
        }
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
}

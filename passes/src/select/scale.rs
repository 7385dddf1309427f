//! `select/scale`: features to one scale, by mean and deviation, by quartiles, or by ranks.

use indexmap::IndexMap;
use paring_model::{Checkpoint, InputStep};
use paring_statistics::Features;
use paring_statistics::scaling::{Spread, quantiles, robust, standard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{change, features};
use crate::context::Cx;
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::pass::{Definition, Leaves, Needs, PassInfo};
use crate::receipt::{Outcome, Receipt};

/// Brings the features to one scale, after whatever stages come before.
///
/// # What it does
/// Over the training rows as the network sees them: `standard` makes every feature's mean 0 and its standard deviation
/// 1; `robust` its median 0 and the distance between its quartiles 1; `quantile` replaces each cell by the share of the
/// training rows below it, or by the number of the normal distribution with that share below. The scaling is saved with
/// the model, which still takes whole raw rows. Where it is trained already, `standard` and `robust` change no answer:
/// its first layer is scaled the other way.
///
/// # When to use
/// After `select/polynomial` or `select/pca`, whose features differ in size. `robust` where a few wild cells would
/// decide what mean and deviation are; `quantile` where distributions are far from normal.
///
/// # When not to
/// Right after `data`, for `standard`: data are scaled so unless the recipe says `scale: none`. Before
/// `select/variance`, which looks at the features' own unit.
///
/// # Parameters
/// `method` is `standard`, `robust` or `quantile`. For the last, `quantiles` is how many of them are kept (no more than
/// there are training rows), and `output` what a share becomes: `uniform`, itself, or `normal`.
///
/// # Cost and limits
/// Sorting of every feature for all but `standard`. Quantiles are saved, 4 bytes for each and each feature; a model
/// that is trained already cannot take them. Works on models that read a list of features, not on images.
///
/// # Source
/// As scikit-learn's `StandardScaler`, `RobustScaler` and `QuantileTransformer`; quantiles by Hyndman and Fan 1996,
/// "Sample Quantiles in Statistical Packages", definition 7.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleParameters {
    /// How features are scaled.
    #[serde(default)]
    pub method: Method,
    /// Quantiles that are kept of each feature, for `quantile`.
    #[serde(default = "thousand")]
    #[schemars(range(min = 2, max = 100_000))]
    pub quantiles: usize,
    /// What the share of rows below becomes, for `quantile`.
    #[serde(default)]
    pub output: Output,
}

/// How features are scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// By mean and standard deviation.
    Standard,
    /// By median and the distance between the quartiles.
    #[default]
    Robust,
    /// By the share of the training rows below.
    Quantile,
}

/// What the share of rows below becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Itself, from 0 to 1.
    #[default]
    Uniform,
    /// The number of the normal distribution with that share below.
    Normal,
}

fn thousand() -> usize {
    1000
}

/// The pass.
pub struct Scale;

impl Definition for Scale {
    type Parameters = ScaleParameters;

    const INFO: PassInfo = PassInfo {
        id: "select/scale",
        summary: "bring the features to one scale",
        version: 1,
        needs: &[Needs::TrainRows, Needs::FlatInputs],
        leaves: &[Leaves::Inputs],
    };

    const TAKES_TARGETS: bool = false;

    fn plan(parameters: &ScaleParameters, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
        let mut problems = change::problems(cx);
        if parameters.method == Method::Quantile && cx.outline.built {
            let problem = Problem::new("/method", "is `quantile`, which a model that is trained already cannot take");
            problems.push(problem.help("scale before the first training, or use `robust`"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let (rows, width) = (cx.parts.map_or(0, |parts| parts.train.len()), change::width(cx.outline));
        let memory = (rows as u64).saturating_mul(8 * width as u64);
        let step = match parameters.method {
            Method::Standard | Method::Robust => InputStep::Scale { mean: vec![0.0; width], scale: vec![1.0; width] },
            Method::Quantile => {
                let count = parameters.quantiles.min(rows).max(2);
                let normal = parameters.output == Output::Normal;
                InputStep::Quantile { quantiles: vec![0.0; count * width], count, columns: width, normal }
            }
        };
        Ok(Effect { memory, ..Effect::same_shape(&change::planned(cx.outline, step)) })
    }

    fn run(parameters: &ScaleParameters, cx: &mut Cx<'_>, mut model: Checkpoint) -> Result<Outcome, PassError> {
        let table = features::features(cx, &model)?;
        let names = features::names(&model);
        let (step, receipt) = match parameters.method {
            Method::Standard => linear(&names, standard(&table))?,
            Method::Robust => linear(&names, robust(&table))?,
            Method::Quantile => by_rank(parameters, &names, &table),
        };
        change::apply(&mut model, step, &table.means())?;
        Ok(Outcome { model, receipt })
    }
}

fn linear(names: &[String], Spread { centres, scales }: Spread) -> Result<(InputStep, Receipt), PassError> {
    let same = |numbers: &[f64], number: f64| numbers.iter().all(|other| (other - number).abs() < 1e-5);
    if same(&centres, 0.0) && same(&scales, 1.0) {
        return Err(PassError::Failed("changes nothing: the features have this scale already".to_owned()));
    }
    let figures = |(name, (centre, scale)): (&String, (&f64, &f64))| {
        (name.clone(), IndexMap::from([("centre".to_owned(), *centre), ("scale".to_owned(), *scale)]))
    };
    let receipt = Receipt {
        summary: format!("scaled {} features", names.len()),
        sites: names.iter().zip(centres.iter().zip(&scales)).map(figures).collect(),
        ..Receipt::default()
    };
    let narrow = |numbers: &[f64]| numbers.iter().map(|&number| number as f32).collect();
    Ok((InputStep::Scale { mean: narrow(&centres), scale: narrow(&scales) }, receipt))
}

fn by_rank(parameters: &ScaleParameters, names: &[String], table: &Features) -> (InputStep, Receipt) {
    let count = parameters.quantiles.min(table.rows).max(2);
    let found: Vec<f32> = quantiles(table, count).into_iter().map(|number| number as f32).collect();
    let at = |row: usize, column: usize| found.get(row * table.columns + column).copied().map_or(0.0, f64::from);
    let figures = |(column, name): (usize, &String)| {
        let ends = [("smallest", at(0, column)), ("median", at(count / 2, column)), ("largest", at(count - 1, column))];
        (name.clone(), ends.map(|(name, value)| (name.to_owned(), value)).into())
    };
    let receipt = Receipt {
        summary: format!("scaled {} features by {count} quantiles", names.len()),
        sites: names.iter().enumerate().map(figures).collect(),
        figures: IndexMap::from([("quantiles".to_owned(), count as f64)]),
        ..Receipt::default()
    };
    let normal = parameters.output == Output::Normal;
    (InputStep::Quantile { quantiles: found, count, columns: table.columns, normal }, receipt)
}

#[cfg(test)]
mod tests {
    use paring_model::InputStep;
    use serde_json::json;

    use super::Scale;
    use crate::testing::{Bench, built, classes, inputs, labels, unbuilt};

    fn bench() -> Bench {
        let rows: [&[f64]; 5] = [&[10.0, 3.0], &[0.0, 3.0], &[2.0, 3.0], &[1.0, 3.0], &[4.0, 3.0]];
        Bench::with_rows(classes(&rows, &["a", "b", "a", "b", "a"]))
    }

    /// What the network sees of the training rows.
    fn seen(outcome: &crate::receipt::Outcome) -> Vec<f32> {
        let bench = bench();
        bench.with_cx(&outcome.model, |cx| cx.training_features(&outcome.model).unwrap().0.data)
    }

    #[test]
    fn scales_by_hand() {
        let model = unbuilt(&[2], inputs(2), labels(&["a", "b"]));
        let first = |parameters: serde_json::Value| {
            let outcome = bench().run::<Scale>(&parameters, &model).unwrap();
            seen(&outcome).into_iter().step_by(2).collect::<Vec<_>>()
        };
        // Median 2, quartiles 1 and 4.
        let thirds = |numerator: f32| numerator / 3.0;
        assert_eq!(first(json!({})), [8.0, -2.0, 0.0, -1.0, 2.0].map(thirds));
        assert_eq!(first(json!({"method": "quantile"})), [1.0, 0.0, 0.5, 0.25, 0.75]);
        let normal = first(json!({"method": "quantile", "output": "normal"}));
        assert!((normal[4] - 0.674_489_8).abs() < 1e-6 && (normal[0] - 5.199_337).abs() < 1e-5, "{normal:?}");
    }

    #[test]
    fn a_trained_model_answers_as_before() {
        let model = built(&[3], inputs(2), labels(&["a", "b"]));
        let outcome = bench().run::<Scale>(&json!({"method": "standard"}), &model).unwrap();
        let answers = |model: &paring_model::Checkpoint| {
            let bench = bench();
            let (dataset, parts) = bench.data.as_ref().unwrap();
            let rows = paring_data::examples::examples(dataset, &parts.train, model, model.outputs().unwrap()).unwrap();
            model.predict(&rows.inputs, 8).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        for (before, after) in answers(&model).iter().zip(answers(&outcome.model)) {
            assert!((before - after).abs() < 1e-4, "{before} {after}");
        }
        let problems = bench().plan::<Scale>(&json!({"method": "quantile"}), &model).unwrap_err();
        assert_eq!(problems[0].message, "is `quantile`, which a model that is trained already cannot take");
    }

    #[test]
    fn scaling_twice_changes_nothing() {
        let mut inputs = inputs(2);
        inputs.push(InputStep::Scale { mean: vec![3.4, 3.0], scale: vec![3.555_278, 1.0] });
        let model = unbuilt(&[2], inputs, labels(&["a", "b"]));
        let error = bench().run::<Scale>(&json!({"method": "standard"}), &model).unwrap_err().to_string();
        assert_eq!(error, "changes nothing: the features have this scale already");
    }
}

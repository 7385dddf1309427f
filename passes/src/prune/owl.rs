//! How much each layer loses: less where more of its weights stand out.
//!
//! Source: Yin et al. 2024, "Outlier Weighed Layerwise Sparsity (OWL): A Missing Secret Sauce for Pruning LLMs to High
//! Sparsity", section 3.

use std::collections::BTreeMap;

use candle_core::Tensor;
use paring_model::{Checkpoint, Site, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lengths::Lengths;
use crate::calibration::Calibration;
use crate::context::Cx;
use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::walk::{Figures, Group, Visitor, look, multiplying};
use crate::weights::FloatWeight;

/// Layers get sparsities of their own, by the share of their weights whose score stands out. The mean over all weights
/// stays `sparsity`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Owl {
    /// Half of the distance between the sparsities of the layers with most and with fewest outliers, from 0 (exclusive)
    /// to 0.25 (exclusive).
    #[serde(default = "lambda")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 0.25), example = 0.08)]
    pub lambda: f64,
    /// A weight stands out when its score is more than this many times the mean of its layer.
    #[serde(default = "outlier")]
    #[schemars(range(min = 1.0, max = 1000.0), example = 5.0)]
    pub outlier: f64,
}

fn lambda() -> f64 {
    0.08
}

fn outlier() -> f64 {
    5.0
}

impl Owl {
    /// What is wrong with it, for that sparsity on the whole.
    pub(crate) fn problem(self, sparsity: Option<Fraction>) -> Option<Problem> {
        let Some(sparsity) = sparsity else {
            return Some(Problem::new("/owl", "goes with `sparsity`, which is not given").help("remove `owl`"));
        };
        let (sparsity, lambda) = (sparsity.value(), self.lambda);
        let most = sparsity.min(1.0 - sparsity) / 2.0;
        let fits = lambda > 0.0 && lambda < most;
        let message = || format!("is `{lambda}`, expected a number from 0 (exclusive) to {most:.4} (exclusive)");
        let why = "layers differ from `sparsity` by at most twice `lambda`, and each keeps and loses some weights";
        (!fits).then(|| Problem::new("/owl/lambda", message()).help(why))
    }

    /// The sparsity of each target, from inputs of the model as it comes.
    ///
    /// # Errors
    /// When the model does not run on the calibration rows, or a weight is not finite.
    pub(crate) fn sparsities(
        self,
        cx: &Cx<'_>,
        model: &Checkpoint,
        calibration: &Calibration,
        sparsity: f64,
    ) -> Result<BTreeMap<String, f64>, PassError> {
        let mut inputs = Inputs::default();
        look(cx, cx.sites, model, calibration, &mut inputs)?;
        let mut layers: BTreeMap<String, Vec<Site>> = BTreeMap::new();
        for site in multiplying(cx.sites) {
            layers.entry(layer(&site)).or_default().push(site);
        }
        let mut shares = BTreeMap::new();
        for (layer, sites) in &layers {
            cx.check_cancelled()?;
            shares.insert(layer.as_str(), self.share(model, sites, &inputs.lengths)?);
        }
        let spread = spread(&shares, self.lambda, sparsity);
        let of = |site: &Site| spread.get(layer(site).as_str()).copied().unwrap_or(sparsity);
        Ok(layers.values().flatten().map(|site| (site.name.clone(), of(site))).collect())
    }

    /// The share of a layer's weights that stand out, and how many weights it has.
    fn share(
        self,
        model: &Checkpoint,
        sites: &[Site],
        lengths: &BTreeMap<String, Vec<f32>>,
    ) -> Result<(f64, usize), PassError> {
        let mut scores = Vec::new();
        for site in sites {
            let weight = FloatWeight::read(model, site)?;
            let lengths = lengths.get(&site.name).map(Vec::as_slice).unwrap_or_default();
            for row in weight.numbers.chunks(weight.inputs().max(1)) {
                scores.extend(row.iter().zip(lengths).map(|(weight, length)| weight.abs() * length));
            }
        }
        let count = scores.len().max(1) as f64;
        let mean = scores.iter().map(|score| f64::from(*score)).sum::<f64>() / count;
        let outliers = scores.iter().filter(|score| f64::from(**score) > self.outlier * mean).count();
        Ok((outliers as f64 / count, scores.len()))
    }
}

/// What a site belongs to; a site outside of all layers is one by itself.
fn layer(site: &Site) -> String {
    site.layer.map_or_else(|| site.name.clone(), |layer| layer.to_string())
}

/// Sparsities that fall as the share of outliers grows, `2 lambda` apart at most; their mean over all weights is
/// `sparsity`.
fn spread<'a>(shares: &BTreeMap<&'a str, (f64, usize)>, lambda: f64, sparsity: f64) -> BTreeMap<&'a str, f64> {
    let least = shares.values().map(|(share, _)| *share).fold(f64::INFINITY, f64::min);
    let most = shares.values().map(|(share, _)| *share).fold(f64::NEG_INFINITY, f64::max);
    let range = if most > least { most - least } else { 1.0 };
    let place = |share: f64| (share - least) / range * 2.0 * lambda;
    let weights: usize = shares.values().map(|(_, weights)| weights).sum();
    let sum: f64 = shares.values().map(|&(share, weights)| place(share) * weights as f64).sum();
    let mean = sum / weights.max(1) as f64;
    shares.iter().map(|(layer, &(share, _))| (*layer, sparsity + mean - place(share))).collect()
}

/// The lengths of the inputs of every site.
#[derive(Default)]
struct Inputs {
    open: Lengths,
    lengths: BTreeMap<String, Vec<f32>>,
}

impl Visitor for Inputs {
    fn see(&mut self, group: &Group, input: &Tensor) -> Result<(), PassError> {
        self.open.add(group, input)
    }

    fn settle(&mut self, group: &Group, _: &Checkpoint) -> Result<Vec<(Weight, Figures)>, PassError> {
        let lengths = self.open.take(group)?;
        self.lengths.extend(group.sites.iter().map(|site| (site.name.clone(), lengths.clone())));
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    /// Shares of 0.1, 0.3 and 0.2 are placed at 0, 0.16 and 0.08; their mean over 1, 1 and 2 hundred weights is 0.08.
    #[test]
    fn more_outliers_less_sparsity() {
        let shares = [("a", (0.1, 100)), ("b", (0.3, 100)), ("c", (0.2, 200))].into_iter().collect();
        let spread: Vec<f64> = spread(&shares, 0.08, 0.5).into_values().collect();
        let expected = [0.58, 0.42, 0.5];
        assert!(spread.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12), "{spread:?}");
    }

    #[test]
    fn equal_layers_stay_equal() {
        let shares = [("a", (0.1, 10)), ("b", (0.1, 30))].into_iter().collect();
        assert!(spread(&shares, 0.08, 0.7).into_values().all(|sparsity| sparsity == 0.7));
    }
}

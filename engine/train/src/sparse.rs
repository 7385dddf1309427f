//! Weights that become zero little by little while a model is trained.
//!
//! Two ways to choose them: by magnitude (Zhu & Gupta 2018, "To prune, or not to prune", section 3), and by how far
//! training moves them away from zero (Sanh et al. 2020, "Movement Pruning", section 4).

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use paring_model::gradient::{Backward, with_gradient};
use paring_model::tap::WeightProvider;
use paring_model::{Mode, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};
use crate::made::MadeSite;
use crate::ranking::lowest;

/// How the share of zeros grows: by the cubic of Zhu & Gupta 2018, equation 1, from what it is to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// The share of the weights that is zero in the end.
    pub sparsity: f64,
    /// Where it begins to grow, as a share of the run.
    pub begin: f64,
    /// Where it has grown, as a share of the run.
    pub end: f64,
    /// Steps from one choice of weights to the next.
    pub every_steps: usize,
    /// Which weights compete.
    pub scope: SparsityScope,
}

/// A score that no training makes up for.
const NEVER: f64 = 1e30;

/// What competes to stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SparsityScope {
    /// Those of all targets.
    #[default]
    Global,
    /// Those of one target.
    PerSite,
}

impl Growth {
    /// The share of zeros at this share of the run; `first` is what it was at first.
    pub(crate) fn share(&self, progress: f64, first: f64) -> f64 {
        let length = self.end - self.begin;
        let part = if length > 0.0 { (progress - self.begin) / length } else { f64::from(progress >= self.end) };
        let left = 1.0 - part.clamp(0.0, 1.0);
        self.sparsity + (first.min(self.sparsity) - self.sparsity) * left.powi(3)
    }
}

/// The weights that become zero: their masks, ones and zeros, by name of the weight.
pub(crate) struct Thinning {
    growth: Growth,
    masks: BTreeMap<String, Var>,
    /// What movement is ranked by; magnitudes where there are none.
    scores: BTreeMap<String, Var>,
    /// The share of zeros before training.
    first: f64,
}

impl Thinning {
    /// For weights with these masks.
    pub(crate) fn new(growth: Growth, masks: BTreeMap<String, Var>, scores: BTreeMap<String, Var>) -> Result<Self> {
        let mut this = Self { growth, masks, scores, first: 0.0 };
        this.first = this.zeros()?;
        if this.first >= growth.sparsity {
            let (found, wanted) = (this.first, growth.sparsity);
            let message = format!("{found} of the targeted weights are zero already, which leaves none to {wanted}");
            return Err(TrainError::Mismatch(message));
        }
        Ok(this)
    }

    /// Masks by name of their weight.
    pub(crate) fn masks(&self) -> &BTreeMap<String, Var> {
        &self.masks
    }

    /// Whether the share of zeros has reached its end at this share of the run.
    pub(crate) fn is_grown(&self, progress: f64) -> bool {
        progress >= self.growth.end
    }

    /// Whether masks are chosen anew after this many steps.
    pub(crate) fn is_due(&self, steps: usize) -> bool {
        steps.is_multiple_of(self.growth.every_steps.max(1))
    }

    /// The share of the masks that is zero.
    pub(crate) fn zeros(&self) -> Result<f64> {
        let (mut ones, mut all) = (0.0, 0);
        for mask in self.masks.values() {
            ones += mask.as_detached_tensor().to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
            all += mask.elem_count();
        }
        Ok(1.0 - ones / all.max(1) as f64)
    }

    /// Chooses the weights that are zero at this share of the run: those of least score, of which those that are zero
    /// already are the least. `weight` gives the present numbers of a weight.
    pub(crate) fn choose(&self, progress: f64, weight: impl Fn(&str) -> Result<Tensor>) -> Result<()> {
        let share = self.growth.share(progress, self.first);
        let mut scores = Vec::new();
        for (name, mask) in &self.masks {
            let ranked = match self.scores.get(name) {
                Some(scores) => scores.as_detached_tensor(),
                None => (weight(name)?.abs()? * mask.as_detached_tensor())?,
            };
            scores.push(ranked.flatten_all()?.to_vec1::<f32>()?);
        }
        let zeros = |scores: &[Vec<f32>]| (scores.iter().map(Vec::len).sum::<usize>() as f64 * share).round() as usize;
        let gone: Vec<Vec<bool>> = match self.growth.scope {
            SparsityScope::Global => lowest(&scores, zeros(&scores)),
            SparsityScope::PerSite => scores.chunks(1).flat_map(|site| lowest(site, zeros(site))).collect(),
        };
        for ((name, mask), gone) in self.masks.iter().zip(gone) {
            if gone.iter().all(|gone| *gone) {
                let message = format!("all {} weights of `{name}` would be zero, and nothing would pass", gone.len());
                return Err(TrainError::Mismatch(message));
            }
            let ones: Vec<f32> = gone.into_iter().map(|gone| if gone { 0.0 } else { 1.0 }).collect();
            mask.set(&Tensor::from_vec(ones, mask.dims(), mask.device())?)?;
        }
        Ok(())
    }
}

/// A site whose weights stay or become zero by scores that are trained too.
#[derive(Debug)]
pub(crate) struct MovingSite {
    /// As the model has it.
    weight: Tensor,
    mask: Tensor,
    scores: Var,
    name: String,
    is_frozen: bool,
}

impl MovingSite {
    /// For the weight of the site `name`; `mask` is a view of the mask that is chosen anew. What it hides from the
    /// start never comes back.
    pub(crate) fn new(name: &str, weight: Tensor, mask: Tensor, is_frozen: impl Fn(&str) -> bool) -> Result<Self> {
        let scores = Var::from_tensor(&mask.affine(NEVER, -NEVER)?)?;
        let name = scores_name(name);
        Ok(Self { is_frozen: is_frozen(&name), name, weight, mask, scores })
    }

    pub(crate) fn scores(&self) -> &Var {
        &self.scores
    }
}

const SCORES: &str = ".weight_scores";

/// The name of the scores of a site's weight.
pub fn scores_name(site: &str) -> String {
    format!("{site}{SCORES}")
}

/// Whether a variable of that name holds scores.
pub(crate) fn is_scores(name: &str) -> bool {
    name.ends_with(SCORES)
}

impl WeightProvider for MovingSite {
    fn weight(&self) -> paring_model::Result<Tensor> {
        let value = (self.weight.detach() * &self.mask)?;
        with_gradient(&self.weight, self.scores.as_tensor(), &value, Chosen { mask: self.mask.clone() })
    }

    fn input(&self, x: &Tensor, _: Mode) -> paring_model::Result<Tensor> {
        Ok(x.clone())
    }
}

/// The choice of weights passes the gradient on to all scores as if it were no choice (Bengio et al. 2013), so that a
/// weight that is zero now can come back.
struct Chosen {
    mask: Tensor,
}

impl Backward for Chosen {
    const NAME: &'static str = "movement pruning";

    fn backward(
        &self,
        weight: &Tensor,
        scores: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let of_weight = weight.track_op().then(|| gradient * &self.mask).transpose()?;
        let of_scores = scores.track_op().then(|| gradient * weight.detach()).transpose()?;
        Ok((of_weight, of_scores))
    }
}

impl MadeSite for MovingSite {
    fn parameters(&self) -> Vec<(&str, &Var)> {
        if self.is_frozen { Vec::new() } else { self.state() }
    }

    fn state(&self) -> Vec<(&str, &Var)> {
        vec![(self.name.as_str(), &self.scores)]
    }

    fn finished(&self) -> Result<Weight> {
        Ok(Weight::Dense { tensor: (self.weight.detach() * &self.mask)?, masked: true })
    }
}

#[cfg(test)]
mod tests {
    use super::{Growth, SparsityScope};

    /// Zhu & Gupta 2018, equation 1, by hand: from 0 to .8 between a quarter and three quarters of the run.
    #[test]
    fn the_share_of_zeros_follows_the_cubic() {
        let scope = SparsityScope::Global;
        let growth = Growth { sparsity: 0.8, begin: 0.25, end: 0.75, every_steps: 1, scope };
        let found = [0.0, 0.25, 0.375, 0.5, 0.75, 1.0].map(|progress| growth.share(progress, 0.0));
        let expected = [0.0, 0.0, 0.8 * (1.0 - 0.421875), 0.7, 0.8, 0.8];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
        }
        assert!((growth.share(0.5, 0.4) - (0.8 - 0.4 / 8.0)).abs() < 1e-12);
    }
}

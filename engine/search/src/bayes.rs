//! Bayesian optimization: a Gaussian process of the values, and the point where most improvement is to be expected.
//!
//! Expected improvement: Jones et al. 1998, "Efficient Global Optimization of Expensive Black-Box Functions", by its
//! logarithm: Ament et al. 2023. Whole numbers and choices stand as they are in the kernel: Garrido-Merchan &
//! Hernandez-Lobato 2020, "Dealing with Categorical and Integer-Valued Variables in Bayesian Optimization". Several
//! objectives: one random weighting of them a trial (Knowles 2006, "ParEGO").

mod acquisition;
mod descent;
mod gp;
mod values;

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::bayes::acquisition::Acquisition;
use crate::bayes::gp::{Metric, Process};
use crate::{Domain, Point, Random, Sampler, Sobol, Space, Trial, rng};

/// Most trials that the process is fitted to: the best ones and the last ones.
const MOST_TRIALS: usize = 300;

/// The sampler.
#[derive(Debug, Clone, Copy)]
pub struct Bayes {
    /// What the draws follow from.
    pub seed: u64,
    /// Trials spread over the space before the first fit.
    pub startup: usize,
}

impl Bayes {
    /// The sampler with ten trials to begin with.
    pub fn new(seed: u64) -> Self {
        Self { seed, startup: 10 }
    }
}

impl Sampler for Bayes {
    fn suggest(&self, space: &Space, history: &[Trial]) -> Point {
        let mut rng = rng(self.seed, history.len());
        if history.len() < self.startup {
            return Sobol { seed: self.seed }.suggest(space, history);
        }
        let suggestion = self.suggest_from(space, history, &mut rng);
        suggestion.unwrap_or_else(|| Random { seed: self.seed }.suggest(space, history))
    }
}

impl Bayes {
    /// The point where the process expects most; `None` where the trials tell nothing.
    fn suggest_from(self, space: &Space, history: &[Trial], rng: &mut ChaCha8Rng) -> Option<Point> {
        let single = values::single(history, rng);
        let mut order: Vec<usize> = (0..history.len()).collect();
        order.sort_by(|&a, &b| single[a].total_cmp(&single[b]));
        let kept = kept(&order);
        let places: Vec<Vec<f64>> = kept.iter().map(|&number| place(space, &history[number].point)).collect();
        let seen: Vec<f64> = kept.iter().map(|&number| single[number]).collect();
        let [plain, drawn_apart] = values::bent(&seen)?;
        let metrics = metrics(space);
        let mut fit = Process::fit(&metrics, &places, &plain.values, None)?;
        fit.unlikely -= plain.log_slopes;
        if let Some(other) = Process::fit(&metrics, &places, &drawn_apart.values, Some(&fit))
            && other.unlikely - drawn_apart.log_slopes < fit.unlikely
        {
            fit = other;
        }
        let process = fit.process;
        let acquisition = Acquisition { space, process: &process, best: process.lowest() };
        let centres: Vec<&Point> = order.iter().map(|&number| &history[number].point).collect();
        acquisition.top(history, &centres, rng.random(), rng)
    }
}

/// Numbers of the trials that are looked at, in order: all, or half of them the best and half the last.
fn kept(order: &[usize]) -> Vec<usize> {
    let count = order.len();
    let mut kept: Vec<usize> = order.iter().copied().take(MOST_TRIALS / 2).collect();
    kept.extend((0..count).rev());
    let mut seen = vec![false; count];
    kept.retain(|&number| !std::mem::replace(&mut seen[number], true));
    kept.truncate(MOST_TRIALS);
    kept.sort_unstable();
    kept
}

fn metrics(space: &Space) -> Vec<Metric> {
    let metric = |domain: &Domain| match domain {
        Domain::Categorical { .. } => Metric::Choice,
        _ => Metric::Numeric,
    };
    space.parameters().iter().map(|parameter| metric(&parameter.domain)).collect()
}

/// A point as the process sees it: numbers by their place from 0 to 1, choices by their number, and what is not active
/// in the middle.
fn place(space: &Space, point: &Point) -> Vec<f64> {
    let coordinate = |(parameter, value): (&crate::Parameter, &Option<f64>)| match (&parameter.domain, value) {
        (Domain::Categorical { .. }, value) => value.unwrap_or(-1.0),
        (domain, Some(value)) => domain.unit(*value),
        (_, None) => 0.5,
    };
    space.parameters().iter().zip(point).map(coordinate).collect()
}

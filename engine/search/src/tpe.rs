//! Tree-structured Parzen estimator: where good points are dense and others are not.
//!
//! Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", section 4, with kernels over all parameters
//! together as in Falkner et al. 2018, "BOHB", and the settings that Watanabe 2023, "Tree-Structured Parzen Estimator:
//! Understanding Its Algorithm Components", compares. Several objectives: Ozaki et al. 2022, "Multiobjective
//! Tree-Structured Parzen Estimator".

mod parzen;
mod split;

use self::parzen::Parzen;
use crate::{Point, Random, Sampler, Sobol, Space, Trial, rng, tried};

/// Points drawn from the density of good points, of which the best is tried.
const CANDIDATES: usize = 32;

/// The sampler.
#[derive(Debug, Clone, Copy)]
pub struct Tpe {
    /// What the draws follow from.
    pub seed: u64,
    /// Trials spread over the space before the first estimate.
    pub startup: usize,
}

impl Tpe {
    /// The sampler with ten spread trials to begin with.
    pub fn new(seed: u64) -> Self {
        Self { seed, startup: 10 }
    }
}

impl Sampler for Tpe {
    fn suggest(&self, space: &Space, history: &[Trial]) -> Point {
        if history.len() < self.startup {
            return Sobol { seed: self.seed }.suggest(space, history);
        }
        let (good, bad) = split::split(history);
        let good = Parzen::new(space, history, &good);
        let bad = Parzen::new(space, history, &bad);
        let mut rng = rng(self.seed, history.len());
        let candidates: Vec<Point> = (0..CANDIDATES).map(|_| good.draw(&mut rng)).collect();
        let scores = good.log_densities(&candidates).into_iter().zip(bad.log_densities(&candidates));
        let scored = candidates.into_iter().zip(scores.map(|(good, bad)| good - bad));
        let fresh = scored.filter(|(point, _)| !tried(history, point));
        let best = fresh.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map_or_else(|| Random { seed: self.seed }.suggest(space, history), |(point, _)| point)
    }
}

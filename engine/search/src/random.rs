//! Points drawn evenly: what every other sampler begins with and is compared to.

use rand::RngExt as _;

use crate::{Point, Sampler, Space, Trial, fresh, rng};

/// Draws every parameter evenly over its domain; no point twice as long as there are others.
#[derive(Debug, Clone, Copy)]
pub struct Random {
    /// What the draws follow from.
    pub seed: u64,
}

impl Sampler for Random {
    fn suggest(&self, space: &Space, history: &[Trial]) -> Point {
        let mut rng = rng(self.seed, history.len());
        fresh(history, || space.at(|_| rng.random()))
    }
}

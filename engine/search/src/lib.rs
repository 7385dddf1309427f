//! Hyperparameter search as pure functions: which point of a space to try next, given what was tried.
//!
//! A [`Sampler`] holds its settings and a seed, and nothing that it learned: the next point follows from the space, the
//! seed and the trials so far. So a search that was interrupted is gone on with by giving it the same trials again. All
//! values are minimized; who wants more of something turns its sign.

mod normal;
mod random;

pub mod bayes;
pub mod halving;
pub mod nsga2;
pub mod pareto;
pub mod sobol;
pub mod space;
pub mod tpe;

pub use bayes::Bayes;
pub use nsga2::Nsga2;
pub use random::Random;
pub use sobol::Sobol;
pub use space::{Condition, Domain, Parameter, Point, Space, SpaceError};
pub use tpe::Tpe;

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// A point that was tried, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The point.
    pub point: Point,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a point.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was measured.
    Measured {
        /// One value an objective, the smaller the better.
        values: Vec<f64>,
        /// By how much it violates what is required; 0 when it meets everything.
        violation: f64,
    },
    /// It could not be measured.
    Failed,
}

impl Trial {
    /// The values, where the trial was measured, all of them are numbers, and it meets what is required.
    pub fn feasible(&self) -> Option<&[f64]> {
        match &self.outcome {
            Outcome::Measured { values, violation } if *violation <= 0.0 => usable(values),
            _ => None,
        }
    }

    /// By how much the trial is infeasible: 0 for a feasible one, infinite for a failed one.
    pub fn violation(&self) -> f64 {
        match &self.outcome {
            Outcome::Measured { values, violation } if usable(values).is_some() && !violation.is_nan() => {
                violation.max(0.0)
            }
            _ => f64::INFINITY,
        }
    }
}

fn usable(values: &[f64]) -> Option<&[f64]> {
    (!values.is_empty() && values.iter().all(|value| value.is_finite())).then_some(values)
}

/// Chooses the points of a search.
pub trait Sampler {
    /// The next point to try, given all trials so far in the order in which they were asked for.
    fn suggest(&self, space: &Space, history: &[Trial]) -> Point;
}

/// The randomness of the trial with that number.
fn rng(seed: u64, number: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number as u64);
    rng
}

/// How often a point that was tried before is drawn again.
const DRAWS: usize = 200;

/// The first of up to [`DRAWS`] drawn points that was not tried before; the last where all were.
fn fresh(history: &[Trial], mut draw: impl FnMut() -> Point) -> Point {
    let mut point = draw();
    for _ in 1..DRAWS {
        if !tried(history, &point) {
            break;
        }
        point = draw();
    }
    point
}

fn tried(history: &[Trial], point: &Point) -> bool {
    history.iter().any(|trial| trial.point == *point)
}

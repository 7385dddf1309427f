//! Scrambled Sobol points: they fill a space more evenly than draws.
//!
//! Sobol 1967 with the direction numbers of Joe & Kuo 2008, scrambled by the hash-based Owen scrambling of Burley 2020.

use sobol_burley::NUM_DIMENSIONS;

use crate::{Point, Sampler, Space, Trial, tried};

/// Points of one sequence; after them another sequence begins.
const LENGTH: usize = 1 << 16;

/// The points of a scrambled Sobol sequence in order; those that were tried before are passed over.
#[derive(Debug, Clone, Copy)]
pub struct Sobol {
    /// What the scrambling follows from.
    pub seed: u64,
}

impl Sampler for Sobol {
    fn suggest(&self, space: &Space, history: &[Trial]) -> Point {
        // Whole numbers and choices repeat: each trial skipped what was tried before it, and so does the replay.
        let point = |index: usize| space.at(|dimension| unit(self.seed, index, dimension));
        let (mut index, mut repeats) = (history.len(), 0);
        while tried(history, &point(index)) && repeats < LENGTH {
            index += 1;
            repeats += 1;
        }
        point(index)
    }
}

/// Coordinate `dimension` of point `index`, from 0 (inclusive) to 1 (exclusive).
pub fn unit(seed: u64, index: usize, dimension: usize) -> f64 {
    let dimensions = NUM_DIMENSIONS as usize;
    let other = (index / LENGTH * 31 + dimension / dimensions) as u32;
    let seed = (seed ^ (seed >> 32)) as u32 ^ other.wrapping_mul(0x9e37_79b9);
    f64::from(sobol_burley::sample((index % LENGTH) as u32, (dimension % dimensions) as u32, seed))
}

#[cfg(test)]
mod tests {
    use super::{Sobol, unit};
    use crate::{Domain, Outcome, Parameter, Sampler as _, Space, Trial};

    /// Every elementary interval of a (0, m, 2)-net in base 2 holds exactly one of 2^m points.
    #[test]
    fn two_dimensions_are_a_net() {
        for seed in 0..4 {
            for split in 0..=6_u32 {
                let (wide, high) = (1_usize << split, 1_usize << (6 - split));
                let mut seen = vec![0; 64];
                for index in 0..64 {
                    let x = (unit(seed, index, 0) * wide as f64) as usize;
                    let y = (unit(seed, index, 1) * high as f64) as usize;
                    seen[x * high + y] += 1;
                }
                assert!(seen.iter().all(|count| *count == 1), "seed {seed}, {wide} x {high}: {seen:?}");
            }
        }
    }

    #[test]
    fn a_small_space_is_tried_completely_and_nothing_twice() {
        let three = Parameter { domain: Domain::Categorical { choices: 3 }, condition: None };
        let two = Parameter { domain: Domain::Int { low: 1, high: 2, log: false }, condition: None };
        let space = Space::new(vec![three, two]).unwrap();
        let mut history: Vec<Trial> = Vec::new();
        for _ in 0..6 {
            let point = Sobol { seed: 5 }.suggest(&space, &history);
            assert!(history.iter().all(|trial| trial.point != point));
            history.push(Trial { point, outcome: Outcome::Failed });
        }
    }
}

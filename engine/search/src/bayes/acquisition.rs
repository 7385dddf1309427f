//! Where improvement is to be expected most: the logarithm of expected improvement, made large over the space.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use super::descent::{Ends, descend};
use super::gp::Process;
use super::place;
use crate::normal::log_improvement;
use crate::{Domain, Point, Space, Trial, sobol, tried};

/// Points spread over the space.
const SPREAD: usize = 400;
/// Points around each of the best trials, at each distance.
const AROUND: usize = 8;
/// The distances.
const DISTANCES: [f64; 4] = [0.1, 0.02, 2e-3, 1e-4];
/// Trials around which points are drawn.
const CENTRES: usize = 3;
/// Points that are moved to the nearest top.
const REFINED: usize = 6;
/// Rounds of moving numbers along their slopes and then trying other whole numbers and choices.
const ROUNDS: usize = 3;
/// The way along the slopes in one round.
const CLIMB: Ends = Ends { looks: 40, change: 1e-7 };
/// Whole numbers of a parameter that are all tried; of more, the neighbours.
const ALL_WHOLE: usize = 12;

/// Expected improvement over `best`.
pub(super) struct Acquisition<'a> {
    pub space: &'a Space,
    pub process: &'a Process,
    pub best: f64,
}

impl Acquisition<'_> {
    /// The point with the largest expected improvement that was found and that was not tried before.
    pub fn top(&self, history: &[Trial], centres: &[&Point], seed: u64, rng: &mut impl Rng) -> Option<Point> {
        let spread = (0..SPREAD).map(|index| self.space.at(|axis| sobol::unit(seed, index, axis)));
        let mut candidates: Vec<Point> = spread.collect();
        for (centre, distance) in centres.iter().take(CENTRES).flat_map(|c| DISTANCES.map(|d| (c, d))) {
            candidates.extend((0..AROUND).map(|_| self.near(centre, distance, rng)));
        }
        let mut scored: Vec<(Point, f64)> =
            candidates.into_iter().map(|point| (point.clone(), self.value(&point))).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        let refined: Vec<(Point, f64)> =
            scored.iter().take(REFINED).map(|(point, value)| self.refine(point.clone(), *value)).collect();
        scored.extend(refined);
        scored.sort_by(|a, b| b.1.total_cmp(&a.1));
        scored.into_iter().map(|(point, _)| point).find(|point| !tried(history, point))
    }

    /// A point near another: numbers move a little, others change now and then.
    fn near(&self, centre: &Point, distance: f64, rng: &mut impl Rng) -> Point {
        let parameters = self.space.parameters();
        let change = 1.0 / parameters.len() as f64;
        self.space.point(|axis| {
            let domain = &parameters[axis].domain;
            let old = centre[axis].filter(|_| domain.count().is_none() || rng.random::<f64>() > change);
            let step: f64 = StandardNormal.sample(rng);
            match old {
                Some(old) if domain.count().is_none() => domain.at(domain.unit(old) + distance * step),
                Some(old) => old,
                None => domain.at(rng.random()),
            }
        })
    }

    fn value(&self, point: &Point) -> f64 {
        let (mean, deviation) = self.process.look(&place(self.space, point));
        deviation.ln() + log_improvement((self.best - mean) / deviation).0
    }

    fn refine(&self, mut point: Point, mut value: f64) -> (Point, f64) {
        for _ in 0..ROUNDS {
            let before = value;
            for next in [self.climb(&point), self.switch(&point, value)].into_iter().flatten() {
                if next.1 > value {
                    (point, value) = next;
                }
            }
            if value - before < 1e-6 {
                break;
            }
        }
        (point, value)
    }

    /// The best point that differs in one whole number or choice.
    fn switch(&self, point: &Point, value: f64) -> Option<(Point, f64)> {
        let mut best: Option<(Point, f64)> = None;
        for (axis, parameter) in self.space.parameters().iter().enumerate() {
            let Some(old) = point[axis] else { continue };
            for other in others(&parameter.domain, old) {
                let next = self.space.point(|index| {
                    let domain = &self.space.parameters()[index].domain;
                    if index == axis { other } else { point[index].unwrap_or_else(|| domain.at(0.5)) }
                });
                let found = self.value(&next);
                if found > best.as_ref().map_or(value, |best| best.1) {
                    best = Some((next, found));
                }
            }
        }
        best
    }

    /// The top that slopes lead to, whole numbers and choices as they are.
    fn climb(&self, point: &Point) -> Option<(Point, f64)> {
        let parameters = self.space.parameters();
        let free: Vec<usize> = (0..point.len())
            .filter(|&axis| point[axis].is_some() && parameters[axis].domain.count().is_none())
            .collect();
        if free.is_empty() {
            return None;
        }
        let slopes = Slopes { acquisition: self, start: place(self.space, point), free: &free };
        let angle = |&axis: &usize| slopes.start[axis].clamp(1e-9, 1.0 - 1e-9).sqrt().asin();
        let (found, _) = descend(free.iter().map(angle).collect(), |angles| slopes.evaluate(angles), &CLIMB)?;
        let mut moved = point.clone();
        for (angle, &axis) in found.iter().zip(&free) {
            moved[axis] = Some(parameters[axis].domain.at(angle.sin().powi(2)));
        }
        let value = self.value(&moved);
        Some((moved, value))
    }
}

/// Other values of a domain that has steps.
fn others(domain: &Domain, old: f64) -> Vec<f64> {
    match *domain {
        Domain::Float { .. } => Vec::new(),
        Domain::Categorical { choices } => (0..choices).map(|c| c as f64).filter(|c| *c != old).collect(),
        Domain::Int { low, high, .. } => {
            let few = domain.count().is_some_and(|count| count <= ALL_WHOLE);
            let reach = if few { ALL_WHOLE as i64 } else { 3 };
            let old = old as i64;
            ((old - reach).max(low)..=(old + reach).min(high)).filter(|w| *w != old).map(|w| w as f64).collect()
        }
    }
}

/// The acquisition as a function of the numbers that may move, each as an angle: its place is the square of the sine,
/// so that it stays between 0 and 1.
struct Slopes<'a> {
    acquisition: &'a Acquisition<'a>,
    start: Vec<f64>,
    free: &'a [usize],
}

impl Slopes<'_> {
    fn evaluate(&self, angles: &[f64]) -> (f64, Vec<f64>) {
        let mut at = self.start.clone();
        for (angle, &axis) in angles.iter().zip(self.free) {
            at[axis] = angle.sin().powi(2);
        }
        let found = self.acquisition.process.look_closely(&at);
        let z = (self.acquisition.best - found.mean) / found.deviation;
        let (value, steep) = log_improvement(z);
        let slope = |(angle, &axis): (&f64, &usize)| {
            let wide = found.deviation_slope[axis] / found.deviation;
            let z_slope = -found.mean_slope[axis] / found.deviation - z * wide;
            -(wide + steep * z_slope) * (2.0 * angle).sin()
        };
        (-(found.deviation.ln() + value), angles.iter().zip(self.free).map(slope).collect())
    }
}

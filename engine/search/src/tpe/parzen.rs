//! A density over the space: a mixture of one product of kernels a trial, and one that knows nothing.

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, StandardNormal};

use crate::normal::{LOG_SQRT_TAU, mass};
use crate::{Domain, Point, Space, Trial};

/// Trials whose weight does not fall with their age.
const YOUNG: usize = 25;

/// Width of the narrowest kernel, divided by the number of kernels and 1. Half of what Bergstra et al. take: found by
/// measuring, and better on every problem of `examples/regret.rs`.
const NARROWEST: f64 = 0.5;

/// The mixture. Where a trial does not have a parameter, its kernel there is that of the last component, the prior.
pub(super) struct Parzen<'a> {
    space: &'a Space,
    /// Sums to 1.
    weights: Vec<f64>,
    /// One a parameter.
    kernels: Vec<Kernels>,
}

/// The kernels of one parameter, one a component.
enum Kernels {
    /// Normal distributions over the unit interval, cut at its ends.
    Numeric { centres: Vec<f64>, widths: Vec<f64>, logs: Vec<f64> },
    /// Probabilities of the choices.
    Choices(Vec<Vec<f64>>),
}

impl<'a> Parzen<'a> {
    /// The density of these trials.
    pub fn new(space: &'a Space, history: &[Trial], numbers: &[usize]) -> Self {
        let mut weights = ages(numbers.len());
        weights.push(1.0);
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        let column = |index: usize| numbers.iter().map(move |&number| history[number].point[index]);
        let kernels = space.parameters().iter().enumerate().map(|(index, parameter)| match parameter.domain {
            Domain::Categorical { choices } => choices_of(choices, column(index)),
            _ => numeric(&parameter.domain, &column(index).collect::<Vec<_>>()),
        });
        Self { space, weights, kernels: kernels.collect() }
    }

    /// A point of this density.
    pub fn draw(&self, rng: &mut impl Rng) -> Point {
        let component = pick(&self.weights, rng);
        self.space.point(|index| {
            let domain = &self.space.parameters()[index].domain;
            match &self.kernels[index] {
                Kernels::Choices(shares) => pick(&shares[component], rng) as f64,
                Kernels::Numeric { centres, widths, .. } => {
                    domain.at(cut_normal(centres[component], widths[component], rng))
                }
            }
        })
    }

    /// Logarithms of the density at these points.
    pub fn log_densities(&self, points: &[Point]) -> Vec<f64> {
        let start: Vec<f64> = self.weights.iter().map(|weight| weight.ln()).collect();
        let mut sums = vec![start; points.len()];
        for (index, kernels) in self.kernels.iter().enumerate() {
            let domain = &self.space.parameters()[index].domain;
            // Whole numbers and choices repeat among the points, and their kernels take long.
            let mut known: Vec<(f64, Vec<f64>)> = Vec::new();
            for (point, sums) in points.iter().zip(&mut sums) {
                let Some(value) = point[index] else { continue };
                if matches!(domain, Domain::Float { .. }) {
                    kernels.add(domain, value, sums);
                    continue;
                }
                let place = known.iter().position(|(other, _)| *other == value).unwrap_or_else(|| {
                    let mut logs = vec![0.0; sums.len()];
                    kernels.add(domain, value, &mut logs);
                    known.push((value, logs));
                    known.len() - 1
                });
                sums.iter_mut().zip(&known[place].1).for_each(|(sum, log)| *sum += log);
            }
        }
        sums.into_iter().map(|sums| log_sum(&sums)).collect()
    }
}

impl Kernels {
    /// Adds the logarithm of each component's kernel at a value.
    fn add(&self, domain: &Domain, value: f64, sums: &mut [f64]) {
        match self {
            Kernels::Choices(shares) => {
                sums.iter_mut().zip(shares).for_each(|(sum, shares)| *sum += shares[value as usize].ln());
            }
            Kernels::Numeric { centres, widths, logs } => {
                let components = sums.iter_mut().zip(centres).zip(widths).zip(logs);
                if let Domain::Float { .. } = domain {
                    let unit = domain.unit(value);
                    components.for_each(|(((sum, centre), width), log)| {
                        let z = (unit - centre) / width;
                        *sum += -0.5 * z * z - log - width.ln() - LOG_SQRT_TAU;
                    });
                } else {
                    let (from, to) = domain.cell(value);
                    components.for_each(|(((sum, centre), width), log)| {
                        let mass = mass((from - centre) / width, (to - centre) / width);
                        *sum += mass.max(f64::MIN_POSITIVE).ln() - log;
                    });
                }
            }
        }
    }
}

/// The weight of each trial: 1 for the youngest, less for older ones (Bergstra et al. 2013).
fn ages(count: usize) -> Vec<f64> {
    let old = count.saturating_sub(YOUNG);
    let weight = |number: usize| {
        let first = 1.0 / count as f64;
        if number >= old {
            1.0
        } else if old > 1 {
            first + (1.0 - first) * number as f64 / (old - 1) as f64
        } else {
            first
        }
    };
    (0..count).map(weight).collect()
}

fn choices_of(choices: usize, column: impl ExactSizeIterator<Item = Option<f64>>) -> Kernels {
    let even = vec![1.0 / choices as f64; choices];
    // The prior's weight, spread over the components.
    let spare = 1.0 / (column.len() + 1) as f64;
    let shares = column.map(|value| match value {
        None => even.clone(),
        Some(value) => (0..choices)
            .map(|choice| {
                let own = if choice == value as usize { 1.0 } else { 0.0 };
                (own + spare) / (1.0 + spare * choices as f64)
            })
            .collect(),
    });
    let mut shares: Vec<Vec<f64>> = shares.collect();
    shares.push(even);
    Kernels::Choices(shares)
}

/// A kernel is as wide as its farther neighbour is away, and not narrower than a share that falls with their number.
fn numeric(domain: &Domain, column: &[Option<f64>]) -> Kernels {
    let mut present: Vec<(usize, f64)> =
        column.iter().enumerate().filter_map(|(component, value)| Some((component, domain.unit((*value)?)))).collect();
    present.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut centres = vec![0.5; column.len() + 1];
    let mut widths = vec![1.0; column.len() + 1];
    let narrowest = NARROWEST / (2.0 + present.len() as f64).min(100.0);
    for (place, &(component, unit)) in present.iter().enumerate() {
        let below = place.checked_sub(1).map(|place| unit - present[place].1);
        let above = present.get(place + 1).map(|(_, next)| next - unit);
        let width = match (below, above) {
            (None, None) => unit.max(1.0 - unit),
            (below, above) => below.unwrap_or(0.0).max(above.unwrap_or(0.0)),
        };
        centres[component] = unit;
        widths[component] = width.clamp(narrowest, 1.0);
    }
    let inside = |(centre, width): (&f64, &f64)| mass(-centre / width, (1.0 - centre) / width).ln();
    let logs = centres.iter().zip(&widths).map(inside).collect();
    Kernels::Numeric { centres, widths, logs }
}

fn pick(shares: &[f64], rng: &mut impl Rng) -> usize {
    let mut left: f64 = rng.random();
    let found = shares.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    found.unwrap_or(shares.len() - 1)
}

/// A normal number inside the unit interval, drawn until it is.
fn cut_normal(centre: f64, width: f64, rng: &mut impl Rng) -> f64 {
    loop {
        let draw: f64 = StandardNormal.sample(rng);
        let unit = centre + width * draw;
        if (0.0..=1.0).contains(&unit) {
            return unit;
        }
    }
}

fn log_sum(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + logs.iter().map(|log| (log - top).exp()).sum::<f64>().ln()
}

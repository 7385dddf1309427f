//! Ranges of weights that share a scale, shrunk to what leaves the least error of their part of the output.

use faer::Mat;
use paring_model::{Granularity, Role, Site, WeightScheme};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use crate::quantize::scales::{self, WeightObserver};
use crate::weights::FloatWeight;

/// Steps that are tried: 1.00, 0.95, ... 0.55 of the range.
const STEPS: usize = 10;
/// How much of the range a step takes away.
const STEP: f32 = 0.05;

/// Queries and keys are left as they are: their products are sensitive to what is clipped.
pub(super) fn suits(site: &Site) -> bool {
    !matches!(site.role, Role::Query | Role::Key)
}

/// The weight with every group clipped to its best range. `mean` is that of x x^T.
pub(super) fn search(weight: &FloatWeight, mean: &Mat<f64>, scheme: WeightScheme) -> Vec<f32> {
    let inputs = weight.inputs().max(1);
    let group = match scheme.granularity {
        Granularity::Group(size) => size,
        Granularity::Tensor | Granularity::Channel => inputs,
    };
    // The parts of the mean that belong to a group of inputs, row-major.
    let parts: Vec<Vec<f32>> = (0..inputs).step_by(group).map(|start| part(mean, start, group)).collect();
    let mut clipped = weight.numbers.clone();
    clipped.par_chunks_mut(group).enumerate().for_each(|(index, group)| {
        if let Some(part) = parts.get(index % parts.len().max(1)) {
            clip(group, part, scheme);
        }
    });
    clipped
}

fn part(mean: &Mat<f64>, start: usize, group: usize) -> Vec<f32> {
    let end = (start + group).min(mean.nrows());
    (start..end).flat_map(|row| (start..end).map(move |column| mean[(row, column)] as f32)).collect()
}

/// Clips the weights of one group in place.
fn clip(group: &mut [f32], mean: &[f32], scheme: WeightScheme) {
    let largest = group.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
    let whole = WeightScheme { granularity: Granularity::Tensor, ..scheme };
    let mut best = (f32::INFINITY, largest);
    let mut candidate = group.to_vec();
    for step in 0..STEPS {
        let bound = largest * (1.0 - STEP * step as f32);
        candidate.iter_mut().zip(&*group).for_each(|(to, from)| *to = from.clamp(-bound, bound));
        let rounded = scales::rounded(&candidate, candidate.len(), whole, WeightObserver::Minmax);
        let difference: Vec<f32> = rounded.iter().zip(&*group).map(|(rounded, weight)| rounded - weight).collect();
        let error = quadratic(&difference, mean);
        if error < best.0 {
            best = (error, bound);
        }
    }
    group.iter_mut().for_each(|weight| *weight = weight.clamp(-best.1, best.1));
}

/// d^T M d for a symmetric M, row-major.
fn quadratic(difference: &[f32], mean: &[f32]) -> f32 {
    let rows = difference.iter().zip(mean.chunks(difference.len().max(1)));
    rows.map(|(factor, row)| factor * dot(row, difference)).sum()
}

#[inline]
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let (chunks, rest) = one.as_chunks::<8>();
    let (others, other_rest) = other.as_chunks::<8>();
    let mut lanes = [0.0_f32; 8];
    for (one, other) in chunks.iter().zip(others) {
        for ((lane, one), other) in lanes.iter_mut().zip(one).zip(other) {
            *lane += one * other;
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().zip(other_rest).map(|(one, other)| one * other).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use paring_model::{Granularity, WeightScheme};

    use super::{clip, quadratic};

    /// M = (2, 1; 1, 3), d = (1, -2): 2 - 4 + 12 = 10.
    #[test]
    fn a_quadratic_form_by_hand() {
        assert_eq!(quadratic(&[1.0, -2.0], &[2.0, 1.0, 1.0, 3.0]), 10.0);
    }

    /// An outlier on a channel that is hardly active is clipped; on one that is active it stays.
    #[test]
    fn what_is_clipped_depends_on_the_inputs() {
        let scheme = WeightScheme { bits: 3, symmetric: true, granularity: Granularity::Channel };
        let weights: Vec<f32> =
            (0..16).map(|index| if index == 5 { 2.0 } else { (index as f32 * 0.9).sin() }).collect();
        let with_activity = |activity: f32| {
            let diagonal = |row: usize| if row == 5 { activity } else { 1.0 };
            let mean: Vec<f32> =
                (0..256).map(|index| if index / 16 == index % 16 { diagonal(index / 16) } else { 0.0 }).collect();
            let mut group = weights.clone();
            clip(&mut group, &mean, scheme);
            group[5]
        };
        assert!(with_activity(0.001) < 2.0);
        assert_eq!(with_activity(1000.0), 2.0);
    }
}

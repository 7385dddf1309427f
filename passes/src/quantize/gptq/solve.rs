//! The rounding itself: column after column, each weight's error spread over the weights of its row that come later.
//!
//! Source: Frantar et al. 2022, "GPTQ", section 3.3 and algorithm 1. Rows do not depend on each other: a few run side by
//! side as lanes, and the rest of a row is updated once for each block of columns.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use crate::compensation::{BLOCK, Errors, LANES, Lanes};
use crate::hessian::Factor;

/// What the integers of one group stand for: scale * q + offset, for q from lowest to highest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// Distance of two neighbours.
    pub(crate) scale: f32,
    /// What the integer 0 stands for.
    pub(crate) offset: f32,
    /// The smallest integer.
    pub(crate) lowest: f32,
    /// The largest integer.
    pub(crate) highest: f32,
}

impl Step {
    const NONE: Self = Self { scale: 1.0, offset: 0.0, lowest: 0.0, highest: 0.0 };

    /// The integer nearest to a weight, and what it stands for.
    #[inline(always)]
    pub(crate) fn round(self, weight: f32) -> (f32, f32) {
        let integer = ((weight - self.offset) / self.scale).round_ties_even().clamp(self.lowest, self.highest);
        (integer, integer * self.scale + self.offset)
    }
}

/// Chooses what integers stand for.
pub(crate) trait Grid: Sync {
    /// For the weights of one group, whose first column is `first`.
    fn fit(&self, group: &[f32], first: usize) -> Step;
}

/// A weight to be rounded.
pub(crate) struct Layer<'a> {
    /// Row-major, [out, in].
    pub(crate) weights: &'a [f32],
    /// How error is spread.
    pub(crate) factor: &'a Factor,
    /// How steps are chosen.
    pub(crate) grid: &'a dyn Grid,
    /// Consecutive columns that share a step.
    pub(crate) group: usize,
    /// Steps are chosen from the weights as they are when their first column is rounded, not as they were. For columns
    /// in their own order only.
    pub(crate) late_steps: bool,
    /// Weights that are zero stay zero.
    pub(crate) masked: bool,
}

/// A rounded weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rounded {
    /// Row-major integers.
    pub(crate) integers: Vec<i8>,
    /// Steps, by row, then group.
    pub(crate) steps: Vec<Step>,
}

impl Layer<'_> {
    fn columns(&self) -> usize {
        self.factor.columns().max(1)
    }

    fn groups(&self) -> usize {
        self.columns().div_ceil(self.group.max(1))
    }

    /// Rounds all rows.
    pub(crate) fn solve(&self) -> Rounded {
        let (columns, groups) = (self.columns(), self.groups());
        let rows = self.weights.len() / columns;
        let mut rounded = Rounded { integers: vec![0; rows * columns], steps: vec![Step::NONE; rows * groups] };
        let tiles = self.weights.par_chunks(LANES * columns);
        let results =
            rounded.integers.par_chunks_mut(LANES * columns).zip(rounded.steps.par_chunks_mut(LANES * groups));
        tiles.zip(results).for_each(|(weights, (integers, steps))| Tile::new(self, weights, steps).run(integers));
        rounded
    }
}

/// Some rows, side by side.
struct Tile<'a> {
    layer: &'a Layer<'a>,
    before: &'a [f32],
    now: Lanes<'a>,
    /// By row, then group.
    steps: &'a mut [Step],
}

impl<'a> Tile<'a> {
    fn new(layer: &'a Layer<'a>, before: &'a [f32], steps: &'a mut [Step]) -> Self {
        let columns = layer.columns();
        for (lane, row) in before.chunks(columns).enumerate() {
            let groups = row.chunks(layer.group.max(1)).enumerate();
            for (step, (number, group)) in steps.iter_mut().skip(lane * layer.groups()).zip(groups) {
                *step = layer.grid.fit(group, number * layer.group);
            }
        }
        Self { layer, before, now: Lanes::new(before, layer.factor), steps }
    }

    fn run(mut self, integers: &mut [i8]) {
        let columns = self.layer.columns();
        let mut start = 0;
        while start < columns {
            let end = self.block_end(start);
            let errors: Vec<Errors> = (start..end).map(|place| self.column(place, end, integers)).collect();
            self.now.update(start, &errors);
            start = end;
        }
    }

    /// The end of the block that starts at a place: a group whose step is chosen late starts a block.
    fn block_end(&self, start: usize) -> usize {
        let (columns, group) = (self.layer.columns(), self.layer.group.max(1));
        let end = match group {
            _ if !self.layer.late_steps => start + BLOCK,
            group if group <= BLOCK => start + BLOCK / group * group,
            group => (start + BLOCK).min((start / group + 1) * group),
        };
        end.min(columns)
    }

    /// Rounds one column and spreads its error up to `end`; the error, in units of the factor's diagonal.
    fn column(&mut self, place: usize, end: usize, integers: &mut [i8]) -> Errors {
        let (columns, groups) = (self.layer.columns(), self.layer.groups());
        let column = self.layer.factor.order[place];
        let group = column / self.layer.group.max(1);
        if self.layer.late_steps && column.is_multiple_of(self.layer.group.max(1)) {
            self.choose_steps(place, group);
        }
        let mut values = self.now.weights(place);
        for (lane, row) in integers.chunks_mut(columns).enumerate() {
            let keeps_zero = self.layer.masked && self.before[lane * columns + column] == 0.0;
            let step = self.steps[lane * groups + group];
            let (integer, value) = step.round(if keeps_zero { 0.0 } else { values[lane] });
            row[column] = integer as i8;
            values[lane] = value;
        }
        self.now.settle(place, end, &values)
    }

    /// Steps of one group from the weights as they are now.
    fn choose_steps(&mut self, place: usize, group: usize) {
        let groups = self.layer.groups();
        let rows = self.before.len() / self.layer.columns();
        for lane in 0..rows {
            let group_end = (place + self.layer.group.max(1)).min(self.layer.columns());
            let weights: Vec<f32> = (place..group_end).map(|place| self.now.weights(place)[lane]).collect();
            self.steps[lane * groups + group] = self.layer.grid.fit(&weights, group * self.layer.group);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use paring_train::Stream;
    use rand::RngExt as _;

    use super::{Grid, Layer, Rounded, Step};
    use crate::hessian::{Factor, Hessian, OutputError};

    /// Whole numbers from -8 to 7.
    struct Whole;

    impl Grid for Whole {
        fn fit(&self, _: &[f32], _: usize) -> Step {
            Step { scale: 1.0, offset: 0.0, lowest: -8.0, highest: 7.0 }
        }
    }

    /// The largest weight is 7.
    struct Largest;

    impl Grid for Largest {
        fn fit(&self, group: &[f32], _: usize) -> Step {
            let largest = group.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
            Step { scale: largest.max(1e-6) / 7.0, ..Whole.fit(group, 0) }
        }
    }

    fn random(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = Stream::new(seed).rng();
        (0..count).map(|_| rng.random_range(-1.0_f32..1.0)).collect()
    }

    /// Inputs whose columns hang together, so that one can make up for another.
    fn hessian(rows: usize, columns: usize) -> Hessian {
        let mut inputs = random(rows * columns, 1);
        for row in inputs.chunks_mut(columns) {
            for column in 1..columns {
                row[column] = 0.4 * row[column] + 0.8 * row[column - 1];
            }
        }
        let mut hessian = Hessian::default();
        hessian.add(&Tensor::from_vec(inputs, (rows, columns), &Device::Cpu).unwrap()).unwrap();
        hessian
    }

    /// The algorithm as the paper writes it, one row and one column at a time, in f64.
    fn plain(layer: &Layer<'_>) -> Vec<i8> {
        let columns = layer.factor.columns();
        let mut integers = vec![0; layer.weights.len()];
        for (row, weights) in layer.weights.chunks(columns).enumerate() {
            let mut now: Vec<f64> = weights.iter().map(|weight| f64::from(*weight)).collect();
            let mut step = Step::NONE;
            for place in 0..columns {
                let column = layer.factor.order[place];
                if layer.late_steps && column.is_multiple_of(layer.group) {
                    let group: Vec<f32> =
                        now[column..(column + layer.group).min(columns)].iter().map(|w| *w as f32).collect();
                    step = layer.grid.fit(&group, column);
                }
                if !layer.late_steps {
                    let start = column / layer.group * layer.group;
                    step = layer.grid.fit(&weights[start..(start + layer.group).min(columns)], start);
                }
                let (integer, value) = step.round(now[column] as f32);
                integers[row * columns + column] = integer as i8;
                let error = (now[column] - f64::from(value)) / f64::from(layer.factor.upper[place * columns + place]);
                for later in place + 1..columns {
                    now[layer.factor.order[later]] -= error * f64::from(layer.factor.upper[place * columns + later]);
                }
            }
        }
        integers
    }

    /// Two weights of 0.4 and inputs that are always equal: the first becomes 0, the second makes up for it, 0.8 -> 1.
    #[test]
    fn a_row_by_hand() {
        let mut hessian = Hessian::default();
        hessian.add(&Tensor::new(&[[1.0_f32, 1.0], [2.0, 2.0]], &Device::Cpu).unwrap()).unwrap();
        let factor = Factor::new("a", &hessian.mean("a").unwrap(), 1e-6, false).unwrap();
        let layer =
            Layer { weights: &[0.4, 0.4], factor: &factor, grid: &Whole, group: 2, late_steps: false, masked: false };
        assert_eq!(layer.solve().integers, [0, 1]);
    }

    #[test]
    fn tiles_and_blocks_give_what_plain_loops_give() {
        let (rows, columns) = (21, 300);
        let mean = hessian(500, columns).mean("a").unwrap();
        let weights = random(rows * columns, 2);
        for (by_activation, late_steps, group) in
            [(false, false, 300), (true, false, 50), (false, true, 50), (false, true, 150), (false, true, 32)]
        {
            let factor = Factor::new("a", &mean, 0.01, by_activation).unwrap();
            let layer = Layer { weights: &weights, factor: &factor, grid: &Largest, group, late_steps, masked: false };
            let (found, expected) = (layer.solve().integers, plain(&layer));
            let differ = found.iter().zip(&expected).filter(|(one, other)| one != other).count();
            // A sum in f32 that falls on the other side of a tie changes the rest of its row.
            assert!(differ < rows * columns / 100, "{differ} differ with {by_activation} {late_steps} {group}");
        }
    }

    #[test]
    fn the_outputs_are_nearer_than_those_of_the_nearest_weights() {
        let (rows, columns) = (8, 64);
        let mean = hessian(200, columns).mean("a").unwrap();
        let weights = random(rows * columns, 3);
        let factor = Factor::new("a", &mean, 0.01, true).unwrap();
        let layer =
            Layer { weights: &weights, factor: &factor, grid: &Largest, group: 16, late_steps: false, masked: false };
        let error = |values: Vec<f32>| OutputError::new(&mean).unwrap().between(&weights, &values).unwrap();
        let Rounded { integers, steps } = layer.solve();
        let of = |index: usize| steps[index / columns * 4 + index % columns / 16];
        let values = integers.iter().enumerate().map(|(index, integer)| f32::from(*integer) * of(index).scale);
        let nearest = weights.iter().enumerate().map(|(index, weight)| of(index).round(*weight).1);
        let (found, plain) = (error(values.collect()), error(nearest.collect()));
        assert!(found < plain * 0.5, "{found} against {plain}");
    }

    #[test]
    fn pruned_weights_stay_zero_and_others_make_up_for_them() {
        let columns = 32;
        let mean = hessian(100, columns).mean("a").unwrap();
        let mut weights = random(64 * columns, 4);
        weights.iter_mut().step_by(3).for_each(|weight| *weight = 0.0);
        let factor = Factor::new("a", &mean, 0.01, false).unwrap();
        let layer =
            Layer { weights: &weights, factor: &factor, grid: &Largest, group: 32, late_steps: false, masked: true };
        let integers = layer.solve().integers;
        assert!(integers.iter().step_by(3).all(|integer| *integer == 0));
        let free = Layer { masked: false, ..layer }.solve().integers;
        assert!(free.iter().step_by(3).any(|integer| *integer != 0));
    }
}

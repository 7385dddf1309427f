//! The pruning itself: which weights of a block go, and how the columns after them make up for it.
//!
//! Source: Frantar & Alistarh 2023, "SparseGPT", section 3.3 and algorithm 1; section 3.5 for weights that are rounded
//! as the others are pruned.

use std::ops::Range;

use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator};
use rayon::slice::{ParallelSlice, ParallelSliceMut};

use super::grid::Grid;
use crate::compensation::{BLOCK, Errors, LANES, Lanes};
use crate::hessian::Factor;
use crate::prune::calibrated::Rule;
use crate::prune::mask::{least, zeros_of};
use crate::prune::pattern::Pattern;

/// A weight to be pruned.
pub(crate) struct Layer<'a> {
    /// Row-major, [out, in].
    pub(crate) weights: &'a [f32],
    /// How error is spread; columns in their own order.
    pub(crate) factor: &'a Factor,
    /// How much goes.
    pub(crate) rule: Rule,
    /// Weights that are zero stay zero.
    pub(crate) masked: bool,
    /// What the weights that stay are rounded to.
    pub(crate) grid: Option<&'a Grid>,
}

impl Layer<'_> {
    /// The weights afterwards.
    pub(crate) fn solve(&self) -> Vec<f32> {
        let columns = self.factor.columns().max(1);
        let tiles = self.weights.par_chunks(LANES * columns).enumerate();
        let mut tiles: Vec<Tile<'_>> = tiles.map(|(tile, rows)| Tile::new(self, tile * LANES, rows)).collect();
        let mut start = 0;
        while start < columns {
            let end = (start + self.block()).min(columns);
            if let Rule::Share(share) = self.rule {
                self.choose(&mut tiles, start..end, share);
            }
            tiles.par_iter_mut().for_each(|tile| tile.run(start..end));
            start = end;
        }
        let mut weights = self.weights.to_vec();
        weights.par_chunks_mut(LANES * columns).zip(&tiles).for_each(|(rows, tile)| tile.now.restore(rows));
        weights
    }

    /// Columns of a block: whole groups.
    fn block(&self) -> usize {
        match self.rule {
            Rule::Pattern(Pattern { of, .. }) if of < BLOCK => BLOCK / of * of,
            Rule::Pattern(Pattern { of, .. }) => of,
            Rule::Share(_) => BLOCK,
        }
    }

    /// Marks the weights of a block that go, over all rows together. The counts of all blocks add up to that of the
    /// whole weight.
    fn choose(&self, tiles: &mut [Tile<'_>], block: Range<usize>, share: f64) {
        let rows = self.weights.len() / self.factor.columns().max(1);
        let zeros = zeros_of(rows * block.end, share) - zeros_of(rows * block.start, share);
        let scores: Vec<Vec<f32>> = tiles.par_iter().map(|tile| tile.scores(block.clone())).collect();
        let mut going = vec![false; rows * block.len()];
        least(&scores.concat(), zeros).into_iter().for_each(|place| going[place] = true);
        for (tile, going) in tiles.iter_mut().zip(going.chunks(LANES * block.len())) {
            tile.going = going.to_vec();
        }
    }
}

/// Some rows, side by side.
struct Tile<'a> {
    layer: &'a Layer<'a>,
    first_row: usize,
    before: &'a [f32],
    now: Lanes<'a>,
    /// Which weights of the block go, row by row.
    going: Vec<bool>,
}

impl<'a> Tile<'a> {
    fn new(layer: &'a Layer<'a>, first_row: usize, before: &'a [f32]) -> Self {
        Self { layer, first_row, before, now: Lanes::new(before, layer.factor), going: Vec::new() }
    }

    fn rows(&self) -> usize {
        self.before.len() / self.layer.factor.columns().max(1)
    }

    /// Whether the weight is a zero that stays.
    fn stays_zero(&self, lane: usize, column: usize) -> bool {
        self.layer.masked && self.before[lane * self.layer.factor.columns() + column] == 0.0
    }

    /// What the loss of each weight of some columns costs, row by row. A zero that stays goes first, then a weight
    /// whose input is always zero.
    fn scores(&self, columns: Range<usize>) -> Vec<f32> {
        let factor = self.layer.factor;
        let score = |lane: usize, column: usize| match self.now.weights(column)[lane] {
            _ if self.stays_zero(lane, column) => -1.0,
            _ if factor.dead.binary_search(&column).is_ok() => 0.0,
            weight => (weight / factor.upper[column * factor.columns() + column]).powi(2),
        };
        let all = (0..self.rows()).flat_map(|lane| columns.clone().map(move |column| (lane, column)));
        all.map(|(lane, column)| score(lane, column)).collect()
    }

    /// Settles the columns of a block.
    fn run(&mut self, block: Range<usize>) {
        let errors: Vec<Errors> = block.clone().map(|column| self.column(column, &block)).collect();
        self.now.update(block.start, &errors);
    }

    fn column(&mut self, column: usize, block: &Range<usize>) -> Errors {
        if let Rule::Pattern(pattern) = self.layer.rule
            && (column - block.start).is_multiple_of(pattern.of)
        {
            self.choose(column, block, pattern);
        }
        let mut values = self.now.weights(column);
        for (lane, value) in values.iter_mut().enumerate().take(self.rows()) {
            if self.going[lane * block.len() + column - block.start] || self.stays_zero(lane, column) {
                *value = 0.0;
            } else if let Some(grid) = self.layer.grid {
                *value = grid.nearest(self.first_row + lane, column, *value);
            }
        }
        self.now.settle(column, block.end, &values)
    }

    /// Marks the weights that go in the group that starts at a column.
    fn choose(&mut self, column: usize, block: &Range<usize>, Pattern { keep, of }: Pattern) {
        self.going.resize(self.rows() * block.len(), false);
        let scores = self.scores(column..column + of);
        for (row, scores) in self.going.chunks_mut(block.len()).zip(scores.chunks(of)) {
            let group = &mut row[column - block.start..][..of];
            group.fill(false);
            least(scores, of - keep).into_iter().for_each(|place| group[place] = true);
        }
    }
}

#[cfg(test)]
mod tests {
    use faer::Mat;
    use paring_model::{Granularity, WeightScheme};
    use paring_train::Stream;
    use rand::RngExt as _;
    use rstest::rstest;

    use super::{Grid, Layer, Pattern, Rule};
    use crate::hessian::{Factor, Hessian};

    fn random(count: usize, seed: u64) -> Vec<f32> {
        let mut rng = Stream::new(seed).rng();
        (0..count).map(|_| rng.random_range(-1.0_f32..1.0)).collect()
    }

    /// Inputs whose columns hang together, so that one can make up for another.
    fn mean(rows: usize, columns: usize) -> Mat<f64> {
        let mut inputs = random(rows * columns, 1);
        for row in inputs.chunks_mut(columns) {
            for column in 1..columns {
                row[column] = 0.4 * row[column] + 0.8 * row[column - 1];
            }
        }
        let mut hessian = Hessian::default();
        let inputs = candle_core::Tensor::from_vec(inputs, (rows, columns), &candle_core::Device::Cpu).unwrap();
        hessian.add(&inputs).unwrap();
        hessian.mean("a").unwrap()
    }

    /// The algorithm as the paper writes it, whole rows and one column at a time, in f64.
    fn plain(layer: &Layer<'_>) -> Vec<f64> {
        let columns = layer.factor.columns();
        let rows = layer.weights.len() / columns;
        let upper = |row: usize, column: usize| f64::from(layer.factor.upper[row * columns + column]);
        let mut now: Vec<f64> = layer.weights.iter().map(|weight| f64::from(*weight)).collect();
        let mut goes = vec![false; now.len()];
        for column in 0..columns {
            let score = |place: usize, now: &[f64]| (now[place] / upper(place % columns, place % columns)).powi(2);
            let groups: Vec<(Vec<usize>, usize)> = match layer.rule {
                Rule::Share(share) if column % 128 == 0 => {
                    let end = (column + 128).min(columns);
                    let all = (0..rows).flat_map(|row| (column..end).map(move |column| row * columns + column));
                    vec![(all.collect(), (share * (rows * (end - column)) as f64).round() as usize)]
                }
                Rule::Pattern(Pattern { keep, of }) if column % of == 0 => {
                    let group = |row: usize| (column..column + of).map(move |column| row * columns + column);
                    (0..rows).map(|row| (group(row).collect(), of - keep)).collect()
                }
                _ => Vec::new(),
            };
            for (mut places, zeros) in groups {
                places.sort_by(|one, other| score(*one, &now).total_cmp(&score(*other, &now)));
                places.into_iter().take(zeros).for_each(|place| goes[place] = true);
            }
            for row in 0..rows {
                let place = row * columns + column;
                let value = match layer.grid {
                    _ if goes[place] => 0.0,
                    Some(grid) => f64::from(grid.nearest(row, column, now[place] as f32)),
                    None => now[place],
                };
                let error = (now[place] - value) / upper(column, column);
                for later in column..columns {
                    now[row * columns + later] -= error * upper(column, later);
                }
                now[place] = value;
            }
        }
        now
    }

    const GROUPS: WeightScheme = WeightScheme { bits: 4, symmetric: true, granularity: Granularity::Group(50) };
    const CHANNELS: WeightScheme = WeightScheme { bits: 5, symmetric: false, granularity: Granularity::Channel };

    #[rstest]
    #[case(Rule::Share(0.5))]
    #[case(Rule::Share(0.25))]
    #[case(Rule::Pattern(Pattern { keep: 2, of: 4 }))]
    #[case(Rule::Pattern(Pattern { keep: 5, of: 100 }))]
    #[case(Rule::Pattern(Pattern { keep: 70, of: 150 }))]
    fn tiles_and_blocks_give_what_plain_loops_give(
        #[case] rule: Rule,
        #[values(None, Some(GROUPS), Some(CHANNELS))] scheme: Option<WeightScheme>,
    ) {
        let (rows, columns) = (24, 300);
        let weights = random(rows * columns, 2);
        let factor = Factor::new("a", &mean(500, columns), 0.01, false).unwrap();
        let grid = scheme.map(|scheme| Grid::new(&weights, columns, scheme));
        let layer = Layer { weights: &weights, factor: &factor, rule, masked: false, grid: grid.as_ref() };
        let (found, expected) = (layer.solve(), plain(&layer));
        let differ = found.iter().zip(&expected).filter(|(one, other)| (f64::from(**one) - **other).abs() > 1e-3);
        // A score in f32 that falls on the other side of another's changes the rest of its row.
        assert!(differ.count() < rows * columns / 100);
        let zeros = |numbers: &mut dyn Iterator<Item = bool>| numbers.filter(|is_zero| *is_zero).count();
        let expected = zeros(&mut expected.iter().map(|weight| *weight == 0.0));
        assert_eq!(zeros(&mut found.iter().map(|weight| *weight == 0.0)), expected);
    }

    /// Two inputs that are always equal: what the first loses the second takes over whole.
    #[test]
    fn a_row_by_hand() {
        let mut hessian = Hessian::default();
        let inputs = candle_core::Tensor::new(&[[1.0_f32, 1.0], [2.0, 2.0]], &candle_core::Device::Cpu).unwrap();
        hessian.add(&inputs).unwrap();
        let factor = Factor::new("a", &hessian.mean("a").unwrap(), 1e-6, false).unwrap();
        let rule = Rule::Pattern(Pattern { keep: 1, of: 2 });
        let found = Layer { weights: &[0.25, 0.5], factor: &factor, rule, masked: false, grid: None }.solve();
        assert!(found[0] == 0.0 && (found[1] - 0.75).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn zeros_of_a_mask_stay_and_are_counted() {
        let columns = 64;
        let mut weights = random(16 * columns, 3);
        weights.iter_mut().step_by(3).for_each(|weight| *weight = 0.0);
        let factor = Factor::new("a", &mean(200, columns), 0.01, false).unwrap();
        let rule = Rule::Pattern(Pattern { keep: 2, of: 4 });
        let layer = Layer { weights: &weights, factor: &factor, rule, masked: true, grid: None };
        let found = layer.solve();
        assert!(found.iter().step_by(3).all(|weight| *weight == 0.0));
        assert_eq!(found.iter().filter(|weight| **weight == 0.0).count(), 16 * columns / 2);
        let free = Layer { masked: false, ..layer }.solve();
        assert!(free.iter().step_by(3).any(|weight| *weight != 0.0));
    }
}

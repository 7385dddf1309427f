//! Rows of a weight whose columns are settled one after the other, while the columns that are left make up for the error.
//!
//! Source: Frantar et al. 2022, "GPTQ", section 3.3 and algorithm 1; Frantar & Alistarh 2023, "SparseGPT", section 3 and
//! algorithm 1. Rows do not depend on each other: a few run side by side as lanes, and the rest of a row is updated once
//! for each block of columns.

use crate::hessian::Factor;

/// Rows that run side by side.
pub(crate) const LANES: usize = 16;
/// Columns after which the rest of the row is updated.
pub(crate) const BLOCK: usize = 128;

/// The errors of one column, in units of the factor's diagonal.
pub(crate) type Errors = [f32; LANES];

/// At most [`LANES`] rows.
pub(crate) struct Lanes<'a> {
    factor: &'a Factor,
    /// By column, in the order in which columns are settled.
    now: Vec<[f32; LANES]>,
}

impl<'a> Lanes<'a> {
    /// Of these rows, one after the other.
    pub(crate) fn new(rows: &[f32], factor: &'a Factor) -> Self {
        let columns = factor.columns();
        let mut now = vec![[0.0; LANES]; columns];
        for (lane, row) in rows.chunks(columns.max(1)).enumerate() {
            for (lanes, &column) in now.iter_mut().zip(&factor.order) {
                lanes[lane] = row[column];
            }
        }
        Self { factor, now }
    }

    /// What has become of the column at a place of the order.
    pub(crate) fn weights(&self, place: usize) -> [f32; LANES] {
        self.now[place]
    }

    /// Gives the column at a place its values for good, and spreads what they differ over the columns before `end`.
    pub(crate) fn settle(&mut self, place: usize, end: usize, values: &[f32; LANES]) -> Errors {
        let columns = self.factor.columns();
        let factors = &self.factor.upper[place * columns..(place + 1) * columns];
        let mut errors = [0.0; LANES];
        for (error, (weight, value)) in errors.iter_mut().zip(self.now[place].iter().zip(values)) {
            *error = (weight - value) / factors[place];
        }
        self.now[place] = *values;
        let later = self.now.iter_mut().zip(factors).take(end).skip(place + 1);
        later.for_each(|(weights, &factor)| subtract(weights, &errors, factor));
        errors
    }

    /// Spreads the errors of the columns from `start` on, which are a block, over the columns after it.
    pub(crate) fn update(&mut self, start: usize, errors: &[Errors]) {
        let columns = self.factor.columns().max(1);
        let upper = &self.factor.upper[start * columns..];
        for (place, weights) in self.now.iter_mut().enumerate().skip(start + errors.len()) {
            let mut sum = [0.0; LANES];
            for (errors, factors) in errors.iter().zip(upper.chunks(columns)) {
                add(&mut sum, errors, factors[place]);
            }
            subtract(weights, &sum, 1.0);
        }
    }

    /// Writes the rows back.
    pub(crate) fn restore(&self, rows: &mut [f32]) {
        for (lane, row) in rows.chunks_mut(self.factor.columns().max(1)).enumerate() {
            for (lanes, &column) in self.now.iter().zip(&self.factor.order) {
                row[column] = lanes[lane];
            }
        }
    }
}

#[inline(always)]
fn add(sum: &mut [f32; LANES], errors: &Errors, factor: f32) {
    for (sum, error) in sum.iter_mut().zip(errors) {
        *sum += error * factor;
    }
}

#[inline(always)]
fn subtract(weights: &mut [f32; LANES], errors: &Errors, factor: f32) {
    for (weight, error) in weights.iter_mut().zip(errors) {
        *weight -= error * factor;
    }
}

//! Rows of integers as the kernels read them.

use super::Panels;
use super::panels::Span;

/// The integers of a layer's input, less their zero point, laid out for its weights.
#[derive(Debug, Clone)]
pub struct Rows {
    numbers: Vec<i16>,
    /// Numbers from one row to the next: whole pairs.
    width: usize,
    scales: Vec<f32>,
    /// For each row and span the sum of its integers; none where no zero point asks for it.
    totals: Vec<i32>,
    spans: Vec<Span>,
}

impl Rows {
    /// Lays out rows of integers, row after row without gaps, for `panels`; `scales` says what one stands for in each
    /// row.
    pub fn new(panels: &Panels, numbers: Vec<i16>, scales: Vec<f32>) -> Self {
        let spans = panels.spans();
        let width = 2 * panels.pairs();
        let numbers = if width == panels.inputs() { numbers } else { with_gaps(panels, &numbers) };
        let mut totals = Vec::new();
        if panels.has_zero_points() {
            for row in numbers.chunks(width.max(1)) {
                let span = |pairs: &std::ops::Range<usize>| row.get(2 * pairs.start..2 * pairs.end).unwrap_or_default();
                totals.extend(spans.iter().map(|of| span(&of.pairs).iter().map(|&x| i32::from(x)).sum::<i32>()));
            }
        }
        Self { numbers, width, scales, totals, spans: spans.to_vec() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Whether they are laid out as these panels read them.
    pub(crate) fn suit(&self, panels: &Panels) -> bool {
        self.spans == panels.spans() && (!panels.has_zero_points() || !self.totals.is_empty())
    }

    /// The pairs of a row.
    #[inline(always)]
    pub(super) fn pairs(&self, row: usize) -> &[[i16; 2]] {
        self.numbers.get(row * self.width..(row + 1) * self.width).unwrap_or_default().as_chunks().0
    }

    /// What one integer stands for in a row.
    #[inline(always)]
    pub(super) fn scale(&self, row: usize) -> f32 {
        self.scales.get(row).copied().unwrap_or(0.0)
    }

    /// The sum of a row's integers in a span.
    #[inline(always)]
    pub(super) fn total(&self, row: usize, span: usize) -> i32 {
        self.totals.get(row * self.spans.len() + span).copied().unwrap_or(0)
    }
}

/// Each span from the start of a pair, with a zero after it where it ends within one.
fn with_gaps(panels: &Panels, numbers: &[i16]) -> Vec<i16> {
    let mut found = Vec::with_capacity(numbers.len() / panels.inputs().max(1) * 2 * panels.pairs());
    for row in numbers.chunks(panels.inputs().max(1)) {
        for span in panels.spans() {
            found.extend_from_slice(row.get(span.inputs.clone()).unwrap_or_default());
            if !span.inputs.len().is_multiple_of(2) {
                found.push(0);
            }
        }
    }
    found
}

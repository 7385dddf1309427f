//! Rows of integers as the kernels read them.

use super::Panels;
use super::panels::Span;

/// The integers of a layer's input, less their zero point, laid out for its weights.
#[derive(Debug, Clone)]
pub struct Rows {
    numbers: Numbers,
    /// Numbers from one row to the next: whole units.
    width: usize,
    scales: Vec<f32>,
    /// For each row and span the sum of its integers; none where no zero point asks for it.
    totals: Vec<i32>,
    spans: Vec<Span>,
    offset: Option<i16>,
}

#[derive(Debug, Clone)]
enum Numbers {
    Wide(Vec<i16>),
    Bytes(Vec<u8>),
}

impl Rows {
    /// Lays out rows of integers, row after row without gaps, for `panels`; `scales` says what one stands for in each
    /// row.
    pub fn new(panels: &Panels, numbers: Vec<i16>, scales: Vec<f32>) -> Self {
        let spans = panels.spans();
        let mut totals = Vec::new();
        if panels.has_zero_points() {
            for row in numbers.chunks(panels.inputs().max(1)) {
                let span = |span: &Span| row.get(span.inputs.clone()).unwrap_or_default();
                totals.extend(spans.iter().map(|of| span(of).iter().map(|&x| i32::from(x)).sum::<i32>()));
            }
        }
        let width = panels.unit() * panels.units();
        let gapless = width == panels.inputs();
        let numbers = match panels.offset() {
            None if gapless => Numbers::Wide(numbers),
            None => Numbers::Wide(with_gaps(panels, &numbers, |x| x)),
            Some(offset) if gapless => Numbers::Bytes(numbers.iter().map(|&x| byte(x, offset)).collect()),
            Some(offset) => Numbers::Bytes(with_gaps(panels, &numbers, |x| byte(x, offset))),
        };
        Self { numbers, width, scales, totals, spans: spans.to_vec(), offset: panels.offset() }
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
        let alike = self.spans == panels.spans() && self.offset == panels.offset();
        alike && (!panels.has_zero_points() || !self.totals.is_empty())
    }

    /// The units of a row of 16-bit integers.
    #[inline(always)]
    pub(super) fn pairs(&self, row: usize) -> &[[i16; 2]] {
        let Numbers::Wide(numbers) = &self.numbers else { return &[] };
        self.row(numbers, row).as_chunks().0
    }

    /// The units of a row of bytes.
    #[inline(always)]
    pub(super) fn bytes(&self, row: usize) -> &[[[u8; 4]; 2]] {
        let Numbers::Bytes(numbers) = &self.numbers else { return &[] };
        self.row(numbers, row).as_chunks().0.as_chunks().0
    }

    #[inline(always)]
    fn row<'a, T>(&self, numbers: &'a [T], row: usize) -> &'a [T] {
        numbers.get(row * self.width..(row + 1) * self.width).unwrap_or_default()
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

#[inline(always)]
fn byte(x: i16, offset: i16) -> u8 {
    x.wrapping_add(offset) as u8
}

/// Each span from the start of a unit, with zeros after it where it ends within one.
fn with_gaps<T: Copy + Default>(panels: &Panels, numbers: &[i16], number: impl Fn(i16) -> T) -> Vec<T> {
    let mut found = Vec::with_capacity(numbers.len() / panels.inputs().max(1) * panels.unit() * panels.units());
    for row in numbers.chunks(panels.inputs().max(1)) {
        for span in panels.spans() {
            let inputs = row.get(span.inputs.clone()).unwrap_or_default();
            found.extend(inputs.iter().map(|&x| number(x)));
            let missing = panels.unit() * span.units.len() - span.inputs.len();
            found.extend(std::iter::repeat_n(T::default(), missing));
        }
    }
    found
}

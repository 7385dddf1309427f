//! One task of a multiplication, and the plain kernel that the others agree with bit for bit.

use std::ops::Range;

use super::panels::{Bytes, Nibbles, Values, Wide};
use super::{PANEL, Panels, Rows};

/// With fewer rows, unpacking a panel's weights beforehand costs more than it saves.
const WIDEN_FROM: usize = 12;

/// Some rows by some panels, and where their outputs go.
pub(super) struct Job<'a> {
    pub(super) weights: &'a Panels,
    pub(super) x: &'a Rows,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) rows: Range<usize>,
    pub(super) panels: Range<usize>,
    /// Rows x channels of these rows and panels.
    pub(super) y: &'a mut [f32],
}

/// The weights of a panel for one unit of inputs.
pub(super) trait Weights: Copy {
    /// A unit of inputs.
    type Unit: Copy;

    /// The units of a row.
    fn units(rows: &Rows, row: usize) -> &[Self::Unit];

    /// Adds to the outputs of some rows and each channel the sum over all units, times the channel's scale.
    fn add<const R: usize>(kernel: impl Kernel, part: Part<'_, R, Self>, outputs: &mut Outputs<R>);
}

/// Weights for a pair of inputs, in either width.
pub(super) trait Pair: Weights<Unit = [i16; 2]> {
    /// In 16 bits.
    fn wide(self) -> Wide;
}

/// Weights for twice four inputs.
pub(super) trait Eight: Weights<Unit = [[u8; 4]; 2]> {
    /// In bytes.
    fn bytes(self) -> Bytes;
}

impl Weights for [i8; 2 * PANEL] {
    type Unit = [i16; 2];

    #[inline(always)]
    fn units(rows: &Rows, row: usize) -> &[Self::Unit] {
        rows.pairs(row)
    }

    #[inline(always)]
    fn add<const R: usize>(kernel: impl Kernel, part: Part<'_, R, Self>, outputs: &mut Outputs<R>) {
        kernel.pairs(part, outputs);
    }
}

impl Pair for [i8; 2 * PANEL] {
    #[inline(always)]
    fn wide(self) -> Wide {
        // A loop, since what `map` calls is compiled without wide vectors.
        let mut wide = [0; 2 * PANEL];
        for (wide, value) in wide.iter_mut().zip(&self) {
            *wide = i16::from(*value);
        }
        wide
    }
}

impl Weights for Wide {
    type Unit = [i16; 2];

    #[inline(always)]
    fn units(rows: &Rows, row: usize) -> &[Self::Unit] {
        rows.pairs(row)
    }

    #[inline(always)]
    fn add<const R: usize>(kernel: impl Kernel, part: Part<'_, R, Self>, outputs: &mut Outputs<R>) {
        kernel.pairs(part, outputs);
    }
}

impl Pair for Wide {
    #[inline(always)]
    fn wide(self) -> Wide {
        self
    }
}

impl Weights for Bytes {
    type Unit = [[u8; 4]; 2];

    #[inline(always)]
    fn units(rows: &Rows, row: usize) -> &[Self::Unit] {
        rows.bytes(row)
    }

    #[inline(always)]
    fn add<const R: usize>(kernel: impl Kernel, part: Part<'_, R, Self>, outputs: &mut Outputs<R>) {
        kernel.bytes(part, outputs);
    }
}

impl Eight for Bytes {
    #[inline(always)]
    fn bytes(self) -> Bytes {
        self
    }
}

impl Weights for Nibbles {
    type Unit = [[u8; 4]; 2];

    #[inline(always)]
    fn units(rows: &Rows, row: usize) -> &[Self::Unit] {
        rows.bytes(row)
    }

    #[inline(always)]
    fn add<const R: usize>(kernel: impl Kernel, part: Part<'_, R, Self>, outputs: &mut Outputs<R>) {
        kernel.bytes(part, outputs);
    }
}

impl Eight for Nibbles {
    #[inline(always)]
    fn bytes(self) -> Bytes {
        Nibbles::bytes(self)
    }
}

/// Some rows by a span of a panel. Rows and weights are equally long.
#[derive(Clone, Copy)]
pub(super) struct Part<'a, const R: usize, W: Weights> {
    pub(super) x: [&'a [W::Unit]; R],
    pub(super) weights: &'a [W],
    /// Where sums begin.
    pub(super) start: &'a [[i32; PANEL]; R],
    pub(super) scales: &'a [f32; PANEL],
}

/// For each of some rows the channels of a panel.
pub(super) type Outputs<const R: usize> = [[f32; PANEL]; R];

impl<const R: usize, W: Weights> Part<'_, R, W> {
    /// Scales sums and adds them to the outputs.
    fn finish(self, sums: &[[i32; PANEL]; R], outputs: &mut Outputs<R>) {
        for (outputs, sums) in outputs.iter_mut().zip(sums) {
            for ((output, &sum), scale) in outputs.iter_mut().zip(sums).zip(self.scales) {
                *output += sum as f32 * scale;
            }
        }
    }

    /// Whether rows and weights are equally long.
    #[inline(always)]
    pub(super) fn fits(&self) -> bool {
        self.x.iter().all(|row| row.len() == self.weights.len())
    }
}

/// Sums of products of rows and a panel of weights, for inputs of 16 bits and for bytes.
pub(super) trait Kernel: Copy {
    /// See [`Weights::add`].
    fn pairs<const R: usize, W: Pair>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>);

    /// See [`Weights::add`].
    fn bytes<const R: usize, W: Eight>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>);

    /// Takes all rows in tiles of the sizes that suit it.
    fn cover<W: Weights>(self, tiles: &mut Tiles<'_, '_, W>);
}

impl Job<'_> {
    /// Computes the outputs with the best kernel that the processor has.
    pub(super) fn run(self) {
        #[cfg(target_arch = "x86_64")]
        let Some(job) = super::x86::run(self) else { return };
        #[cfg(not(target_arch = "x86_64"))]
        let job = self;
        job.run_with(Plain);
    }

    #[inline(always)]
    pub(super) fn run_with(mut self, kernel: impl Kernel) {
        let weights = self.weights;
        let widen = self.rows.len() >= WIDEN_FROM;
        match weights.values() {
            Values::Pairs(all) if widen => self.widened(kernel, all, |pair| pair.wide()),
            Values::Pairs(all) => self.panels(kernel, all),
            Values::Bytes(all) => self.panels(kernel, all),
            Values::Nibbles(all) if widen => self.widened(kernel, all, |nibbles| nibbles.bytes()),
            Values::Nibbles(all) => self.panels(kernel, all),
        }
    }

    #[inline(always)]
    fn panels(&mut self, kernel: impl Kernel, all: &[impl Weights]) {
        for panel in self.panels.clone() {
            let weights = all.get(self.weights.units_of(panel)).unwrap_or_default();
            kernel.cover(&mut Tiles { row: 0, panel, weights, job: self });
        }
    }

    #[inline(always)]
    fn widened<W: Weights, V: Weights>(&mut self, kernel: impl Kernel, all: &[W], wide: impl Fn(W) -> V) {
        let mut widened = Vec::new();
        for panel in self.panels.clone() {
            let weights = all.get(self.weights.units_of(panel)).unwrap_or_default();
            widened.clear();
            widened.extend(weights.iter().map(|&weights| wide(weights)));
            kernel.cover(&mut Tiles { row: 0, panel, weights: &widened, job: self });
        }
    }
}

/// One panel of a job, whose rows are worked off.
pub(super) struct Tiles<'j, 'a, W> {
    row: usize,
    panel: usize,
    weights: &'j [W],
    job: &'j mut Job<'a>,
}

impl<W: Weights> Tiles<'_, '_, W> {
    /// Takes `R` rows at a time, while there are as many.
    #[inline(always)]
    pub(super) fn by<const R: usize>(&mut self, kernel: impl Kernel) {
        while self.row + R <= self.job.rows.len() {
            let outputs = self.outputs::<R>(kernel);
            self.store(outputs);
            self.row += R;
        }
    }

    /// Sums of all spans, scaled, for `R` rows.
    #[inline(always)]
    fn outputs<const R: usize>(&self, kernel: impl Kernel) -> [[f32; PANEL]; R] {
        let (x, first) = (self.job.x, self.job.rows.start + self.row);
        let rows: [&[W::Unit]; R] = std::array::from_fn(|row| W::units(x, first + row));
        let zero_points = self.job.weights.zero_points(self.panel);
        let lack = self.job.weights.lack(self.panel);
        let mut outputs = [[0.0; PANEL]; R];
        let spans = self.job.weights.spans().iter().zip(self.job.weights.scales(self.panel));
        for (index, (span, scales)) in spans.enumerate() {
            let part = rows.map(|row| row.get(span.units.clone()).unwrap_or_default());
            let weights = self.weights.get(span.units.clone()).unwrap_or_default();
            let mut start = lack.get(index).map_or([[0; PANEL]; R], |lack| [*lack; R]);
            if let Some(zero_points) = zero_points.get(index) {
                for (row, start) in start.iter_mut().enumerate() {
                    let total = x.total(first + row, index);
                    for (start, zero_point) in start.iter_mut().zip(zero_points) {
                        *start = start.wrapping_sub(zero_point.wrapping_mul(total));
                    }
                }
            }
            W::add(kernel, Part { x: part, weights, start: &start, scales }, &mut outputs);
        }
        outputs
    }

    #[inline(always)]
    fn store<const R: usize>(&mut self, outputs: [[f32; PANEL]; R]) {
        let first = (self.panel - self.job.panels.start) * PANEL;
        let bias = self.job.bias.and_then(|bias| bias.get(self.panel * PANEL..));
        let width = self.job.y.len() / self.job.rows.len().max(1);
        let x = self.job.x;
        let start = self.job.rows.start + self.row;
        let rows = self.job.y.chunks_exact_mut(width.max(1)).skip(self.row);
        for ((row, y), outputs) in rows.enumerate().zip(&outputs) {
            let scale = x.scale(start + row);
            let y = y.get_mut(first..).unwrap_or_default();
            match (bias, y.first_chunk_mut::<PANEL>()) {
                (Some(bias), Some(y)) if bias.len() >= PANEL => {
                    for ((y, output), bias) in y.iter_mut().zip(outputs).zip(bias) {
                        *y = output * scale + bias;
                    }
                }
                _ => finish(y, outputs, scale, bias),
            }
        }
    }
}

/// The outputs of a panel that is not whole, or has no bias.
#[inline(always)]
fn finish(y: &mut [f32], outputs: &[f32; PANEL], scale: f32, bias: Option<&[f32]>) {
    for (channel, (y, output)) in y.iter_mut().zip(outputs).enumerate() {
        let bias = bias.and_then(|bias| bias.get(channel)).copied();
        *y = bias.map_or(output * scale, |bias| output * scale + bias);
    }
}

/// For every processor.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Kernel for Plain {
    fn pairs<const R: usize, W: Pair>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        let mut sums = *part.start;
        for (sums, x) in sums.iter_mut().zip(part.x) {
            for (pair, weights) in x.iter().zip(part.weights) {
                let weights = weights.wide();
                for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<2>().0) {
                    let products = pair.iter().zip(weights).map(|(x, weight)| i32::from(*x) * i32::from(*weight));
                    *sum = products.fold(*sum, i32::wrapping_add);
                }
            }
        }
        part.finish(&sums, outputs);
    }

    fn bytes<const R: usize, W: Eight>(self, part: Part<'_, R, W>, outputs: &mut Outputs<R>) {
        let mut sums = *part.start;
        for (sums, x) in sums.iter_mut().zip(part.x) {
            for (fours, weights) in x.iter().zip(part.weights).flat_map(|(x, weights)| x.iter().zip(weights.bytes())) {
                for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<4>().0) {
                    let products = fours.iter().zip(weights).map(|(x, weight)| i32::from(*x) * i32::from(*weight));
                    *sum = products.fold(*sum, i32::wrapping_add);
                }
            }
        }
        part.finish(&sums, outputs);
    }

    fn cover<W: Weights>(self, tiles: &mut Tiles<'_, '_, W>) {
        tiles.by::<1>(self);
    }
}

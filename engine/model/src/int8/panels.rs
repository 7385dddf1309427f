//! Weights as the kernels read them.

use std::ops::Range;

use super::PANEL;
use crate::quantized::QuantizedWeight;

/// Packed weights of a layer.
#[derive(Debug, Clone)]
pub struct Panels {
    outputs: usize,
    inputs: usize,
    spans: Vec<Span>,
    /// For each panel all pairs of inputs: input 2i and 2i + 1 of the first channel, of the second, ...
    values: Vec<[i8; 2 * PANEL]>,
    /// For each panel and span the scales of its channels.
    scales: Vec<[f32; PANEL]>,
    /// As many zero points; none where all are zero.
    zero_points: Vec<[i32; PANEL]>,
}

/// Inputs that share a scale, few enough that their sum is exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// The inputs.
    pub(super) inputs: Range<usize>,
    /// Where their pairs lie in a row that is laid out.
    pub(super) pairs: Range<usize>,
    group: usize,
}

impl Panels {
    /// Packs a weight for inputs whose integers are at most `largest` in magnitude.
    pub fn new(weight: &QuantizedWeight, largest: usize) -> Self {
        let mut packed = Self {
            outputs: weight.outputs(),
            inputs: weight.inputs(),
            spans: spans(weight, largest),
            values: Vec::new(),
            scales: Vec::new(),
            zero_points: Vec::new(),
        };
        for first in (0..packed.outputs).step_by(PANEL) {
            let channels = first..packed.outputs.min(first + PANEL);
            for span in &packed.spans {
                let (scales, zero_points) = parameters(weight, &channels, span.group);
                packed.scales.push(scales);
                packed.zero_points.push(zero_points);
                packed.values.extend(pairs(weight, &channels, span));
            }
        }
        if packed.zero_points.iter().flatten().all(|&zero_point| zero_point == 0) {
            packed.zero_points.clear();
        }
        packed
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Inputs of a channel.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The numbers that its integers stand for, row after row.
    pub(crate) fn numbers(&self) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(self.outputs * self.inputs);
        for channel in 0..self.outputs {
            let (panel, place) = (channel / PANEL, channel % PANEL);
            for (number, span) in self.spans.iter().enumerate() {
                let of = |found: Option<&i32>| found.copied().unwrap_or(0);
                let zero_point = of(self.zero_points(panel).get(number).and_then(|zeros| zeros.get(place)));
                let scale = self.scales(panel).get(number).and_then(|scales| scales.get(place)).copied().unwrap_or(0.0);
                let pairs = self.values(panel).get(span.pairs.clone()).unwrap_or_default();
                let values = pairs.iter().flat_map(|pairs| pairs.iter().skip(2 * place).take(2));
                let number = |value: &i8| (i32::from(*value) - zero_point) as f32 * scale;
                numbers.extend(values.take(span.inputs.len()).map(number));
            }
        }
        numbers
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Pairs of one row that is laid out.
    pub(super) fn pairs(&self) -> usize {
        self.spans.last().map_or(0, |span| span.pairs.end)
    }

    /// The integers of a panel.
    #[inline(always)]
    pub(super) fn values(&self, panel: usize) -> &[[i8; 2 * PANEL]] {
        self.values.get(panel * self.pairs()..(panel + 1) * self.pairs()).unwrap_or_default()
    }

    /// The scales of a panel, by span.
    #[inline(always)]
    pub(super) fn scales(&self, panel: usize) -> &[[f32; PANEL]] {
        self.scales.get(panel * self.spans.len()..(panel + 1) * self.spans.len()).unwrap_or_default()
    }

    /// The zero points of a panel, by span; none where all are zero.
    #[inline(always)]
    pub(super) fn zero_points(&self, panel: usize) -> &[[i32; PANEL]] {
        self.zero_points.get(panel * self.spans.len()..(panel + 1) * self.spans.len()).unwrap_or_default()
    }

    /// Whether sums depend on zero points of weights, and so on the sum of each row.
    pub(super) fn has_zero_points(&self) -> bool {
        !self.zero_points.is_empty()
    }
}

/// The inputs that share a scale, in spans whose sums are exact for inputs of up to a magnitude.
fn spans(weight: &QuantizedWeight, largest: usize) -> Vec<Span> {
    let (inputs, size) = (weight.inputs(), weight.group());
    let bits = weight.scheme.bits.clamp(2, 8);
    let most = if weight.scheme.symmetric { 1 << (bits - 1) } else { (1 << bits) - 1 };
    // Even, so that only the last span of a group may end within a pair.
    let longest = (i32::MAX as usize / (largest.max(1) * most)).max(2) & !1;
    let mut spans = Vec::new();
    let mut pair = 0;
    for (group, start) in (0..inputs).step_by(size).enumerate() {
        let end = inputs.min(start + size);
        for from in (start..end).step_by(longest) {
            let inputs = from..end.min(from + longest);
            let pairs = pair..pair + inputs.len().div_ceil(2);
            pair = pairs.end;
            spans.push(Span { inputs, pairs, group });
        }
    }
    spans
}

/// Scales and zero points of some channels; 0 for channels that a panel lacks.
fn parameters(weight: &QuantizedWeight, channels: &Range<usize>, group: usize) -> ([f32; PANEL], [i32; PANEL]) {
    let (mut scales, mut zero_points) = ([0.0; PANEL], [0; PANEL]);
    for ((scale, zero_point), channel) in scales.iter_mut().zip(&mut zero_points).zip(channels.clone()) {
        let found = weight.parameters(channel, group);
        *scale = found.0;
        *zero_point = i32::from(found.1);
    }
    (scales, zero_points)
}

fn pairs(weight: &QuantizedWeight, channels: &Range<usize>, span: &Span) -> Vec<[i8; 2 * PANEL]> {
    let mut found = vec![[0; 2 * PANEL]; span.pairs.len()];
    for (place, channel) in channels.clone().enumerate() {
        let row = weight.row(channel).get(span.inputs.clone()).unwrap_or_default();
        for (panel, pair) in found.iter_mut().zip(row.chunks(2)) {
            panel.iter_mut().skip(2 * place).zip(pair).for_each(|(packed, value)| *packed = *value);
        }
    }
    found
}

//! Weights as the kernels read them.

use std::ops::Range;

use super::PANEL;
use crate::quantized::QuantizedWeight;

/// Most bits of a weight whose products with a byte, two and two, fit 16 bits.
const BYTE_BITS: u8 = 7;

/// Most bits of a weight of which two fit a byte.
const NIBBLE_BITS: u8 = 4;

/// Inputs of a unit of the byte layouts; no span is cut within one.
const UNIT: usize = 8;

/// The integers that a layer's inputs can be, less their zero point: from `lowest`, at most 0, to `highest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inputs {
    /// The smallest.
    pub lowest: i32,
    /// The largest.
    pub highest: i32,
}

/// Packed weights of a layer.
#[derive(Debug, Clone)]
pub struct Panels {
    outputs: usize,
    inputs: usize,
    spans: Vec<Span>,
    values: Values,
    /// For each panel and span the scales of its channels.
    scales: Vec<[f32; PANEL]>,
    /// As many zero points; none where all are zero.
    zero_points: Vec<[i32; PANEL]>,
    /// As many sums of weights times what makes inputs bytes, negated; none where inputs are no bytes.
    lack: Vec<[i32; PANEL]>,
    /// What is added to inputs to make bytes of them.
    offset: Option<i16>,
}

/// For each panel all units of inputs, and in a unit the channels one after the other.
#[derive(Debug, Clone)]
pub(super) enum Values {
    /// Two inputs of a channel, for inputs of 16 bits.
    Pairs(Vec<[i8; 2 * PANEL]>),
    /// Twice four inputs of a channel, for inputs that are bytes.
    Bytes(Vec<Bytes>),
    /// The same, the second four in the upper halves of bytes; all moved by 8.
    Nibbles(Vec<Nibbles>),
}

/// Two inputs of each channel of a panel, in 16 bits.
pub(super) type Wide = [i16; 2 * PANEL];
/// Eight inputs of each channel of a panel.
pub(super) type Bytes = [[i8; 4 * PANEL]; 2];

/// Eight inputs of each channel of a panel, two in a byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nibbles(pub(super) [u8; 4 * PANEL]);

/// Inputs that share a scale, few enough that their sum is exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    /// The inputs.
    pub(super) inputs: Range<usize>,
    /// Where their units lie in a row that is laid out.
    pub(super) units: Range<usize>,
    group: usize,
}

impl Inputs {
    fn largest(self) -> usize {
        self.highest.max(self.lowest.saturating_neg()).max(1) as usize
    }

    /// What makes bytes of them, where that can be.
    fn offset(self) -> Option<i16> {
        let bytes = self.lowest <= 0 && self.highest - self.lowest <= i32::from(u8::MAX);
        if bytes { i16::try_from(-self.lowest).ok() } else { None }
    }
}

impl Panels {
    /// Packs a weight for such inputs.
    pub fn new(weight: &QuantizedWeight, inputs: Inputs) -> Self {
        let bits = weight.scheme.bits;
        let offset = inputs.offset().filter(|_| bits <= BYTE_BITS || super::multiplies_bytes_exactly());
        let values = match offset {
            None => Values::Pairs(Vec::new()),
            Some(_) if bits <= NIBBLE_BITS => Values::Nibbles(Vec::new()),
            Some(_) => Values::Bytes(Vec::new()),
        };
        let mut packed = Self {
            outputs: weight.outputs(),
            inputs: weight.inputs(),
            spans: spans(weight, inputs.largest(), values.unit()),
            values,
            scales: Vec::new(),
            zero_points: Vec::new(),
            lack: Vec::new(),
            offset,
        };
        for first in (0..packed.outputs).step_by(PANEL) {
            let channels = first..packed.outputs.min(first + PANEL);
            for span in &packed.spans {
                let (scales, zero_points) = parameters(weight, &channels, span.group);
                packed.scales.push(scales);
                packed.zero_points.push(zero_points);
                packed.lack.extend(offset.map(|offset| lack(weight, &channels, span, offset)));
                packed.values.extend(weight, &channels, span);
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
                let units = panel * self.units() + span.units.start..panel * self.units() + span.units.end;
                let values = units.flat_map(|unit| self.values.of(unit, place));
                let number = |value: i8| (i32::from(value) - zero_point) as f32 * scale;
                numbers.extend(values.take(span.inputs.len()).map(number));
            }
        }
        numbers
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Units of one row that is laid out.
    pub(super) fn units(&self) -> usize {
        self.spans.last().map_or(0, |span| span.units.end)
    }

    /// Inputs of a unit.
    pub(super) fn unit(&self) -> usize {
        self.values.unit()
    }

    /// What is added to inputs to make bytes of them, if they are bytes.
    pub(super) fn offset(&self) -> Option<i16> {
        self.offset
    }

    #[inline(always)]
    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The units of a panel among those of all panels.
    #[inline(always)]
    pub(super) fn units_of(&self, panel: usize) -> Range<usize> {
        panel * self.units()..(panel + 1) * self.units()
    }

    /// The scales of a panel, by span.
    #[inline(always)]
    pub(super) fn scales(&self, panel: usize) -> &[[f32; PANEL]] {
        self.by_span(&self.scales, panel)
    }

    /// The zero points of a panel, by span; none where all are zero.
    #[inline(always)]
    pub(super) fn zero_points(&self, panel: usize) -> &[[i32; PANEL]] {
        self.by_span(&self.zero_points, panel)
    }

    /// What sums with bytes lack in a panel, by span; none where inputs are no bytes.
    #[inline(always)]
    pub(super) fn lack(&self, panel: usize) -> &[[i32; PANEL]] {
        self.by_span(&self.lack, panel)
    }

    #[inline(always)]
    fn by_span<'a, T>(&self, all: &'a [T], panel: usize) -> &'a [T] {
        all.get(panel * self.spans.len()..(panel + 1) * self.spans.len()).unwrap_or_default()
    }

    /// Whether sums depend on zero points of weights, and so on the sum of each row.
    pub(super) fn has_zero_points(&self) -> bool {
        !self.zero_points.is_empty()
    }
}

impl Values {
    /// Inputs of a unit.
    fn unit(&self) -> usize {
        match self {
            Self::Pairs(_) => 2,
            Self::Bytes(_) | Self::Nibbles(_) => UNIT,
        }
    }

    /// Adds the units of some channels and a span.
    fn extend(&mut self, weight: &QuantizedWeight, channels: &Range<usize>, span: &Span) {
        let unit = self.unit();
        let value = |place: usize, input: usize| {
            let channel = Some(channels.start + place).filter(|channel| channels.contains(channel));
            let input = Some(span.inputs.start + input).filter(|input| span.inputs.contains(input));
            let row = channel.map(|channel| weight.row(channel)).unwrap_or_default();
            input.and_then(|input| row.get(input)).copied().unwrap_or(0)
        };
        let four = |first: usize| std::array::from_fn(|at| value(at / 4, first + at % 4));
        for first in (0..span.units.len()).map(|index| index * unit) {
            match self {
                Self::Pairs(all) => all.push(std::array::from_fn(|at| value(at / 2, first + at % 2))),
                Self::Bytes(all) => all.push([four(first), four(first + 4)]),
                Self::Nibbles(all) => all.push(Nibbles::new([four(first), four(first + 4)])),
            }
        }
    }

    /// The values of a channel in a unit.
    fn of(&self, unit: usize, place: usize) -> Vec<i8> {
        match self {
            Self::Pairs(all) => all.get(unit).into_iter().flatten().skip(2 * place).take(2).copied().collect(),
            Self::Bytes(all) => all.get(unit).map_or(Vec::new(), |unit| channel(unit, place)),
            Self::Nibbles(all) => all.get(unit).map_or(Vec::new(), |unit| channel(&unit.bytes(), place)),
        }
    }
}

fn channel(unit: &Bytes, place: usize) -> Vec<i8> {
    unit.iter().flat_map(|four| four.iter().skip(4 * place).take(4)).copied().collect()
}

impl Nibbles {
    fn new([first, second]: Bytes) -> Self {
        let nibble = |value: i8| (value + 8) as u8 & 15;
        Self(std::array::from_fn(|at| {
            let of = |four: &[i8; 4 * PANEL]| four.get(at).copied().map_or(0, nibble);
            of(&first) | of(&second) << 4
        }))
    }

    /// One value in a byte.
    #[inline(always)]
    pub(super) fn bytes(self) -> Bytes {
        // A loop, since what `map` calls is compiled without wide vectors.
        let [mut first, mut second] = [[0; 4 * PANEL]; 2];
        for ((first, second), byte) in first.iter_mut().zip(&mut second).zip(&self.0) {
            *first = (byte & 15) as i8 - 8;
            *second = (byte >> 4) as i8 - 8;
        }
        [first, second]
    }
}

/// The inputs that share a scale, in spans whose sums are exact for inputs of up to a magnitude.
fn spans(weight: &QuantizedWeight, largest: usize, unit: usize) -> Vec<Span> {
    let (inputs, size) = (weight.inputs(), weight.group());
    let bits = weight.scheme.bits.clamp(2, 8);
    let most = if weight.scheme.symmetric { 1 << (bits - 1) } else { (1 << bits) - 1 };
    // Whole units, so that only the last span of a group may end within one.
    let longest = (i32::MAX as usize / (largest * most)).max(UNIT) / UNIT * UNIT;
    let mut spans = Vec::new();
    let mut first = 0;
    for (group, start) in (0..inputs).step_by(size).enumerate() {
        let end = inputs.min(start + size);
        for from in (start..end).step_by(longest) {
            let inputs = from..end.min(from + longest);
            let units = first..first + inputs.len().div_ceil(unit);
            first = units.end;
            spans.push(Span { inputs, units, group });
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

/// What sums of some channels lack when `offset` is added to each input of a span.
fn lack(weight: &QuantizedWeight, channels: &Range<usize>, span: &Span, offset: i16) -> [i32; PANEL] {
    let mut found = [0; PANEL];
    for (sum, channel) in found.iter_mut().zip(channels.clone()) {
        let values = weight.row(channel).get(span.inputs.clone()).unwrap_or_default();
        *sum = values.iter().map(|&value| i32::from(value)).sum::<i32>().wrapping_mul(-i32::from(offset));
    }
    found
}

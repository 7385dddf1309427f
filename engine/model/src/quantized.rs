//! Quantized weights: packed integers with scales and zero points, what they cost on disk, and how they run.

mod activation;
pub(crate) mod config;
pub(crate) mod packing;
mod rounding;
mod run;
mod window;

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::parts::rows_at_once;

pub use activation::{ActivationScheme, FixedInput, InputForm, InputRange};
pub use run::IntegerWeight;
pub(crate) use run::SharedInput;
pub use window::patches;

/// Which weights share a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Granularity {
    /// One scale for the whole tensor.
    Tensor,
    /// One scale for each output channel (row).
    Channel,
    /// One scale for this many consecutive inputs of each output channel.
    Group(usize),
}

/// How a weight is quantized. Values: q = clamp(round(w / scale) + zero_point).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightScheme {
    /// Bits of one weight, 2 to 8.
    pub bits: u8,
    /// Symmetric: no zero point, signed range. Asymmetric: with a zero point for each scale.
    pub symmetric: bool,
    /// Which weights share a scale.
    pub granularity: Granularity,
}

/// A quantized matrix (or convolution kernel, its last three dimensions flattened to inputs).
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizedWeight {
    /// The float tensor's shape: [out, in] or [out, in, kernel, kernel].
    pub shape: Vec<usize>,
    /// How it is quantized.
    pub scheme: WeightScheme,
    /// out x in integers, signed (symmetric: -2^(b-1)..2^(b-1)-1; asymmetric: the same range, shifted).
    pub values: Vec<i8>,
    /// out x groups scales (1 for a whole tensor, out for channels).
    pub scales: Vec<f32>,
    /// As many zero points as scales; empty when symmetric.
    pub zero_points: Vec<i8>,
    /// How the layer's input is quantized: with it the layer runs in integers.
    pub activation: Option<ActivationScheme>,
}

impl Granularity {
    /// How many scales a matrix of `outputs` rows and `inputs` columns has.
    pub fn scales(self, outputs: usize, inputs: usize) -> usize {
        match self {
            Granularity::Tensor => 1,
            Granularity::Channel => outputs,
            Granularity::Group(size) => outputs.saturating_mul(inputs.div_ceil(size.max(1))),
        }
    }
}

impl WeightScheme {
    /// The smallest integer of a weight.
    pub fn lowest(self) -> i8 {
        (-(1_i16 << (self.bits.clamp(2, 8) - 1))) as i8
    }

    /// The largest integer of a weight.
    pub fn highest(self) -> i8 {
        ((1_i16 << (self.bits.clamp(2, 8) - 1)) - 1) as i8
    }

    /// Checks that the scheme suits a matrix of `inputs` columns.
    pub(crate) fn check(self, inputs: usize) -> std::result::Result<(), String> {
        if !(2..=8).contains(&self.bits) {
            return Err(format!("it has {} bits, expected 2 to 8", self.bits));
        }
        match self.granularity {
            Granularity::Group(size) if !inputs.is_multiple_of(size) => {
                Err(format!("groups of {size} do not divide its {inputs} inputs"))
            }
            _ => Ok(()),
        }
    }
}

impl QuantizedWeight {
    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Inputs of one output channel.
    pub fn inputs(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// How many consecutive inputs share a scale.
    pub(crate) fn group(&self) -> usize {
        match self.scheme.granularity {
            Granularity::Tensor | Granularity::Channel => self.inputs().max(1),
            Granularity::Group(size) => size.max(1),
        }
    }

    /// Scale and zero point of the `group`th group of an output channel.
    pub(crate) fn parameters(&self, output: usize, group: usize) -> (f32, i16) {
        let index = match self.scheme.granularity {
            Granularity::Tensor => 0,
            Granularity::Channel => output,
            Granularity::Group(size) => output * (self.inputs() / size.max(1)) + group,
        };
        let zero_point = self.zero_points.get(index).copied().unwrap_or(0);
        (self.scales.get(index).copied().unwrap_or(0.0), i16::from(zero_point))
    }

    /// The integers of one output channel.
    pub(crate) fn row(&self, output: usize) -> &[i8] {
        let inputs = self.inputs();
        self.values.get(output * inputs..(output + 1) * inputs).unwrap_or_default()
    }

    /// The numbers that some output channels stand for, row after row.
    pub(crate) fn dequantize_rows(&self, outputs: Range<usize>) -> Vec<f32> {
        let mut numbers = Vec::with_capacity(outputs.len() * self.inputs());
        for output in outputs {
            for (group, values) in self.row(output).chunks(self.group()).enumerate() {
                let (scale, zero_point) = self.parameters(output, group);
                numbers.extend(values.iter().map(|&value| f32::from(i16::from(value) - zero_point) * scale));
            }
        }
        numbers
    }

    /// Shows the numbers that the integers stand for, row-major, some at a time.
    pub fn in_parts(&self, see: &mut dyn FnMut(&[f32])) {
        for rows in rows_at_once(self.outputs(), self.inputs()) {
            see(&self.dequantize_rows(rows));
        }
    }

    /// The float tensor that the integers stand for: (q - zero_point) * scale.
    ///
    /// # Errors
    /// When the parts do not fit each other.
    pub fn dequantize(&self) -> Result<Tensor> {
        self.check().map_err(ModelError::Unsupported)?;
        let numbers = self.dequantize_rows(0..self.outputs());
        Ok(Tensor::from_vec(numbers, self.shape.as_slice(), &Device::Cpu)?)
    }

    /// Rounds a float tensor (any shape with the output channel first) to the nearest values of `scheme`, halves to
    /// even, with the given scales and zero points. Where a scale is zero every value is the zero point.
    ///
    /// # Errors
    /// When the scheme does not fit the shape (a group size that does not divide the inputs), scales or zero points
    /// are too few, too many or out of range, or a weight is not finite.
    pub fn round(weight: &Tensor, scheme: WeightScheme, scales: &[f32], zero_points: &[i8]) -> Result<Self> {
        let numbers = weight.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Self::round_numbers(&numbers, weight.dims(), scheme, scales, zero_points)
    }

    /// As [`QuantizedWeight::round`], for plain numbers in row-major order.
    ///
    /// # Errors
    /// As [`QuantizedWeight::round`].
    pub fn round_numbers(
        numbers: &[f32],
        shape: &[usize],
        scheme: WeightScheme,
        scales: &[f32],
        zero_points: &[i8],
    ) -> Result<Self> {
        rounding::round(numbers, shape, scheme, scales, zero_points)
    }

    /// Checks that the parts fit each other and every number is one that the scheme can hold.
    pub(crate) fn check(&self) -> std::result::Result<(), String> {
        let (outputs, inputs) = (self.outputs(), self.inputs());
        self.scheme.check(inputs)?;
        self.activation.map_or(Ok(()), ActivationScheme::check)?;
        let scales = self.scheme.granularity.scales(outputs, inputs);
        let zero_points = if self.scheme.symmetric { 0 } else { scales };
        count("integers", self.values.len(), outputs.saturating_mul(inputs))?;
        count("scales", self.scales.len(), scales)?;
        count("zero points", self.zero_points.len(), zero_points)?;
        if let Some(scale) = self.scales.iter().find(|scale| !scale.is_finite() || **scale < 0.0) {
            return Err(format!("one of its scales is `{scale}`"));
        }
        let range = self.scheme.lowest()..=self.scheme.highest();
        match self.values.iter().chain(&self.zero_points).find(|value| !range.contains(value)) {
            Some(value) => Err(format!("`{value}` does not fit {} bits", self.scheme.bits)),
            None => Ok(()),
        }
    }
}

fn count(what: &str, found: usize, expected: usize) -> std::result::Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("it has {found} {what}, expected {expected}")) }
}

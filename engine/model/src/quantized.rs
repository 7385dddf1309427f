//! Quantized weights: packed integers with scales and zero points, what they cost on disk, and how they run.

use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;

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

/// How a layer's input is quantized, fixed at calibration: q = clamp(round(x / scale) + zero_point, 0, 255).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ActivationScheme {
    /// Step between two integers.
    pub scale: f32,
    /// The integer that stands for 0.0.
    pub zero_point: u8,
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
    /// The layer's input scheme: with it the layer runs in integers (W8A8).
    pub activation: Option<ActivationScheme>,
}

impl QuantizedWeight {
    /// The float tensor that the integers stand for.
    ///
    /// # Errors
    /// When candle refuses the shape.
    pub fn dequantize(&self) -> Result<Tensor> {
        todo!()
    }

    /// Rounds a float tensor (any shape with the output channel first) to the nearest values of `scheme`, with the
    /// given scales and zero points.
    ///
    /// # Errors
    /// When the scheme does not fit the shape (a group size that does not divide the inputs).
    pub fn round(weight: &Tensor, scheme: WeightScheme, scales: &[f32], zero_points: &[i8]) -> Result<Self> {
        let _ = (weight, scheme, scales, zero_points);
        todo!()
    }
}

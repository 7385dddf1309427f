//! Weights in ggml's blocks, as llama.cpp and GGUF files have them: 32 or 256 consecutive numbers of a row are small
//! integers with scales of their own.

mod grid;
mod kind;
mod matrix;
mod round;
mod search;
mod steps;

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};

use crate::error::{ModelError, Result};
use crate::parts::rows_at_once;

pub use kind::GgmlType;
pub use matrix::BlockMatrix;
pub use steps::{BlockStep, BlockSteps};

/// A matrix in blocks (or a convolution kernel, its last three dimensions flattened to inputs). Each row is a whole
/// number of blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockWeight {
    /// The float tensor's shape: [out, in] or [out, in, kernel, kernel].
    pub shape: Vec<usize>,
    /// The layout of its blocks.
    pub kind: GgmlType,
    /// The blocks, row after row, as a GGUF file holds them.
    pub bytes: Arc<[u8]>,
}

impl BlockWeight {
    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Inputs of one output channel.
    pub fn inputs(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Shows the numbers that the blocks stand for, in f32 and row-major, some at a time.
    ///
    /// # Errors
    /// When bytes and shape do not fit each other.
    pub fn in_parts(&self, see: &mut dyn FnMut(&[f32])) -> Result<()> {
        self.check().map_err(ModelError::Unsupported)?;
        let (kind, inputs) = (self.kind.candle(), self.inputs());
        let row = self.bytes.len() / self.outputs().max(1);
        for rows in rows_at_once(self.outputs(), inputs) {
            let bytes = self.bytes.get(rows.start * row..rows.end * row).unwrap_or_default();
            see(kind.from_data(Cow::Borrowed(bytes)).dequantize(rows.len() * inputs)?.as_slice::<f32>()?);
        }
        Ok(())
    }

    /// The float tensor that the blocks stand for, in f32.
    ///
    /// # Errors
    /// When bytes and shape do not fit each other.
    pub fn dequantize(&self) -> Result<Tensor> {
        Ok(self.candle()?.dequantize(&Device::Cpu)?.reshape(self.shape.as_slice())?)
    }

    /// The same as candle has it: out x in.
    fn candle(&self) -> Result<QTensor> {
        self.check().map_err(ModelError::Unsupported)?;
        let storage = QStorage::from_data(Cow::Borrowed(&self.bytes), &Device::Cpu, self.kind.candle())?;
        Ok(QTensor::new(storage, (self.outputs(), self.inputs()))?)
    }

    /// Checks that bytes and shape fit each other.
    pub(crate) fn check(&self) -> Result<(), String> {
        let expected = self.kind.size(&self.shape)?;
        match self.bytes.len() == expected {
            true => Ok(()),
            false => Err(format!("it has {} bytes, expected {expected} for {}", self.bytes.len(), self.kind.name())),
        }
    }
}

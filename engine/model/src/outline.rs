//! A model's outline: configuration, tensor names, shapes and storage, without one weight. Plans are made from it; it
//! predicts the packed file to the byte.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::config::{Config, Spec};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::outputs::Outputs;
use crate::quantized::{InputForm, WeightScheme};
use crate::sites::Site;
use crate::storage;
use crate::units::UnitGroup;

/// Everything about a checkpoint but its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Family and settings; `None` for a file of tensors with no known family.
    pub config: Option<Config>,
    /// Tensors by name.
    pub weights: BTreeMap<String, WeightOutline>,
    /// Raw rows to inputs.
    pub inputs: Option<Inputs>,
    /// Outputs to answers.
    pub outputs: Option<Outputs>,
    /// Whether the weights exist: a model from nothing has an outline before training builds it.
    pub built: bool,
}

/// One tensor without its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "storage", rename_all = "snake_case")]
pub enum WeightOutline {
    /// Plain numbers.
    Dense {
        /// "F32", "F16", "BF16", "I64", ... as in a safetensors header.
        dtype: String,
        /// Shape.
        shape: Vec<usize>,
        /// Zeros are a mask that later stages keep.
        masked: bool,
    },
    /// Packed integers with scales.
    Quantized {
        /// The float tensor's shape.
        shape: Vec<usize>,
        /// How it is quantized.
        scheme: WeightScheme,
        /// How the layer's input is quantized; `None` where it stays in floating point.
        activation: Option<InputForm>,
    },
}

impl WeightOutline {
    /// The float tensor's shape.
    pub fn shape(&self) -> &[usize] {
        match self {
            WeightOutline::Dense { shape, .. } | WeightOutline::Quantized { shape, .. } => shape,
        }
    }

    /// Bytes that it takes in a weights file, with scales, zero points and the word that says its shape.
    pub fn size(&self) -> u64 {
        storage::parts("", self).iter().fold(0, |sum, tensor| sum.saturating_add(tensor.size()))
    }
}

impl Outline {
    /// The outline of a model on disk, from headers only.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Checkpoint::open(path)?.outline())
    }

    /// Every linear and convolution, in forward order; empty when the family is unknown.
    ///
    /// # Errors
    /// When the tensors do not fit the configuration.
    pub fn sites(&self) -> Result<Vec<Site>> {
        crate::families::sites(self)
    }

    /// Every prunable structure, in forward order; empty when the family is unknown.
    ///
    /// # Errors
    /// When the tensors do not fit the configuration.
    pub fn units(&self) -> Result<Vec<UnitGroup>> {
        crate::families::units(self)
    }

    /// Most tokens of a text that the model reads; `None` where there is no limit, or it reads no texts.
    pub fn most_tokens(&self) -> Option<usize> {
        match &self.config.as_ref()?.spec {
            Spec::Bert(spec) => spec.most_tokens(&self.weights),
            _ => None,
        }
    }

    /// Size of the packed weights file (`model.safetensors`) in bytes, header included.
    pub fn file_size(&self) -> u64 {
        storage::file_size(&storage::layout(self))
    }

    /// Bytes of all weights as stored: packed integers, scales, zero points and shapes, without the file's header and
    /// the matrices of the inputs.
    pub fn weight_bytes(&self) -> u64 {
        storage::weight_bytes(&storage::layout(self))
    }

    /// Numbers in all weights (packed integers count as the floats they stand for; scales do not count).
    pub fn parameters(&self) -> u64 {
        self.weights.values().map(|weight| weight.shape().iter().product::<usize>() as u64).sum()
    }

    /// Multiply-accumulate operations for one input row; for one token of a model that reads tokens (its linear layers,
    /// see [`crate::families::macs`]).
    ///
    /// # Errors
    /// When the tensors do not fit the configuration.
    pub fn macs(&self) -> Result<u64> {
        crate::families::macs(self)
    }
}

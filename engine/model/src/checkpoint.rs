//! A checkpoint: configuration, named weights (read only when touched), inputs, outputs, and every other file of the
//! directory, carried through unchanged.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use crate::config::{Config, Spec};
use crate::error::{ModelError, Result};
use crate::inputs::Inputs;
use crate::outline::{Outline, WeightOutline};
use crate::outputs::Outputs;
use crate::quantized::QuantizedWeight;

/// A model: what passes take and give back. Cloning is cheap; tensors are shared until replaced.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: Option<Config>,
    inputs: Option<Inputs>,
    outputs: Option<Outputs>,
    weights: BTreeMap<String, Weight>,
}

/// One weight.
#[derive(Debug, Clone)]
pub enum Weight {
    /// Plain numbers; with `masked`, its zeros are a mask that later stages keep.
    Dense {
        /// The numbers.
        tensor: Tensor,
        /// Zeros stay zero.
        masked: bool,
    },
    /// Packed integers with scales.
    Quantized(QuantizedWeight),
}

impl Checkpoint {
    /// Opens a directory (config.json, model.safetensors or a sharded index, paring.json) or a single `.safetensors`
    /// file. Reads headers only; weights are memory-mapped.
    ///
    /// # Errors
    /// When a file is missing, truncated, or does not hold what its header says.
    pub fn open(path: &Path) -> Result<Self> {
        let _ = path;
        todo!()
    }

    /// A model from nothing: settings, no weights yet.
    pub fn unbuilt(spec: Spec, inputs: Inputs, outputs: Outputs) -> Self {
        let config = Config { spec, input: inputs.shape.clone(), output: outputs.width() };
        Self { config: Some(config), inputs: Some(inputs), outputs: Some(outputs), weights: BTreeMap::new() }
    }

    /// Writes a directory that [`Checkpoint::open`] and stock safetensors loaders open, through temporary files and
    /// renames. The bytes depend on the model alone.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let _ = directory;
        todo!()
    }

    /// The outline.
    pub fn outline(&self) -> Outline {
        let outline = |weight: &Weight| match weight {
            Weight::Dense { tensor, masked } => WeightOutline::Dense {
                dtype: tensor.dtype().as_str().to_uppercase(),
                shape: tensor.dims().to_vec(),
                masked: *masked,
            },
            Weight::Quantized(weight) => WeightOutline::Quantized {
                shape: weight.shape.clone(),
                scheme: weight.scheme,
                activation: weight.activation.is_some(),
            },
        };
        Outline {
            config: self.config.clone(),
            weights: self.weights.iter().map(|(name, weight)| (name.clone(), outline(weight))).collect(),
            inputs: self.inputs.clone(),
            outputs: self.outputs.clone(),
            built: self.is_built(),
        }
    }

    /// Whether weights exist.
    pub fn is_built(&self) -> bool {
        !self.weights.is_empty()
    }

    /// Family and settings.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Replaces the settings (after structured pruning, or when a student is made).
    pub fn set_config(&mut self, config: Config) {
        self.config = Some(config);
    }

    /// Raw rows to inputs.
    pub fn inputs(&self) -> Option<&Inputs> {
        self.inputs.as_ref()
    }

    /// Replaces the inputs.
    pub fn set_inputs(&mut self, inputs: Inputs) {
        self.inputs = Some(inputs);
    }

    /// Outputs to answers.
    pub fn outputs(&self) -> Option<&Outputs> {
        self.outputs.as_ref()
    }

    /// Names of all weights, sorted.
    pub fn names(&self) -> Vec<String> {
        self.weights.keys().cloned().collect()
    }

    /// The weight of that name, read now if it was not.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn weight(&self, name: &str) -> Result<Weight> {
        self.weights.get(name).cloned().ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })
    }

    /// The dense tensor of that name (dequantized if needed).
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        match self.weight(name)? {
            Weight::Dense { tensor, .. } => Ok(tensor),
            Weight::Quantized(weight) => weight.dequantize(),
        }
    }

    /// Sets a dense weight, keeping its mask flag if it has one.
    pub fn set_tensor(&mut self, name: &str, tensor: Tensor) {
        let masked = matches!(self.weights.get(name), Some(Weight::Dense { masked: true, .. }));
        self.set_weight(name, Weight::Dense { tensor, masked });
    }

    /// Marks the zeros of a dense weight as a mask that later stages keep, or takes the mark away.
    ///
    /// # Errors
    /// When there is no such weight, or it is quantized.
    pub fn set_masked(&mut self, name: &str, masked: bool) -> Result<()> {
        let Weight::Dense { tensor, .. } = self.weight(name)? else {
            return Err(ModelError::Quantized { name: name.to_owned() });
        };
        self.set_weight(name, Weight::Dense { tensor, masked });
        Ok(())
    }

    /// Takes a weight out of the model; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.weights.remove(name).is_some()
    }

    /// Sets a weight.
    pub fn set_weight(&mut self, name: &str, weight: Weight) {
        self.weights.insert(name.to_owned(), weight);
    }

    /// A digest (hex) of everything that decides what the model computes: settings, inputs, outputs, weights.
    ///
    /// # Errors
    /// When a weight cannot be read.
    pub fn digest(&self) -> Result<String> {
        todo!()
    }
}

//! A checkpoint: configuration, named weights (read only when touched), inputs, outputs, and every other file of the
//! directory, carried through unchanged.

mod digest;
mod entry;
mod gguf;
mod open;
mod paring;
mod save;
mod sparse;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::{Map, Value};

use crate::config::{Config, Spec};
use crate::depth;
use crate::error::{ModelError, Result};
use crate::ggml::BlockWeight;
use crate::inputs::Inputs;
use crate::outline::{Outline, WeightOutline};
use crate::outputs::Outputs;
use crate::quantized::QuantizedWeight;
use crate::rows::Rows;
use crate::sparse::SparseLayout;
use crate::table::Table;
use crate::text::{TOKENIZER, Tokenizer};
use entry::Entry;

/// A model: what passes take and give back. Cloning is cheap; tensors are shared until replaced.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: Option<Config>,
    inputs: Option<Inputs>,
    outputs: Option<Outputs>,
    weights: BTreeMap<String, Entry>,
    carried: Arc<Carried>,
}

/// What a directory holds beside the model, kept as it was.
#[derive(Debug, Clone, Default)]
struct Carried {
    /// Keys of config.json that are not the family's.
    settings: Map<String, Value>,
    /// config.json as read, when others wrote it.
    config_text: Option<Vec<u8>>,
    /// Other files: path in the directory, and where each lies now.
    files: BTreeMap<PathBuf, PathBuf>,
    /// Files that were made from the model's one file: path in the directory, and content.
    made: BTreeMap<PathBuf, Arc<[u8]>>,
    /// Why none of them is a tokenizer, where that is known.
    no_tokenizer: Option<String>,
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
    /// Blocks of integers as ggml has them.
    Blocks(BlockWeight),
}

impl Checkpoint {
    /// Opens a directory (config.json, model.safetensors or a sharded index, paring.json; or one GGUF file), a single
    /// safetensors file or a GGUF file. Reads headers only; weights are memory-mapped, and read when they are touched.
    ///
    /// A GGUF file has the settings, names and tokenizer of a Hugging Face directory once it is open, if its
    /// architecture is known; its weights are dequantized when they are touched.
    ///
    /// A directory that others wrote is read by its `model_type` where Paring has that family. One of another family
    /// opens as tensors without configuration; its config.json is carried through. Hidden files are not carried.
    ///
    /// # Errors
    /// When a file is missing, truncated, or does not hold what its header says.
    pub fn open(path: &Path) -> Result<Self> {
        open::open(path)
    }

    /// A model from nothing: settings, no weights yet.
    pub fn unbuilt(spec: Spec, inputs: Inputs, outputs: Outputs) -> Self {
        let config = Config { spec, input: inputs.shape.clone(), output: outputs.width() };
        Self {
            config: Some(config),
            inputs: Some(inputs),
            outputs: Some(outputs),
            weights: BTreeMap::new(),
            carried: Arc::default(),
        }
    }

    /// Writes a directory that [`Checkpoint::open`] and stock safetensors loaders open. Each file is written beside its
    /// place, synced and renamed into it; tensors pass through memory one by one. The bytes depend on the model alone.
    ///
    /// # Errors
    /// When a file cannot be written, or a weight that was not read yet cannot be read.
    pub fn save(&self, directory: &Path) -> Result<()> {
        save::save(self, directory, None)
    }

    /// The same, without the zeros of masked matrices. [`Checkpoint::open`] reads them back bit for bit.
    ///
    /// # Errors
    /// As [`Checkpoint::save`], and where the layout cannot hold a mask.
    pub fn save_sparse(&self, directory: &Path, layout: SparseLayout) -> Result<()> {
        save::save(self, directory, Some(layout))
    }

    /// The outline.
    pub fn outline(&self) -> Outline {
        Outline {
            config: self.config.clone(),
            weights: self.weights.iter().map(|(name, weight)| (name.clone(), weight.outline())).collect(),
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

    /// A key of config.json that no family reads.
    pub fn setting(&self, key: &str) -> Option<&Value> {
        self.carried.settings.get(key)
    }

    /// Sets a key of config.json that no family reads.
    pub(crate) fn set_setting(&mut self, key: &str, value: Value) {
        Arc::make_mut(&mut self.carried).settings.insert(key.to_owned(), value);
    }

    /// Raw rows to inputs.
    pub fn inputs(&self) -> Option<&Inputs> {
        self.inputs.as_ref()
    }

    /// Replaces the inputs.
    pub fn set_inputs(&mut self, inputs: Inputs) {
        self.inputs = Some(inputs);
    }

    /// Replaces the outputs.
    pub fn set_outputs(&mut self, outputs: Outputs) {
        self.outputs = Some(outputs);
    }

    /// Outputs to answers.
    pub fn outputs(&self) -> Option<&Outputs> {
        self.outputs.as_ref()
    }

    /// Raw rows as the network reads them.
    ///
    /// # Errors
    /// When the model does not say how it reads raw rows, has no tokenizer for texts, or the rows do not fit.
    pub fn read(&self, table: &Table) -> Result<Rows> {
        let unknown = || ModelError::Unsupported("the model does not say how it reads raw rows".to_owned());
        let inputs = self.inputs.as_ref().ok_or_else(unknown)?;
        if let Some((column, length)) = inputs.windows() {
            return Ok(Rows::Tokens(crate::text::windows(table, column, length)?));
        }
        match inputs.text() {
            None => Ok(Rows::Features(inputs.apply(table)?)),
            Some(text) => Ok(Rows::Tokens(self.tokenizer()?.rows(&text, table)?)),
        }
    }

    /// The model's tokenizer.
    ///
    /// # Errors
    /// When the model's directory has none, or it cannot be read.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let missing = || {
            let told = self.carried.no_tokenizer.clone();
            let reason = told.unwrap_or_else(|| format!("its directory holds no `{TOKENIZER}`"));
            ModelError::Unsupported(format!("the model has no tokenizer: {reason}"))
        };
        if let Some(text) = self.carried.made.get(Path::new(TOKENIZER)) {
            return Tokenizer::new(text, Path::new(TOKENIZER));
        }
        let path = self.carried.files.get(Path::new(TOKENIZER)).ok_or_else(missing)?;
        let unreadable = |source| ModelError::Io { action: "read", path: path.clone(), source };
        Tokenizer::new(&std::fs::read(path).map_err(unreadable)?, path)
    }

    /// The type that a weight has in the file it was opened from, where that is one that only GGUF files have: `Q4_1`.
    pub fn stored_type(&self, name: &str) -> Option<String> {
        self.weights.get(name).and_then(Entry::stored_type)
    }

    /// Shape and storage of a weight.
    pub fn weight_outline(&self, name: &str) -> Option<WeightOutline> {
        self.weights.get(name).map(Entry::outline)
    }

    /// Names of all weights, sorted.
    pub fn names(&self) -> Vec<String> {
        self.weights.keys().cloned().collect()
    }

    /// Paths, within the model's directory, of the files that are carried through unchanged.
    pub fn carried_files(&self) -> impl Iterator<Item = &Path> {
        self.carried.files.keys().chain(self.carried.made.keys()).map(PathBuf::as_path)
    }

    /// The weight of that name, read now if it was not.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn weight(&self, name: &str) -> Result<Weight> {
        self.entry(name)?.weight(name)
    }

    /// The dense tensor of that name in the type it is stored in (dequantized to f32 if needed).
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        match self.weight(name)? {
            Weight::Dense { tensor, .. } => Ok(tensor),
            Weight::Quantized(weight) => weight.dequantize(),
            Weight::Blocks(weight) => weight.dequantize(),
        }
    }

    /// The numbers of a dense weight in f32, row-major. Of a large file only this one copy lies in memory.
    ///
    /// # Errors
    /// When there is none, it is quantized, or it cannot be read.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>> {
        self.entry(name)?.floats(name)
    }

    /// Shows the numbers that a weight stands for, in f32 and row-major, some at a time: a large one passes through
    /// memory in parts.
    ///
    /// # Errors
    /// When there is none or it cannot be read.
    pub fn in_parts(&self, name: &str, see: &mut dyn FnMut(&[f32])) -> Result<()> {
        self.entry(name)?.in_parts(name, see)
    }

    /// Sets a dense weight, keeping its mask flag if it has one.
    pub fn set_tensor(&mut self, name: &str, tensor: Tensor) {
        let masked = self.weights.get(name).is_some_and(Entry::is_masked);
        self.set_weight(name, Weight::Dense { tensor, masked });
    }

    /// Marks the zeros of a dense weight as a mask that later stages keep, or takes the mark away.
    ///
    /// # Errors
    /// When there is no such weight, or it is quantized.
    pub fn set_masked(&mut self, name: &str, masked: bool) -> Result<()> {
        let missing = || ModelError::MissingTensor { name: name.to_owned() };
        match self.weights.get_mut(name).ok_or_else(missing)?.set_masked(masked) {
            true => Ok(()),
            false => Err(ModelError::Quantized { name: name.to_owned() }),
        }
    }

    /// Takes a weight out of the model; whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.weights.remove(name).is_some()
    }

    /// Renames the weights, without reading them; those without a new name go.
    pub(crate) fn rename(&mut self, new: &dyn Fn(&str) -> Option<String>) {
        self.weights = depth::rename(std::mem::take(&mut self.weights), new);
    }

    /// Sets a weight.
    pub fn set_weight(&mut self, name: &str, weight: Weight) {
        self.weights.insert(name.to_owned(), Entry::Memory(weight));
    }

    /// A digest (BLAKE3, hex) of everything that decides what the model computes: settings, inputs, outputs, weights.
    /// It is the same before a save and after the model is opened again.
    ///
    /// # Errors
    /// When a weight cannot be read.
    pub fn digest(&self) -> Result<String> {
        digest::digest(self)
    }

    /// Names of the weights that are not the same numbers in the same storage in both models, sorted.
    ///
    /// # Errors
    /// When a weight cannot be read.
    pub fn changed_tensors(&self, other: &Self) -> Result<Vec<String>> {
        digest::changed(self, other)
    }

    /// A model of nothing but some of the weights: no settings, inputs or outputs. Names that it does not have are left
    /// out.
    #[must_use]
    pub fn part(&self, names: &[String]) -> Self {
        let taken = |name: &String| Some((name.clone(), self.weights.get(name)?.clone()));
        Self::of_weights(names.iter().filter_map(taken).collect())
    }

    /// A model of nothing but plain tensors: no settings, inputs or outputs.
    pub fn of_tensors(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let dense = |(name, tensor)| (name, Entry::Memory(Weight::Dense { tensor, masked: false }));
        Self::of_weights(tensors.into_iter().map(dense).collect())
    }

    fn of_weights(weights: BTreeMap<String, Entry>) -> Self {
        Self { config: None, inputs: None, outputs: None, weights, carried: Arc::default() }
    }

    /// Takes the weights of another model in the place of those of the same names.
    pub fn adopt(&mut self, part: Self) {
        self.weights.extend(part.weights);
    }

    fn entry(&self, name: &str) -> Result<&Entry> {
        self.weights.get(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })
    }
}

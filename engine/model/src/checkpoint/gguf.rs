//! Opening a GGUF file: its settings, names and tokenizer take the form of a Hugging Face directory; and the way back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use serde_json::Value;

use super::entry::{Entry, FileWeight, bytes};
use super::paring::keys_of_others;
use super::{Carried, Checkpoint, Weight};
use crate::error::{ModelError, Result};
use crate::families::pretrained;
use crate::gguf::{self, Export, FORMAT, Gguf, Refusal};
use crate::outline::Outline;
use crate::storage::write_whole;
use crate::text::TOKENIZER;

/// A model of a GGUF file; `files` lie beside it and are carried through.
pub(super) fn open(path: &Path, files: BTreeMap<PathBuf, PathBuf>) -> Result<Checkpoint> {
    let Gguf { tensors, config: map, tokenizer, tokenizer_config } = gguf::open(path)?;
    let dense = |(name, tensor)| (name, Entry::File(FileWeight::dense(tensor)));
    let weights: BTreeMap<String, Entry> = tensors.into_iter().map(dense).collect();
    let known = weights.iter().map(|(name, weight)| (name.clone(), weight.outline())).collect();
    let malformed =
        |error: ModelError| ModelError::Malformed { path: path.to_owned(), format: FORMAT, reason: error.to_string() };
    let config = pretrained::read(&map, &known, &|_| Ok(None)).map_err(malformed)?;
    let (tokenizer, untold) = match tokenizer {
        Ok(text) => (Some(text), None),
        Err(reason) => (None, Some(reason)),
    };
    let made = [(TOKENIZER, tokenizer), ("tokenizer_config.json", tokenizer_config)];
    let made = made.into_iter().filter_map(|(name, text)| Some((PathBuf::from(name), Arc::from(text?)))).collect();
    let settings = if config.is_some() { keys_of_others(&map, config.as_ref())? } else { map };
    let carried = Carried { settings, config_text: None, files, made, no_tokenizer: untold };
    Ok(Checkpoint { config, inputs: None, outputs: None, weights, carried: Arc::new(carried) })
}

impl Checkpoint {
    /// Why this model, with the weights of `outline` (those of a later stage, or its own), cannot be a GGUF file that
    /// others load; nothing where it can. No weight is read.
    pub fn gguf_refusals(&self, outline: &Outline) -> Vec<Refusal> {
        Export::plan(self, outline, "").err().unwrap_or_default()
    }

    /// Writes a GGUF file (version 3) that calls the model `name`: settings, tokenizer and weights, blocks as they are.
    /// Float matrices keep their type; norms and biases have 32 bits. The file is written beside its place, synced and
    /// renamed into it; tensors pass through memory one by one. The bytes depend on the model and the name alone.
    ///
    /// Gives the number of tensors and the size of the file.
    ///
    /// # Errors
    /// When the model cannot be such a file, or it cannot be written.
    pub fn save_gguf(&self, path: &Path, name: &str) -> Result<(usize, u64)> {
        let refused = |refusals: Vec<Refusal>| {
            ModelError::Unsupported(refusals.into_iter().map(|refusal| refusal.reason).collect::<Vec<_>>().join("; "))
        };
        let export = Export::plan(self, &self.outline(), name).map_err(refused)?;
        let parts = path.parent().zip(path.file_name().and_then(std::ffi::OsStr::to_str));
        let (directory, file) =
            parts.ok_or_else(|| ModelError::Unsupported(format!("`{}` is no path of a file", path.display())))?;
        let unwritable = |source| ModelError::Io { action: "write", path: path.to_owned(), source };
        let content = |name: &str, kind: &'static str| self.bytes_as(name, kind);
        write_whole(directory, file, &mut |out| export.write(&content, out, &unwritable))?;
        Ok((export.tensors(), export.size()))
    }

    /// The bytes of a weight, floats in the named type.
    fn bytes_as(&self, name: &str, kind: &str) -> Result<Vec<u8>> {
        let dtype = match kind {
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            _ => DType::F32,
        };
        match self.weight(name)? {
            Weight::Blocks(weight) => Ok(weight.bytes.to_vec()),
            Weight::Dense { tensor, .. } => bytes(&tensor.to_dtype(dtype)?),
            Weight::Quantized(weight) => bytes(&weight.dequantize()?.to_dtype(dtype)?),
        }
    }

    /// A JSON file of the model's directory; `None` where it has none.
    pub(crate) fn carried_json(&self, name: &str) -> Result<Option<Value>> {
        let read = match (self.carried.made.get(Path::new(name)), self.carried.files.get(Path::new(name))) {
            (Some(text), _) => text.to_vec(),
            (None, Some(path)) => {
                std::fs::read(path).map_err(|source| ModelError::Io { action: "read", path: path.clone(), source })?
            }
            (None, None) => return Ok(None),
        };
        let malformed = |error: serde_json::Error| ModelError::Malformed {
            path: PathBuf::from(name),
            format: "JSON",
            reason: error.to_string(),
        };
        serde_json::from_slice(&read).map(Some).map_err(malformed)
    }
}

//! Opening a GGUF file: its settings, names and tokenizer take the form of a Hugging Face directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Entry, FileWeight};
use super::paring::keys_of_others;
use super::{Carried, Checkpoint};
use crate::error::{ModelError, Result};
use crate::families::pretrained;
use crate::gguf::{self, FORMAT, Gguf};
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

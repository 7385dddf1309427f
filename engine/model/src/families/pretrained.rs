//! Models that others trained: their config.json, tensors and files beside them make a configuration.

use serde_json::{Map, Value};

use super::survey::Known;
use super::{bert, llama};
use crate::config::{Config, Spec};
use crate::error::Result;

/// The configuration of a directory that others wrote; `None` when its family is none of ours. `file` gives the JSON
/// files of the directory by their path in it.
///
/// # Errors
/// When a key is missing or wrong, or the model computes something that its family here does not.
pub(crate) fn read(
    map: &Map<String, Value>,
    known: Known<'_>,
    file: &dyn Fn(&str) -> Result<Option<Value>>,
) -> Result<Option<Config>> {
    if let Some(spec) = bert::BertSpec::read(map, known, file)? {
        return Ok(Some(Config { input: Vec::new(), output: spec.output(known)?, spec: Spec::Bert(Box::new(spec)) }));
    }
    let Some(spec) = llama::LlamaSpec::read(map, known)? else { return Ok(None) };
    Ok(Some(Config { input: Vec::new(), output: spec.output(known)?, spec: Spec::Llama(Box::new(spec)) }))
}

/// Whether the `model_type` is one that [`read`] reads.
pub(crate) fn reads(map: &Map<String, Value>) -> bool {
    let known = ["bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "llama", "mistral", "qwen2", "qwen3"];
    map.get("model_type").and_then(Value::as_str).is_some_and(|found| known.contains(&found))
}

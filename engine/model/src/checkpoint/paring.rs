//! The JSON files of a model directory: paring.json, and config.json with the keys of others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Checkpoint;
use super::entry::Entry;
use crate::config::Config;
use crate::error::{ModelError, Result};
use crate::ggml::GgmlType;
use crate::inputs::Inputs;
use crate::outline::WeightOutline;
use crate::outputs::Outputs;
use crate::quantized::config::describe;

/// Version of paring.json.
pub(super) const FORMAT: u64 = 1;

/// Key of config.json that says how layers are quantized.
pub(super) const QUANTIZATION: &str = "quantization_config";

/// paring.json: what turns tensors into a model that reads raw rows.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Paring {
    /// Version of this file.
    pub(super) format: u64,
    /// Raw rows to inputs, but for matrices, which are tensors.
    #[serde(default)]
    pub(super) inputs: Option<Inputs>,
    /// Outputs to answers.
    #[serde(default)]
    pub(super) outputs: Option<Outputs>,
    /// Weights whose zeros are a mask.
    #[serde(default)]
    pub(super) masks: Vec<String>,
    /// Weights in blocks, whose bytes are tensors.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) blocks: BTreeMap<String, Blocks>,
}

/// What the bytes of a weight in blocks stand for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Blocks {
    /// The layout.
    #[serde(rename = "type")]
    pub(super) kind: GgmlType,
    /// The float tensor's shape.
    pub(super) shape: Vec<usize>,
}

impl Paring {
    /// What is to be written for a model.
    pub(super) fn of(model: &Checkpoint) -> Self {
        let masked = model.weights.iter().filter(|(_, weight)| weight.is_masked());
        Self {
            format: FORMAT,
            inputs: model.inputs.clone(),
            outputs: model.outputs.clone(),
            masks: masked.map(|(name, _)| name.clone()).collect(),
            blocks: model.weights.iter().filter_map(Blocks::of).collect(),
        }
    }

    /// Its text.
    pub(super) fn text(&self) -> Result<Vec<u8>> {
        pretty(self)
    }
}

impl Blocks {
    fn of((name, weight): (&String, &Entry)) -> Option<(String, Self)> {
        match weight.outline() {
            WeightOutline::Blocks { shape, kind } => Some((name.clone(), Self { kind, shape })),
            _ => None,
        }
    }
}

/// The keys of a config.json that neither the family nor the quantization owns.
pub(super) fn keys_of_others(map: &Map<String, Value>, config: Option<&Config>) -> Result<Map<String, Value>> {
    let own = config.map(Config::to_map).transpose()?.unwrap_or_default();
    let others = map.iter().filter(|(key, _)| *key != QUANTIZATION && !own.contains_key(*key));
    Ok(others.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The text of config.json for a model, `sparsity` being what it says of sparse weights; `None` where it has nothing to
/// say.
pub(super) fn config_text(model: &Checkpoint, sparsity: Option<Value>) -> Result<Option<Vec<u8>>> {
    let mut map = model.config.as_ref().map(Config::to_map).transpose()?.unwrap_or_default();
    for (key, value) in &model.carried.settings {
        map.entry(key.clone()).or_insert_with(|| value.clone());
    }
    if let Some(quantization) = describe(&model.outline().weights).or(sparsity) {
        map.insert(QUANTIZATION.to_owned(), quantization);
    }
    if let Some(text) = &model.carried.config_text
        && let Ok(read) = serde_json::from_slice::<Map<String, Value>>(text)
    {
        if read == map {
            return Ok(Some(text.clone()));
        }
        map = in_order_of(&read, map);
    }
    if map.is_empty() { Ok(None) } else { pretty(&map).map(Some) }
}

/// Keys in the order that they had, new ones last.
fn in_order_of(order: &Map<String, Value>, mut map: Map<String, Value>) -> Map<String, Value> {
    let mut ordered: Map<String, Value> =
        order.keys().filter_map(|key| Some((key.clone(), map.shift_remove(key)?))).collect();
    ordered.extend(map);
    ordered
}

pub(super) fn pretty(value: &impl Serialize) -> Result<Vec<u8>> {
    let unwritable = |error: serde_json::Error| ModelError::Unsupported(format!("the model's settings: {error}"));
    let mut text = serde_json::to_vec_pretty(value).map_err(unwritable)?;
    text.push(b'\n');
    Ok(text)
}

//! What makes two models the same.

use std::io::Write;
use std::path::Path;

use blake3::Hasher;

use super::Checkpoint;
use super::entry::Entry;
use super::paring::Paring;
use super::save::write_weights;
use crate::config::Config;
use crate::error::{ModelError, Result};
use crate::outline::WeightOutline;
use crate::quantized::config::describe;
use crate::storage::{PARING, WEIGHTS, parts};

/// See [`Checkpoint::digest`].
pub(super) fn digest(model: &Checkpoint) -> Result<String> {
    let mut config = model.config.as_ref().map(Config::identity).transpose()?.unwrap_or_default();
    config.extend(describe(&model.outline().weights).map(|schemes| ("quantization_config".to_owned(), schemes)));
    let mut hasher = Hasher::new();
    for text in [serde_json::Value::Object(config).to_string().into_bytes(), Paring::of(model).text()?] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(&text);
    }
    write_weights(model, Path::new(WEIGHTS), &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// See [`Checkpoint::changed_tensors`].
pub(super) fn changed(one: &Checkpoint, other: &Checkpoint) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for (name, weight) in &one.weights {
        match other.weights.get(name) {
            Some(other) if is_same(name, weight, other)? => {}
            _ => changed.push(name.clone()),
        }
    }
    changed.extend(other.weights.keys().filter(|name| !one.weights.contains_key(*name)).cloned());
    changed.sort();
    Ok(changed)
}

fn is_same(name: &str, one: &Entry, other: &Entry) -> Result<bool> {
    Ok(one.is_same(other) || one.outline() == other.outline() && content(name, one)? == content(name, other)?)
}

/// A digest of one weight as it would be stored.
fn content(name: &str, weight: &Entry) -> Result<blake3::Hash> {
    let unwritable = |source| ModelError::Io { action: "digest", path: PARING.into(), source };
    let outline = weight.outline();
    let kind = if let WeightOutline::Blocks { kind, .. } = &outline { kind.name() } else { "" };
    let mut hasher = Hasher::new();
    if let WeightOutline::Quantized { activation: Some(input), .. } = &outline {
        hasher.update(format!("{:?} {}", input.range, input.bits).as_bytes());
    }
    for stored in parts(name, &outline) {
        let form = format!("{} {} {:?} {} {kind}", stored.name, stored.dtype, stored.shape, weight.is_masked());
        hasher.write_all(form.as_bytes()).map_err(unwritable)?;
        weight.write(&stored, &mut hasher)?.map_err(unwritable)?;
    }
    Ok(hasher.finalize())
}

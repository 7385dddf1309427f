//! Whole layers removed from transformers: what is left moves up.

use std::collections::BTreeMap;

use crate::checkpoint::Checkpoint;
use crate::config::Spec;
use crate::error::{ModelError, Result};
use crate::outline::Outline;

/// What the names of each layer's tensors start with (`model.layers.0`), from the first layer to the last; none for a
/// family whose layers are not alike.
pub fn layers(outline: &Outline) -> Vec<String> {
    match outline.config.as_ref().map(|config| &config.spec) {
        Some(Spec::Bert(spec)) => (0..spec.layers).map(|layer| spec.names().root(layer)).collect(),
        Some(Spec::Llama(spec)) => (0..spec.layers).map(|layer| spec.root(layer)).collect(),
        Some(Spec::Mlp(_) | Spec::Convnet(_)) | None => Vec::new(),
    }
}

/// Removes all layers but `keep` (ascending indices): those that stay are numbered from zero again, and the
/// configuration follows.
///
/// # Errors
/// When `keep` is empty, unsorted or out of range, or the family has no layers that can go.
pub fn keep_layers(model: &mut Checkpoint, keep: &[usize]) -> Result<()> {
    let names = check(layers(&model.outline()), keep)?;
    model.rename(&|name| renamed(&names, keep, name));
    if let Some(mut config) = model.config().cloned() {
        settle(&mut config.spec, keep);
        model.set_config(config);
    }
    Ok(())
}

/// The same on an outline.
///
/// # Errors
/// As [`keep_layers`].
pub fn keep_layers_outline(outline: &mut Outline, keep: &[usize]) -> Result<()> {
    let names = check(layers(outline), keep)?;
    outline.weights = rename(std::mem::take(&mut outline.weights), &|name| renamed(&names, keep, name));
    if let Some(config) = &mut outline.config {
        settle(&mut config.spec, keep);
    }
    Ok(())
}

/// The names of the layers, once it is clear that those that stay are among them.
fn check(names: Vec<String>, keep: &[usize]) -> Result<Vec<String>> {
    let count = names.len();
    let fits = keep.last().is_some_and(|&last| last < count) && keep.is_sorted_by(|one, next| one < next);
    let message = || format!("layers {keep:?} were to be kept, expected ascending numbers below {count}");
    if fits { Ok(names) } else { Err(ModelError::Unsupported(message())) }
}

/// What a tensor is called afterwards; `None` when its layer goes.
fn renamed(layers: &[String], keep: &[usize], name: &str) -> Option<String> {
    let part = |root: &String| name.strip_prefix(root.as_str()).filter(|rest| rest.starts_with('.'));
    let Some((layer, rest)) = layers.iter().enumerate().find_map(|(layer, root)| Some((layer, part(root)?))) else {
        return Some(name.to_owned());
    };
    let place = keep.binary_search(&layer).ok()?;
    Some(format!("{}{rest}", layers.get(place)?))
}

fn settle(spec: &mut Spec, keep: &[usize]) {
    match spec {
        Spec::Bert(spec) => spec.keep_layers(keep),
        Spec::Llama(spec) => spec.keep_layers(keep),
        Spec::Mlp(_) | Spec::Convnet(_) => (),
    }
}

/// Renames what a map holds; what has no new name goes.
pub(crate) fn rename<T>(map: BTreeMap<String, T>, new: &dyn Fn(&str) -> Option<String>) -> BTreeMap<String, T> {
    map.into_iter().filter_map(|(name, value)| Some((new(&name)?, value))).collect()
}

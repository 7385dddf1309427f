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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::renamed;
    use crate::families::{LlamaSpec, Windowed};
    use crate::outline::WeightOutline;

    #[test]
    fn layers_move_up_and_others_stay() {
        let layers: Vec<String> = (0..12).map(|layer| format!("encoder.layer.{layer}")).collect();
        let keep = [0, 2, 10];
        let name = |name: &str| renamed(&layers, &keep, name);
        assert_eq!(name("encoder.layer.0.a.weight").as_deref(), Some("encoder.layer.0.a.weight"));
        assert_eq!(name("encoder.layer.2.a.weight").as_deref(), Some("encoder.layer.1.a.weight"));
        assert_eq!(name("encoder.layer.10.a.weight").as_deref(), Some("encoder.layer.2.a.weight"));
        assert_eq!(name("encoder.layer.1.a.weight"), None);
        assert_eq!(name("encoder.layer.11.a.weight"), None);
        assert_eq!(name("embeddings.weight").as_deref(), Some("embeddings.weight"));
    }

    /// Layers 3 and 4 of five look back over a window: once layer 1 is gone, 2 and 3 do, and the settings say so even
    /// where they said nothing before.
    #[test]
    fn windows_stay_with_their_layers() {
        let read = |more: Value| {
            let mut map = json!({"model_type": "qwen2", "num_hidden_layers": 5, "hidden_size": 8, "vocab_size": 20,
                "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 12, "hidden_act": "silu",
                "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 32, "sliding_window": 4,
                "use_sliding_window": true});
            map.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let words = WeightOutline::Dense { dtype: "F32".to_owned(), shape: vec![20, 8], masked: false };
            let known = BTreeMap::from([("model.embed_tokens.weight".to_owned(), words)]);
            LlamaSpec::read(map.as_object().unwrap(), &known).unwrap().unwrap()
        };
        let mut spec = read(json!({"max_window_layers": 3}));
        spec.keep_layers(&[0, 2, 3, 4]);
        assert_eq!((spec.layers, &spec.window), (4, &Some((4, Windowed::From(2)))));
        assert_eq!((&spec.keys["num_hidden_layers"], &spec.keys["max_window_layers"]), (&json!(4), &json!(2)));
        let mut spec = read(json!({}));
        spec.keep_layers(&[0, 2]);
        assert_eq!((spec.layers, spec.keys["max_window_layers"].clone()), (2, json!(2)));
        let kinds = |kinds: &[bool]| -> Value {
            kinds.iter().map(|is| if *is { "sliding_attention" } else { "full_attention" }).collect()
        };
        let mut spec = read(json!({"layer_types": kinds(&[false, true, false, true, true])}));
        spec.keep_layers(&[1, 2, 4]);
        assert_eq!(spec.window, Some((4, Windowed::Listed(vec![true, false, true]))));
        assert_eq!(spec.keys["layer_types"], kinds(&[true, false, true]));
    }
}

//! The keys of config.json that the decoders of this family read.

use serde_json::{Map, Value};

use super::NAME;
use super::spec::{LlamaSpec, Windowed};
use crate::error::Result;
use crate::families::transformer::keys::Keys;
use crate::families::transformer::nonlinearity::Nonlinearity;
use crate::families::transformer::rope::Rope;

/// Who trained it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
}

/// The settings; `None` when the `model_type` is of another family. Names of tensors are not known yet.
pub(super) fn read(map: &Map<String, Value>) -> Result<Option<LlamaSpec>> {
    let kind = match map.get("model_type").and_then(Value::as_str) {
        Some("llama") => Kind::Llama,
        Some("mistral") => Kind::Mistral,
        Some("qwen2") => Kind::Qwen2,
        Some("qwen3") => Kind::Qwen3,
        _ => return Ok(None),
    };
    let mut keys = Keys::new(NAME, map);
    keys.value("model_type");
    keys.count("intermediate_size")?;
    keys.count("num_key_value_heads")?;
    let layers = keys.required("num_hidden_layers")?;
    let biased = kind == Kind::Qwen2 || keys.flag("attention_bias")?.unwrap_or(false);
    let mut spec = LlamaSpec {
        prefix: String::new(),
        layers,
        head_width: head_width(&mut keys, kind)?,
        activation: Nonlinearity::read(&mut keys, "hidden_act", Nonlinearity::Silu)?,
        epsilon: keys.positive("rms_norm_eps", 1e-6)?,
        rope: Rope::read(&mut keys, NAME)?,
        window: window(&mut keys, kind)?,
        tied: keys.flag("tie_word_embeddings")?.unwrap_or(false),
        biased,
        normed: kind == Kind::Qwen3,
        dropout: keys.rate("attention_dropout", 0.0)?,
        keys: Map::new(),
    };
    spec.keys = keys.into_read();
    Ok(Some(spec))
}

/// Numbers in one head, an even number since pairs of them turn. It stays when heads are removed.
fn head_width(keys: &mut Keys<'_>, kind: Kind) -> Result<usize> {
    let said = keys.count("head_dim")?;
    let (hidden, heads) = (keys.required("hidden_size")?, keys.required("num_attention_heads")?);
    let width = match said {
        Some(width) => width,
        None if kind == Kind::Qwen3 => 128,
        None if hidden.is_multiple_of(heads) => hidden / heads,
        None => {
            let reason = format!("`hidden_size` is `{hidden}`, expected a multiple of `num_attention_heads`, {heads}");
            return Err(keys.wrong(reason));
        }
    };
    if width.is_multiple_of(2) {
        return Ok(width);
    }
    Err(keys.wrong(format!("the head width is `{width}`, expected an even number")))
}

/// How far back layers look.
fn window(keys: &mut Keys<'_>, kind: Kind) -> Result<Option<(usize, Windowed)>> {
    let window = match kind {
        Kind::Llama => return Ok(None),
        Kind::Mistral => keys.count("sliding_window")?,
        Kind::Qwen2 | Kind::Qwen3 => {
            let used = keys.flag("use_sliding_window")?.unwrap_or(false);
            keys.count("sliding_window")?.filter(|_| used)
        }
    };
    let layers = match keys.value("layer_types") {
        Some(list) => Windowed::Listed(listed(keys, list)?),
        None if kind == Kind::Mistral => Windowed::From(0),
        None => Windowed::From(keys.index("max_window_layers")?.unwrap_or(28)),
    };
    Ok(window.map(|window| (window, layers)))
}

fn listed(keys: &Keys<'_>, list: &Value) -> Result<Vec<bool>> {
    let one = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let found: Option<Vec<bool>> = list.as_array().and_then(|list| list.iter().map(one).collect());
    found.ok_or_else(|| keys.unexpected("layer_types", list, "a list of full_attention and sliding_attention"))
}

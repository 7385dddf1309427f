//! The settings of a decoder: what config.json says, and how the tensors are named.

use serde_json::{Map, Value};

use super::settings;
use crate::error::{ModelError, Result};
use crate::families::survey::Known;
use crate::families::transformer::nonlinearity::Nonlinearity;
use crate::families::transformer::rope::Rope;
use crate::families::transformer::walk::uneven;

/// A decoder's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaSpec {
    /// What comes before the tensors' names: `model.`, or nothing.
    pub prefix: String,
    /// How many layers.
    pub layers: usize,
    /// Numbers in one attention head.
    pub head_width: usize,
    /// Between the two feed-forward layers.
    pub activation: Nonlinearity,
    /// Added to mean squares.
    pub epsilon: f64,
    /// How heads turn from token to token.
    pub rope: Rope,
    /// How far back a layer looks; `None` where all look back over the whole text.
    pub window: Option<(usize, Windowed)>,
    /// The output layer's weights are the tokens' vectors.
    pub tied: bool,
    /// Query, key and value must have biases.
    pub biased: bool,
    /// Queries and keys must have norms.
    pub normed: bool,
    /// Dropout of attention weights in training.
    pub dropout: f64,
    /// The keys of config.json that this comes from.
    pub(crate) keys: Map<String, Value>,
}

/// Which layers look back over a window only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Windowed {
    /// Those from this index on.
    From(usize),
    /// Those that are true.
    Listed(Vec<bool>),
}

/// The names in one layer.
pub(crate) struct LayerNames {
    pub(crate) query: String,
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) output: String,
    pub(crate) query_norm: String,
    pub(crate) key_norm: String,
    pub(crate) gate: String,
    pub(crate) up: String,
    pub(crate) down: String,
    pub(crate) attention_norm: String,
    pub(crate) ffn_norm: String,
}

impl LlamaSpec {
    /// Reads the settings of a model; `None` when its `model_type` is no decoder of this family.
    ///
    /// # Errors
    /// When a key is missing or wrong, or the model computes something that this family does not.
    pub(crate) fn read(map: &Map<String, Value>, known: Known<'_>) -> Result<Option<Self>> {
        let Some(spec) = settings::read(map)? else { return Ok(None) };
        let words = |prefix: &str| format!("{prefix}embed_tokens.weight");
        let prefix = ["model.", ""].into_iter().find(|prefix| known.contains_key(&words(prefix)));
        let prefix = prefix.ok_or_else(|| ModelError::MissingTensor { name: words("model.") })?.to_owned();
        // Files that do not say whether the head is tied are tied when there is none.
        let said = map.contains_key("tie_word_embeddings");
        let tied = if said { spec.tied } else { !known.contains_key("lm_head.weight") };
        Ok(Some(Self { prefix, tied, ..spec }))
    }

    /// The name of the tokens' vectors.
    pub(crate) fn words(&self) -> String {
        format!("{}embed_tokens", self.prefix)
    }

    /// The name of the norm before the head.
    pub(crate) fn norm(&self) -> String {
        format!("{}norm", self.prefix)
    }

    /// The name of the site whose weight the head multiplies with.
    pub(crate) fn head(&self) -> String {
        if self.tied { self.words() } else { "lm_head".to_owned() }
    }

    /// Numbers the head gives.
    pub(crate) fn output(&self, known: Known<'_>) -> Result<usize> {
        let name = format!("{}.weight", self.head());
        let found = known.get(&name).and_then(|weight| weight.shape().first().copied());
        found.filter(|&width| width > 0).ok_or(ModelError::MissingTensor { name })
    }

    /// Whether a layer looks back over the window only.
    pub(crate) fn is_windowed(&self, layer: usize) -> bool {
        match &self.window {
            None => false,
            Some((_, Windowed::From(first))) => layer >= *first,
            Some((_, Windowed::Listed(layers))) => layers.get(layer).copied().unwrap_or(false),
        }
    }

    /// What the names of a layer's tensors start with.
    pub(crate) fn root(&self, layer: usize) -> String {
        format!("{}layers.{layer}", self.prefix)
    }

    /// Goes on with some of its layers.
    pub(crate) fn keep_layers(&mut self, keep: &[usize]) {
        self.layers = keep.len();
        self.keys.insert("num_hidden_layers".to_owned(), Value::from(keep.len()));
        if let Some(kinds) = self.keys.get_mut("layer_types").and_then(Value::as_array_mut) {
            *kinds = keep.iter().filter_map(|&layer| kinds.get(layer).cloned()).collect();
        }
        match &mut self.window {
            Some((_, Windowed::Listed(kinds))) => {
                *kinds = keep.iter().filter_map(|&layer| kinds.get(layer).copied()).collect();
            }
            Some((_, Windowed::From(first))) => {
                let before = keep.iter().filter(|layer| *layer < first).count();
                if before != *first {
                    // Where it is not written, others take a number of their own.
                    self.keys.insert("max_window_layers".to_owned(), Value::from(before));
                }
                *first = before;
            }
            None => (),
        }
    }

    pub(crate) fn layer(&self, layer: usize) -> LayerNames {
        let root = self.root(layer);
        let at = |part: &str| format!("{root}.{part}");
        LayerNames {
            query: at("self_attn.q_proj"),
            key: at("self_attn.k_proj"),
            value: at("self_attn.v_proj"),
            output: at("self_attn.o_proj"),
            query_norm: at("self_attn.q_norm"),
            key_norm: at("self_attn.k_norm"),
            gate: at("mlp.gate_proj"),
            up: at("mlp.up_proj"),
            down: at("mlp.down_proj"),
            attention_norm: at("input_layernorm"),
            ffn_norm: at("post_attention_layernorm"),
        }
    }
}

/// Writes widths back: that of the stream, and others where they are the same in all layers.
pub(crate) fn settle(spec: &mut LlamaSpec, known: Known<'_>) {
    let words = known.get(&format!("{}.weight", spec.words())).and_then(|weight| weight.shape().get(1));
    if let Some(hidden) = words.map(|&hidden| Value::from(hidden)).filter(|it| spec.keys.get("hidden_size") != Some(it))
    {
        // Without it others would take the stream's width over the number of heads.
        spec.keys.insert("head_dim".to_owned(), Value::from(spec.head_width));
        spec.keys.insert("hidden_size".to_owned(), hidden);
    }
    let rows = |name: &str| known.get(&format!("{name}.weight")).and_then(|it| it.shape().first().copied());
    let widths = |layer| {
        let names = spec.layer(layer);
        Some([rows(&names.query)?, rows(&names.key)?, rows(&names.gate)?])
    };
    let mut widths = (0..spec.layers).map_while(widths);
    let Some(first) = widths.next() else { return };
    let rest: Vec<[usize; 3]> = widths.collect();
    let [query, key, gate] = first;
    let (head_width, keys) = (spec.head_width, &mut spec.keys);
    if rest.iter().all(|&[_, _, other]| other == gate) {
        keys.insert("intermediate_size".to_owned(), Value::from(gate));
    }
    let heads = [query, key].map(|rows| rows / head_width.max(1));
    if !rest.iter().all(|&[other_query, other_key, _]| [other_query, other_key] == [query, key]) {
        return;
    }
    let [heads, groups] = heads;
    if keys.get("num_attention_heads") != Some(&Value::from(heads)) {
        // Without it others would take the stream's width over the number of heads.
        keys.insert("head_dim".to_owned(), Value::from(head_width));
    }
    keys.insert("num_attention_heads".to_owned(), Value::from(heads));
    keys.insert("num_key_value_heads".to_owned(), Value::from(groups));
}

/// What transformers has no settings for: other than one width for all layers.
pub(crate) fn beyond_transformers(spec: &LlamaSpec, known: Known<'_>) -> Option<String> {
    let sites: [fn(LayerNames) -> String; 3] = [|names| names.query, |names| names.key, |names| names.gate];
    sites.iter().find_map(|site| uneven((0..spec.layers).map(|layer| site(spec.layer(layer))), known))
}

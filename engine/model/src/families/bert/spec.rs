//! The settings of an encoder: what config.json says, and what the tensors and files beside it say of its head.

use serde_json::{Map, Value};

use super::NAME;
use super::names::Names;
use super::pooling::{self, Pooling, Projection};
use super::settings::Settings;
use crate::error::{ModelError, Result};
use crate::families::survey::Known;
use crate::families::transformer::keys::Keys;
use crate::families::transformer::nonlinearity::Nonlinearity;
use crate::families::transformer::walk::uneven;

/// How tensors and settings are named, and what differs with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// BERT and MiniLM.
    Bert,
    /// RoBERTa and XLM-R: positions count tokens that are not padding, from the padding's number on.
    Roberta,
    /// DistilBERT: no segments.
    DistilBert,
    /// MPNet: no segments; attention is biased by how far apart tokens are.
    Mpnet,
}

/// What comes after the last layer.
#[derive(Debug, Clone, PartialEq)]
pub enum Head {
    /// One vector a text.
    Embedding {
        /// How the tokens' vectors become one.
        pooling: Pooling,
        /// Dense layers after pooling, in order.
        projections: Vec<Projection>,
        /// Whether the vector is made one long.
        normalize: bool,
    },
    /// One number a class for each text, or one number.
    Text,
    /// One number a class for each token.
    Token,
}

/// An encoder's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct BertSpec {
    /// How it is named.
    pub scheme: Scheme,
    /// What comes before the tensors' names: `bert.`, or nothing.
    pub prefix: String,
    /// How many layers.
    pub layers: usize,
    /// Numbers in one attention head.
    pub head_width: usize,
    /// Between the two feed-forward layers.
    pub activation: Nonlinearity,
    /// Added to variances.
    pub epsilon: f64,
    /// The padding's token number, where positions count from it.
    pub padding: Option<u32>,
    /// Dropout in training of: the stream, attention weights, the head's input.
    pub dropout: [f64; 3],
    /// What comes after the last layer.
    pub head: Head,
    /// The keys of config.json that this comes from.
    pub(crate) keys: Map<String, Value>,
    /// The files beside it that the head comes from.
    pub(crate) files: Map<String, Value>,
}

impl BertSpec {
    /// Reads the settings of a model of that `model_type`, `None` when it is no encoder of this family. `file` gives the
    /// JSON files of the directory.
    ///
    /// # Errors
    /// When a key is missing or wrong, or the model computes something that this family does not.
    pub(crate) fn read(
        map: &Map<String, Value>,
        known: Known<'_>,
        file: &dyn Fn(&str) -> Result<Option<Value>>,
    ) -> Result<Option<Self>> {
        let scheme = match map.get("model_type").and_then(Value::as_str) {
            Some("bert") => Scheme::Bert,
            Some("roberta" | "xlm-roberta") => Scheme::Roberta,
            Some("distilbert") => Scheme::DistilBert,
            Some("mpnet") => Scheme::Mpnet,
            _ => return Ok(None),
        };
        let mut keys = Keys::new(NAME, map);
        let settings = Settings::read(&mut keys, scheme)?;
        let prefix = prefix(scheme, known)?;
        let labels_tokens = keys.value("architectures").is_some_and(|names| names.to_string().contains("ForToken"));
        let mut files = Map::new();
        let head = match text_or_token(scheme, &prefix, known, labels_tokens) {
            Some(head) => head,
            None => pooling::read(file, &mut files)?,
        };
        Ok(Some(Self { scheme, prefix, head, files, keys: keys.into_read(), ..settings.spec() }))
    }

    /// The names of its tensors.
    pub(crate) fn names(&self) -> Names {
        Names { scheme: self.scheme, prefix: self.prefix.clone() }
    }

    /// Goes on with some of its layers.
    pub(crate) fn keep_layers(&mut self, keep: &[usize]) {
        self.layers = keep.len();
        let key = if self.scheme == Scheme::DistilBert { "n_layers" } else { "num_hidden_layers" };
        self.keys.insert(key.to_owned(), Value::from(keep.len()));
    }

    /// Most tokens of a text: one a position, but those before the first.
    pub(crate) fn most_tokens(&self, known: Known<'_>) -> Option<usize> {
        let positions = known.get(&format!("{}.weight", self.names().positions()))?.shape().first().copied()?;
        Some(positions.saturating_sub(self.padding.map_or(0, |padding| padding as usize + 1)))
    }

    /// Numbers the head gives.
    pub(crate) fn output(&self, known: Known<'_>) -> Result<usize> {
        let rows = |name: String| known.get(&name).and_then(|weight| weight.shape().first().copied());
        let columns = |name: String| known.get(&name).and_then(|weight| weight.shape().get(1).copied());
        let names = self.names();
        let (name, found) = match &self.head {
            Head::Text | Head::Token => {
                let name = format!("{}.weight", names.classifier(known));
                (name.clone(), rows(name))
            }
            Head::Embedding { projections, .. } => match projections.last() {
                Some(last) => (last.weight(), rows(last.weight())),
                None => {
                    let name = format!("{}.weight", names.words());
                    (name.clone(), columns(name))
                }
            },
        };
        found.filter(|&width| width > 0).ok_or(ModelError::MissingTensor { name })
    }
}

/// Writes widths back: that of the stream, and others where they are the same in all layers.
pub(crate) fn settle(spec: &mut BertSpec, known: Known<'_>) {
    settle_stream(spec, known);
    let names = spec.names();
    let width = |layer| known.get(&format!("{}.weight", names.layer(layer).up)).and_then(|it| it.shape().first());
    let mut widths = (0..spec.layers).map_while(width);
    let key = if spec.scheme == Scheme::DistilBert { "hidden_dim" } else { "intermediate_size" };
    let Some(&first) = widths.next().filter(|first| widths.all(|other| other == *first)) else { return };
    // Where it is not written, others take a number of their own.
    spec.keys.insert(key.to_owned(), Value::from(first));
}

/// What transformers has no settings for: other than one feed-forward width, and attention that is as wide as the
/// stream.
pub(crate) fn beyond_transformers(spec: &BertSpec, known: Known<'_>) -> Option<String> {
    let rows = |site: &str| known.get(&format!("{site}.weight")).and_then(|weight| weight.shape().first().copied());
    let names = spec.names();
    let hidden = known.get(&format!("{}.weight", names.words())).and_then(|weight| weight.shape().get(1).copied())?;
    let narrow = (0..spec.layers).map(|layer| names.layer(layer).query).find(|query| rows(query) != Some(hidden));
    let heads = narrow.map(|query| {
        let outputs = rows(&query).unwrap_or(0);
        format!("`{query}` has {outputs} outputs, and its encoders have attention of the stream's width, {hidden}")
    });
    heads.or_else(|| uneven((0..spec.layers).map(|layer| names.layer(layer).up), known))
}

/// Writes back how wide the stream is, in the files beside config.json too. Once that is not what it was, neither is
/// the number of heads what it follows from.
fn settle_stream(spec: &mut BertSpec, known: Known<'_>) {
    let names = spec.names();
    let shape = |name: &str| known.get(&format!("{name}.weight")).map(|weight| weight.shape());
    let Some(&hidden) = shape(&names.words()).and_then(|shape| shape.get(1)) else { return };
    let (width, heads) = match spec.scheme {
        Scheme::DistilBert => ("dim", "n_heads"),
        Scheme::Bert | Scheme::Roberta | Scheme::Mpnet => ("hidden_size", "num_attention_heads"),
    };
    if spec.keys.get(width) != Some(&Value::from(hidden)) {
        spec.keys.insert(width.to_owned(), Value::from(hidden));
        spec.keys.insert("head_dim".to_owned(), Value::from(spec.head_width));
        pooling::settle(&spec.head, hidden, &mut spec.files);
    }
    if !spec.keys.contains_key("head_dim") {
        return;
    }
    let rows = |layer| shape(&names.layer(layer).query)?.first().copied();
    let mut counts = (0..spec.layers).map_while(rows).map(|rows| rows / spec.head_width.max(1));
    if let Some(first) = counts.next().filter(|first| counts.all(|other| other == *first)) {
        spec.keys.insert(heads.to_owned(), Value::from(first));
    }
}

/// What comes before the names of the tensors.
fn prefix(scheme: Scheme, known: Known<'_>) -> Result<String> {
    let own = match scheme {
        Scheme::Bert => "bert.",
        Scheme::Roberta => "roberta.",
        Scheme::DistilBert => "distilbert.",
        Scheme::Mpnet => "mpnet.",
    };
    let words = |prefix: &str| format!("{}.weight", Names { scheme, prefix: prefix.to_owned() }.words());
    let found = ["", own].into_iter().find(|prefix| known.contains_key(&words(prefix)));
    found.map(str::to_owned).ok_or_else(|| ModelError::MissingTensor { name: words("") })
}

/// The classifier that the tensors make, if there is one.
fn text_or_token(scheme: Scheme, prefix: &str, known: Known<'_>, labels_tokens: bool) -> Option<Head> {
    let has = |name: &str| known.contains_key(&format!("{name}.weight"));
    if has("classifier.out_proj") {
        return Some(Head::Text);
    }
    if !has("classifier") {
        return None;
    }
    let for_texts = match scheme {
        Scheme::Bert => has(&format!("{prefix}pooler.dense")),
        Scheme::DistilBert => has("pre_classifier"),
        Scheme::Roberta | Scheme::Mpnet => false,
    };
    Some(if for_texts && !labels_tokens { Head::Text } else { Head::Token })
}

//! Tokenizers: the vocabulary, merges and kinds of a GGUF file's metadata become the text of tokenizer.json.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::value::Value;

mod byte_level;
mod sentence_piece;

pub(super) use byte_level::split_name;

type Metadata<'a> = BTreeMap<&'a str, Value<'a>>;

/// What marks a token that stands for nothing in texts, as llama.cpp numbers the kinds of tokens.
pub(super) const UNKNOWN: u64 = 2;
pub(super) const CONTROL: u64 = 3;
pub(super) const USER_DEFINED: u64 = 4;
/// A token that is part of texts.
pub(super) const NORMAL: u64 = 1;

/// The text of tokenizer.json, or why there is none.
pub(super) fn text(metadata: &Metadata<'_>) -> Result<Vec<u8>, String> {
    let model = metadata.get("tokenizer.ggml.model").ok_or("the file has no tokenizer")?;
    let vocabulary = Vocabulary::read(metadata)?;
    let parts = match model.text() {
        Some("gpt2") => byte_level::parts(metadata, &vocabulary)?,
        Some("llama") => sentence_piece::parts(metadata, &vocabulary)?,
        other => {
            let found = other.unwrap_or_default();
            return Err(format!("the file's tokenizer is of kind `{found}`, expected gpt2 or llama"));
        }
    };
    let flag = |key: &str| metadata.get(format!("tokenizer.ggml.{key}").as_str()).and_then(Value::flag);
    let begin = flag("add_bos_token").unwrap_or(parts.begins).then(|| vocabulary.named(metadata, "bos")).flatten();
    let end = flag("add_eos_token").unwrap_or(false).then(|| vocabulary.named(metadata, "eos")).flatten();
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": vocabulary.added(metadata),
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": around(begin, end),
        "decoder": parts.decoder,
        "model": parts.model,
    });
    serde_json::to_vec(&tokenizer).map_err(|error| error.to_string())
}

/// The text of tokenizer_config.json, where the file says how conversations are written.
pub(super) fn config(metadata: &Metadata<'_>) -> Option<Vec<u8>> {
    let template = metadata.get("tokenizer.chat_template").and_then(Value::text)?;
    let vocabulary = Vocabulary::read(metadata).ok()?;
    let mut config = json!({ "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template });
    for (key, name) in [("bos_token", "bos"), ("eos_token", "eos"), ("pad_token", "padding"), ("unk_token", "unknown")]
    {
        if let (Some((_, token)), Some(map)) = (vocabulary.named(metadata, name), config.as_object_mut()) {
            map.insert(key.to_owned(), Json::from(token));
        }
    }
    serde_json::to_vec_pretty(&config).ok()
}

/// What the kinds of tokenizers do not share.
struct Parts {
    normalizer: Json,
    pre_tokenizer: Json,
    decoder: Json,
    model: Json,
    /// Whether texts begin with a token of their own where the file does not say so.
    begins: bool,
}

/// Tokens by number.
struct Vocabulary<'a> {
    tokens: Vec<&'a str>,
    kinds: Vec<u64>,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &Metadata<'a>) -> Result<Self, String> {
        let tokens = texts(metadata, "tokenizer.ggml.tokens")?;
        let kinds = match metadata.get("tokenizer.ggml.token_type").and_then(Value::list) {
            Some(list) => list.iter().map(|value| value.count().unwrap_or(NORMAL)).collect(),
            None => vec![NORMAL; tokens.len()],
        };
        if kinds.len() != tokens.len() {
            return Err(format!("the file names {} tokens, but kinds of {}", tokens.len(), kinds.len()));
        }
        let mut seen = std::collections::BTreeSet::new();
        match tokens.iter().find(|token| !seen.insert(**token)) {
            Some(twice) => Err(format!("token `{twice}` is there twice")),
            None => Ok(Self { tokens, kinds }),
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &'a str, u64)> {
        self.tokens.iter().zip(&self.kinds).enumerate().map(|(index, (token, kind))| (index, *token, *kind))
    }

    /// The vocabulary of the model.
    fn map(&self) -> Json {
        Json::Object(self.numbered().map(|(index, token, _)| (token.to_owned(), Json::from(index))).collect())
    }

    /// The number and text of the token that the file names for a purpose.
    fn named(&self, metadata: &Metadata<'_>, name: &str) -> Option<(usize, &'a str)> {
        let number = metadata.get(format!("tokenizer.ggml.{name}_token_id").as_str())?.count()?;
        let index = usize::try_from(number).ok()?;
        Some((index, *self.tokens.get(index)?))
    }

    /// Tokens that are found in texts before anything else.
    fn added(&self, metadata: &Metadata<'_>) -> Vec<Json> {
        let names = ["bos", "eos", "eot", "unknown", "padding"];
        let named: Vec<usize> = names.iter().filter_map(|name| Some(self.named(metadata, name)?.0)).collect();
        let tokens = self.numbered().filter(|&(_, token, _)| !token.is_empty());
        let added = tokens.filter_map(|(index, content, kind)| {
            let special = matches!(kind, UNKNOWN | CONTROL) || named.contains(&index);
            (special || kind == USER_DEFINED).then(|| {
                json!({ "id": index, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                    "normalized": false, "special": special })
            })
        });
        added.collect()
    }
}

/// The texts of a list.
fn texts<'a>(metadata: &Metadata<'a>, key: &str) -> Result<Vec<&'a str>, String> {
    let list = metadata.get(key).and_then(Value::list).ok_or_else(|| format!("key `{key}` holds no list"))?;
    let text = |(index, value): (usize, Value<'a>)| {
        value.text().ok_or_else(|| format!("key `{key}`: value {index} is no text"))
    };
    let texts: Vec<&str> = list.iter().enumerate().map(text).collect::<Result<_, _>>()?;
    if texts.len() == list.len() { Ok(texts) } else { Err(format!("key `{key}` ends early")) }
}

/// Tokens around texts.
fn around(begin: Option<(usize, &str)>, end: Option<(usize, &str)>) -> Json {
    if begin.is_none() && end.is_none() {
        return Json::Null;
    }
    let special = |token: Option<(usize, &str)>, sequence: u8| {
        token.map(|(_, token)| json!({ "SpecialToken": { "id": token, "type_id": sequence } }))
    };
    let sequence = |name: &str, sequence: u8| {
        let text = json!({ "Sequence": { "id": name, "type_id": sequence } });
        special(begin, sequence).into_iter().chain([text]).chain(special(end, sequence)).collect::<Vec<Json>>()
    };
    let named = begin.into_iter().chain(end);
    let named =
        named.map(|(index, token)| (token.to_owned(), json!({ "id": token, "ids": [index], "tokens": [token] })));
    let pair: Vec<Json> = sequence("A", 0).into_iter().chain(sequence("B", 1)).collect();
    json!({ "type": "TemplateProcessing", "single": sequence("A", 0), "pair": pair,
        "special_tokens": Json::Object(named.collect()) })
}

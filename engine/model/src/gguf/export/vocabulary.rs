//! The tokenizer in a GGUF file's metadata, from tokenizer.json and tokenizer_config.json.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::checkpoint::Checkpoint;
use crate::gguf::tokenizer::{CONTROL, NORMAL, UNKNOWN, USER_DEFINED, split_name};
use crate::gguf::write::Value;

/// Kinds of tokens that only writing knows: rows of the table that no text has, and single bytes.
const UNUSED: u64 = 5;
const BYTE: u64 = 6;

/// Keys of tokens with a purpose: in the file, in config.json and in tokenizer_config.json.
const NAMED: [(&str, &str, &str); 4] = [
    ("bos", "bos_token_id", "bos_token"),
    ("eos", "eos_token_id", "eos_token"),
    ("unknown", "unk_token_id", "unk_token"),
    ("padding", "pad_token_id", "pad_token"),
];

/// The metadata of a model's tokenizer for a table of that many tokens; a model without one says so in the file.
///
/// # Errors
/// Says what cannot be told in a GGUF file.
pub(super) fn metadata(model: &Checkpoint, rows: usize) -> Result<Vec<(String, Value)>, String> {
    let key = |name: &str| format!("tokenizer.ggml.{name}");
    let json = |name: &str| model.carried_json(name).map_err(|error| error.to_string());
    let Some(tokenizer) = json("tokenizer.json")? else {
        return Ok(vec![(key("model"), Value::Text("none".to_owned()))]);
    };
    let config = json("tokenizer_config.json")?.unwrap_or_default();
    let vocabulary = Vocabulary::read(&tokenizer, rows)?;
    let merges = merges(&tokenizer);
    let mut metadata = match tokenizer["model"]["byte_fallback"].as_bool() {
        Some(true) => {
            let prefixed =
                names(&tokenizer["normalizer"], "Prepend") || names(&tokenizer["pre_tokenizer"], "Metaspace");
            vec![
                (key("model"), Value::Text("llama".to_owned())),
                (key("pre"), Value::Text("default".to_owned())),
                (key("scores"), Value::Floats(vocabulary.scores(&merges))),
                (key("add_space_prefix"), Value::Flag(prefixed)),
            ]
        }
        _ => {
            let split = split_name(&tokenizer["pre_tokenizer"]);
            let split = split.ok_or("its tokenizer splits texts in a way that GGUF files have no name for")?;
            let merges = merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
            vec![
                (key("model"), Value::Text("gpt2".to_owned())),
                (key("pre"), Value::Text(split.to_owned())),
                (key("merges"), Value::Texts(merges)),
            ]
        }
    };
    metadata.push((key("token_type"), Value::Kinds(vocabulary.kinds.iter().map(|&kind| kind as i32).collect())));
    let [begin, end] = around(model)?;
    let mut named = named(model, &config, &vocabulary);
    if let Some(begin) = begin {
        named.retain(|(name, _)| *name != "bos");
        named.insert(0, ("bos", begin));
    }
    let ends = end.is_some() && end == named.iter().find(|(name, _)| *name == "eos").map(|(_, id)| *id);
    metadata.extend(named.iter().map(|(name, id)| (key(&format!("{name}_token_id")), Value::Number(*id))));
    metadata.push((key("add_bos_token"), Value::Flag(begin.is_some())));
    metadata.push((key("add_eos_token"), Value::Flag(ends)));
    if let Some(template) = config["chat_template"].as_str() {
        metadata.push(("tokenizer.chat_template".to_owned(), Value::Text(template.to_owned())));
    }
    metadata.push((key("tokens"), Value::Texts(vocabulary.tokens)));
    Ok(metadata)
}

/// Whether a part of that type is among the parts of a tokenizer.
fn names(parts: &Json, wanted: &str) -> bool {
    match parts {
        Json::Object(map) => {
            map.get("type").and_then(Json::as_str) == Some(wanted) || map.values().any(|part| names(part, wanted))
        }
        Json::Array(list) => list.iter().any(|part| names(part, wanted)),
        _ => false,
    }
}

/// Pairs of tokens that become one, the first before the others.
fn merges(tokenizer: &Json) -> Vec<(String, String)> {
    let pair = |merge: &Json| match merge {
        Json::String(text) => text.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
        Json::Array(pair) => Some((pair.first()?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())),
        _ => None,
    };
    tokenizer["model"]["merges"].as_array().into_iter().flatten().filter_map(pair).collect()
}

/// Tokens by number.
struct Vocabulary {
    tokens: Vec<String>,
    kinds: Vec<u64>,
}

impl Vocabulary {
    fn read(tokenizer: &Json, rows: usize) -> Result<Self, String> {
        if tokenizer["model"]["type"].as_str() != Some("BPE") {
            return Err("its tokenizer is of another kind than byte-pair encoding, which alone is written".to_owned());
        }
        let mut tokens: Vec<String> = (0..rows).map(|row| format!("[PAD{row}]")).collect();
        let mut kinds = vec![UNUSED; rows];
        let unknown = tokenizer["model"]["unk_token"].as_str();
        let mut put = |id: Option<u64>, text: &str, kind: u64| {
            let place = id.and_then(|id| usize::try_from(id).ok());
            let slots = place.and_then(|place| Some((tokens.get_mut(place)?, kinds.get_mut(place)?)));
            let wrong = || format!("its tokenizer has the token `{text}`, for which its table of {rows} has no row");
            let (token, slot) = slots.ok_or_else(wrong)?;
            *token = text.to_owned();
            *slot = if Some(text) == unknown { UNKNOWN } else { kind };
            Ok::<(), String>(())
        };
        let spelled = tokenizer["model"]["byte_fallback"].as_bool() == Some(true);
        for (text, id) in tokenizer["model"]["vocab"].as_object().into_iter().flatten() {
            let is_byte = spelled && text.len() == 6 && text.starts_with("<0x") && text.ends_with('>');
            put(id.as_u64(), text, if is_byte { BYTE } else { NORMAL })?;
        }
        for added in tokenizer["added_tokens"].as_array().into_iter().flatten() {
            let kind = if added["special"].as_bool() == Some(true) { CONTROL } else { USER_DEFINED };
            put(added["id"].as_u64(), added["content"].as_str().unwrap_or_default(), kind)?;
        }
        Ok(Self { tokens, kinds })
    }

    /// The number of a token.
    fn id(&self, text: &str) -> Option<u32> {
        self.tokens.iter().position(|token| token == text).and_then(|id| u32::try_from(id).ok())
    }

    /// Pieces are merged by their scores, the highest first: each has the place of the first merge that makes it.
    fn scores(&self, merges: &[(String, String)]) -> Vec<f32> {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (place, (left, right)) in merges.iter().enumerate() {
            places.entry(format!("{left}{right}")).or_insert(place);
        }
        let score = |(token, &kind): (&String, &u64)| match (places.get(token), kind) {
            (Some(&place), _) => -(place as f32),
            (None, NORMAL) => -(merges.len() as f32),
            _ => 0.0,
        };
        self.tokens.iter().zip(&self.kinds).map(score).collect()
    }
}

/// Numbers of the tokens that begin and end texts, stand for what is unknown, and fill rows.
fn named(model: &Checkpoint, config: &Json, vocabulary: &Vocabulary) -> Vec<(&'static str, u32)> {
    let from_settings = |key: &str| {
        let said = model.setting(key)?;
        let id = said.as_u64().or_else(|| said.as_array()?.first()?.as_u64())?;
        u32::try_from(id).ok().filter(|&id| (id as usize) < vocabulary.tokens.len())
    };
    let from_config = |key: &str| {
        let said = &config[key];
        vocabulary.id(said.as_str().or_else(|| said["content"].as_str())?)
    };
    let by_kind = |name: &str| {
        let unknown = || vocabulary.kinds.iter().position(|&kind| kind == UNKNOWN);
        (name == "unknown").then(unknown).flatten().and_then(|id| u32::try_from(id).ok())
    };
    let id = |(name, setting, key): (&'static str, &str, &str)| {
        Some((name, from_settings(setting).or_else(|| from_config(key)).or_else(|| by_kind(name))?))
    };
    NAMED.into_iter().filter_map(id).collect()
}

/// The tokens that the tokenizer puts before and after a text, found on one.
fn around(model: &Checkpoint) -> Result<[Option<u32>; 2], String> {
    let tokenizer = model.tokenizer().map_err(|error| error.to_string())?;
    let (around, text) = match (tokenizer.prompt("a"), tokenizer.encode("a")) {
        (Ok(around), Ok(text)) => (around, text),
        (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
    };
    let begin = around.first().filter(|first| Some(*first) != text.first());
    let end = around.last().filter(|last| Some(*last) != text.last());
    Ok([begin.copied(), end.copied()])
}

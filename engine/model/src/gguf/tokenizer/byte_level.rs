//! Byte-pair encoding of bytes (Radford et al. 2019, section 2.2), as GPT-2 and models since have it.

use serde_json::{Value as Json, json};

use super::{Metadata, Parts, Vocabulary, texts};
use crate::gguf::value::Value;

/// How Llama 3 splits texts.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How Qwen 2 and 3 split texts.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How the tokenizer of Mistral NeMo splits texts.
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How texts are split before bytes are merged.
enum Split {
    /// As GPT-2.
    Gpt2,
    /// As GPT-2, with every digit alone.
    Digits,
    /// By an expression; composed characters first, if so.
    Expression(&'static str, bool),
}

/// The parts of tokenizer.json.
pub(super) fn parts(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<Parts, String> {
    let named = metadata.get("tokenizer.ggml.pre").and_then(Value::text).unwrap_or("gpt-2");
    let (split, begins) = match named {
        "gpt-2" | "default" | "mpt" | "olmo" => (Split::Gpt2, false),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => (Split::Digits, false),
        "llama-bpe" | "llama3" | "llama-v3" | "falcon3" | "smaug-bpe" => (Split::Expression(LLAMA3, false), true),
        "qwen2" | "deepseek-r1-qwen" => (Split::Expression(QWEN2, true), false),
        "tekken" => (Split::Expression(TEKKEN, false), true),
        other => return Err(format!("the file's tokenizer splits texts as `{other}`, which is not read")),
    };
    // These take whole tokens of the vocabulary before they merge.
    let whole = begins;
    let merges = texts(metadata, "tokenizer.ggml.merges")?;
    let pair = |merge: &&str| merge.split_once(' ').map(|(left, right)| json!([left, right]));
    let merges: Option<Vec<Json>> = merges.iter().map(pair).collect();
    let merges = merges.ok_or("a merge of the file's tokenizer is no pair of tokens")?;
    Ok(Parts {
        normalizer: if matches!(split, Split::Expression(_, true)) { json!({ "type": "NFC" }) } else { Json::Null },
        pre_tokenizer: split.json(),
        decoder: json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true }),
        model: json!({ "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": whole,
            "vocab": vocabulary.map(), "merges": merges }),
        begins,
    })
}

/// What a GGUF file calls the way in which the pre-tokenizer of a tokenizer.json splits texts; none where it has no name.
pub(in crate::gguf) fn split_name(pre_tokenizer: &Json) -> Option<&'static str> {
    let parts = match pre_tokenizer["pretokenizers"].as_array() {
        Some(list) => list.iter().collect(),
        None => vec![pre_tokenizer],
    };
    let kinds: Vec<&str> = parts.iter().filter_map(|part| part["type"].as_str()).collect();
    match kinds.as_slice() {
        ["ByteLevel"] => Some("gpt-2"),
        ["Digits", "ByteLevel"] if parts.first()?["individual_digits"] == true => Some("smollm"),
        ["Split", "ByteLevel"] => match parts.first()?["pattern"]["Regex"].as_str()? {
            LLAMA3 => Some("llama-bpe"),
            QWEN2 => Some("qwen2"),
            TEKKEN => Some("tekken"),
            _ => None,
        },
        _ => None,
    }
}

impl Split {
    fn json(&self) -> Json {
        let bytes = |regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex });
        let first = match self {
            Split::Gpt2 => return bytes(true),
            Split::Digits => {
                let digits = json!({ "type": "Digits", "individual_digits": true });
                return json!({ "type": "Sequence", "pretokenizers": [digits, bytes(true)] });
            }
            Split::Expression(expression, _) => json!({ "type": "Split", "pattern": { "Regex": expression },
                "behavior": "Isolated", "invert": false }),
        };
        json!({ "type": "Sequence", "pretokenizers": [first, bytes(false)] })
    }
}

//! SentencePiece with byte-pair encoding (Kudo and Richardson 2018), as Llama 1 and 2 and Mistral have it: pieces with
//! scores, of which the best pair is merged first. A pair's merge has the score of the piece it makes.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{Metadata, NORMAL, Parts, UNKNOWN, Vocabulary};
use crate::gguf::value::Value;

/// What stands for a space.
const SPACE: &str = "\u{2581}";

/// A longer piece is refused, since every split of every piece is looked at.
const LONGEST: usize = 1024;

/// The parts of tokenizer.json.
pub(super) fn parts(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<Parts, String> {
    let unknown = vocabulary.numbered().find(|&(_, _, kind)| kind == UNKNOWN).map(|(_, token, _)| token);
    let unknown = unknown.or_else(|| vocabulary.named(metadata, "unknown").map(|(_, token)| token));
    let replace = json!({ "type": "Replace", "pattern": { "String": " " }, "content": SPACE });
    let prefixed = metadata.get("tokenizer.ggml.add_space_prefix").and_then(Value::flag).unwrap_or(true);
    let prepend = prefixed.then(|| json!({ "type": "Prepend", "prepend": SPACE }));
    let normalizers: Vec<Json> = prepend.into_iter().chain([replace]).collect();
    let strip = prefixed.then(|| json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    let spaces = json!({ "type": "Replace", "pattern": { "String": SPACE }, "content": " " });
    let decoders = [spaces, json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" })];
    let decoders: Vec<Json> = decoders.into_iter().chain(strip).collect();
    Ok(Parts {
        normalizer: json!({ "type": "Sequence", "normalizers": normalizers }),
        pre_tokenizer: Json::Null,
        decoder: json!({ "type": "Sequence", "decoders": decoders }),
        model: json!({ "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": vocabulary.map(), "merges": merges(metadata, vocabulary)? }),
        begins: true,
    })
}

/// Every pair of pieces that makes a piece, the best first.
fn merges(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<Vec<Json>, String> {
    let scores = scores(metadata, vocabulary)?;
    let pieces: BTreeMap<&str, usize> =
        vocabulary.numbered().filter(|&(_, _, kind)| kind == NORMAL).map(|(index, piece, _)| (piece, index)).collect();
    let mut found: Vec<(f64, usize, usize, usize)> = Vec::new();
    for (&piece, &made) in &pieces {
        if piece.len() > LONGEST {
            return Err(format!(
                "a piece of the file's tokenizer has {} bytes, expected at most {LONGEST}",
                piece.len()
            ));
        }
        let score = scores.get(made).copied().unwrap_or_default();
        let splits = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
        let pairs = splits.filter_map(|(left, right)| Some((*pieces.get(left)?, *pieces.get(right)?)));
        found.extend(pairs.map(|(left, right)| (score, made, left, right)));
    }
    found.sort_by(|one, other| other.0.total_cmp(&one.0).then((one.1, one.2, one.3).cmp(&(other.1, other.2, other.3))));
    let text = |index: usize| vocabulary.tokens.get(index).copied().unwrap_or_default();
    Ok(found.into_iter().map(|(_, _, left, right)| json!([text(left), text(right)])).collect())
}

fn scores(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<Vec<f64>, String> {
    let key = "tokenizer.ggml.scores";
    let list = metadata.get(key).and_then(Value::list).ok_or_else(|| format!("key `{key}` holds no list"))?;
    let scores: Vec<f64> = list.iter().filter_map(|value| value.number()).collect();
    match scores.len() == vocabulary.tokens.len() {
        true => Ok(scores),
        false => Err(format!("the file has {} tokens, but {} scores", vocabulary.tokens.len(), scores.len())),
    }
}

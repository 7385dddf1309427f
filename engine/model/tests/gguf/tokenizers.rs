//! Tokenizers of metadata against those that they were made from.

use paring_model::Checkpoint;
use paring_model::text::Tokenizer;

use crate::{fixture, told};

fn tokenizer(file: &str) -> Tokenizer {
    Checkpoint::open(&fixture(file)).unwrap().tokenizer().unwrap()
}

/// The tokenizers package encoded these.
#[test]
fn bytes_are_merged_as_before() {
    let told = told();
    let (texts, ids) = (told["texts"].as_array().unwrap(), told["byte_level"].as_array().unwrap());
    let tokenizer = tokenizer("llama.gguf");
    assert_eq!((tokenizer.vocabulary(), texts.len(), ids.len()), (300, 6, 6));
    for (text, expected) in texts.iter().zip(ids) {
        let text = text.as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{text:?}");
    }
}

/// SentencePiece encoded these; texts begin with a token of their own.
#[test]
fn pieces_are_found_as_before() {
    let told = &told()["sentence_piece"];
    let (texts, ids) = (told["texts"].as_array().unwrap(), told["ids"].as_array().unwrap());
    let tokenizer = tokenizer("sentence_piece.gguf");
    assert_eq!((tokenizer.vocabulary(), texts.len(), ids.len()), (340, 5, 5));
    for (text, expected) in texts.iter().zip(ids) {
        let text = text.as_str().unwrap();
        let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), expected[1..], "{text:?}");
        assert_eq!(tokenizer.prompt(text).unwrap(), expected, "{text:?}");
        assert_eq!(tokenizer.decode(&expected[1..]).unwrap(), text);
    }
}

//! A tokenizer of whole words, with the special tokens of BERT.

use std::path::Path;

use serde_json::json;

use super::{TextInput, TokenRow, Tokenizer};
use crate::table::{Column, Table, Values};

/// `[CLS] a b [SEP]`, and `[CLS] a [SEP] b [SEP]` for pairs; it asks for truncation and padding, which are left out.
fn tokenizer() -> Tokenizer {
    of_words(2, ["a", "b", "c"])
}

/// The same of other words; `longest` is what it would truncate to.
fn of_words(longest: usize, [a, b, c]: [&str; 3]) -> Tokenizer {
    let vocabulary = json!({ "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, a: 3, b: 4, c: 5 });
    let special = |id: u32, name: &str| json!({ "id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
    let text = json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": longest, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": 9 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[UNK]" },
        "added_tokens": [special(1, "[CLS]"), special(2, "[SEP]")],
        "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": { "type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1] },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" },
    });
    Tokenizer::new(text.to_string().as_bytes(), Path::new("tokenizer.json")).unwrap()
}

#[test]
fn tokenizers_are_the_same_where_tokens_are() {
    assert!(tokenizer().is_same(&of_words(7, ["a", "b", "c"])));
    assert!(!tokenizer().is_same(&of_words(2, ["a", "c", "b"])));
}

fn table(columns: &[(&str, &[&str])]) -> Table {
    let column = |(name, cells): &(&str, &[&str])| Column {
        name: (*name).to_owned(),
        values: Values::Text(cells.iter().map(|&cell| (cell != "-").then(|| cell.to_owned())).collect()),
    };
    Table { rows: columns[0].1.len(), columns: columns.iter().map(column).collect() }
}

fn input(pair: Option<&str>, max_length: usize) -> TextInput {
    TextInput { column: "text".to_owned(), pair: pair.map(str::to_owned), max_length }
}

#[test]
fn rows_have_their_own_length_and_special_tokens() {
    let rows = tokenizer().rows(&input(None, 8), &table(&[("text", &["a b", "c", ""])])).unwrap();
    let ids: Vec<_> = rows.iter().map(|row| row.ids.clone()).collect();
    assert_eq!(ids, [vec![1, 3, 4, 2], vec![1, 5, 2], vec![1, 2]]);
}

#[test]
fn pairs_are_told_apart_and_the_longer_text_is_cut_first() {
    let rows = table(&[("text", &["a b c a b c"]), ("other", &["a"])]);
    let found = tokenizer().rows(&input(Some("other"), 7), &rows).unwrap();
    let expected = TokenRow { ids: vec![1, 3, 4, 5, 2, 3, 2], types: vec![0, 0, 0, 0, 0, 1, 1] };
    assert_eq!(found, [expected]);
}

#[test]
fn whole_texts_have_no_special_tokens_and_come_back() {
    let tokenizer = tokenizer();
    let ids = tokenizer.encode("a b c a b c").unwrap();
    assert_eq!(ids, [3, 4, 5, 3, 4, 5]);
    assert_eq!(tokenizer.decode(&[1, 3, 4, 2]).unwrap(), "a b");
    assert_eq!((tokenizer.vocabulary(), tokenizer.token("b"), tokenizer.token("z")), (6, Some(4), None));
}

#[test]
fn what_cannot_be_read_is_named() {
    let tokenizer = tokenizer();
    let message = |input: &TextInput, rows: &Table| tokenizer.rows(input, rows).unwrap_err().to_string();
    assert_eq!(
        message(&input(None, 8), &table(&[("text", &["a", "-"])])),
        "column `text`, row 2: the cell is empty, expected text"
    );
    assert_eq!(message(&input(None, 8), &table(&[("words", &["a"])])), "column `text` is missing from the rows");
    assert_eq!(
        message(&input(None, 2), &table(&[("text", &["a"])])),
        "rows have at most 2 tokens, expected at least 3: the tokenizer adds 2 special ones"
    );
    let numbers =
        Table { columns: vec![Column { name: "text".to_owned(), values: Values::Number(vec![Some(1.0)]) }], rows: 1 };
    assert_eq!(message(&input(None, 8), &numbers), "column `text` holds numbers, expected text");
    let error = Tokenizer::new(b"{}", Path::new("tokenizer.json")).unwrap_err().to_string();
    assert!(error.starts_with("`tokenizer.json` is not a valid tokenizer.json file: "), "{error}");
}

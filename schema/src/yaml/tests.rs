//! Hostile text: each gets an error or works, soon.

use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

use super::{MAX_WEIGHT, parse};
use crate::diagnostic::Diagnostic;
use crate::node::Node;
use crate::source::Sources;

fn parsed(text: &str) -> Result<Node, Vec<Diagnostic>> {
    let mut sources = Sources::default();
    let id = sources.add("a.yaml", text);
    parse(&sources, id)
}

fn value(text: &str) -> Value {
    parsed(text).expect("is valid").to_json()
}

/// Code, marked text and message of the only problem.
fn problem(text: &str) -> (&'static str, String, String) {
    let problems = parsed(text).expect_err("is not valid");
    assert_eq!(problems.len(), 1, "{problems:?}");
    let span = problems[0].labels[0].span;
    (problems[0].code, text[span.start..span.end].to_owned(), problems[0].message.clone())
}

fn code(text: &str) -> &'static str {
    problem(text).0
}

#[test]
fn anchors_aliases_and_merges_work() {
    assert_eq!(value("a: &x [1, 2]\nb: *x\n"), json!({ "a": [1, 2], "b": [1, 2] }));
    assert_eq!(value("a: &x { k: 1, l: 2 }\nb: { <<: *x, l: 3 }\n")["b"], json!({ "l": 3, "k": 1 }));
}

#[test]
fn a_key_beats_a_merged_one_and_the_first_merged_map_the_next() {
    let text = "a: &a { k: 1, l: 1 }\nb: &b { k: 2, m: 2 }\nc: { k: 0, <<: [*a, *b] }\nd: { <<: [*b, *a] }\n";
    assert_eq!(value(text)["c"], json!({ "k": 0, "l": 1, "m": 2 }));
    assert_eq!(value(text)["d"], json!({ "k": 2, "m": 2, "l": 1 }));
}

#[test]
fn a_quoted_merge_key_is_a_key() {
    assert_eq!(value("'<<': 1"), json!({ "<<": 1 }));
    assert_eq!(code("<<: 1"), "Y013");
    assert_eq!(code("a: &a {}\nb:\n  <<: *a\n  <<: *a\n"), "Y012");
}

#[test]
fn spans_are_bytes() {
    let node = parsed("é: ü\nkey: [a, \"b c\"]\n").unwrap();
    let text = "é: ü\nkey: [a, \"b c\"]\n";
    let at = |span: crate::source::Span| &text[span.start..span.end];
    assert_eq!(at(node.pointer("/é").unwrap().span), "ü");
    assert_eq!(at(node.key_span("/key").unwrap()), "key");
    assert_eq!(at(node.pointer("/key").unwrap().span), "[a, \"b c\"]");
    assert_eq!(at(node.pointer("/key/1").unwrap().span), "\"b c\"");
}

#[test]
fn billion_laughs_end_at_the_limit() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    let (code, _, message) = problem(&text);
    assert_eq!(
        (code, message),
        ("Y008", format!("the recipe is too large: more than {MAX_WEIGHT} values, aliases followed"))
    );
}

#[test]
fn a_long_text_repeated_by_aliases_ends_at_the_limit() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(400_000), vec!["*a"; 1000].join(", "));
    assert_eq!(code(&text), "Y008");
}

#[test]
fn depth_is_limited_in_every_notation() {
    assert_eq!(code(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000))), "Y007");
    assert_eq!(code(&"- ".repeat(10_000)), "Y007");
    assert_eq!(code(&"{a: ".repeat(10_000)), "Y007");
    let block: String = (0..10_000).map(|level| format!("{}a:\n", " ".repeat(level.min(80)))).collect();
    assert!(parsed(&block).is_err());
    let chain: String = (1..200).map(|level| format!("a{level}: &a{level} [*a{}]\n", level - 1)).collect();
    assert_eq!(code(&format!("a0: &a0 []\n{chain}")), "Y007");
}

#[test]
fn duplicate_keys_show_both_places() {
    let problems = parsed("seed: 1\nname: a\nseed: 2\n").unwrap_err();
    let starts: Vec<_> = problems[0].labels.iter().map(|label| label.span.start).collect();
    assert_eq!((problems[0].code, starts), ("Y012", vec![16, 0]));
}

#[test]
fn refused_with_a_place() {
    assert_eq!(problem("a:\n\tb: 1\n").0, "Y005");
    assert_eq!(problem("a: 1\n---\nb: 2\n").0, "Y006");
    assert_eq!(problem("a: *b\n"), ("Y009", "*".to_owned(), "this alias names no anchor".to_owned()));
    assert_eq!(code("a: &a [*a]\n"), "Y009");
    assert_eq!(problem("a: .inf\n"), ("Y010", ".inf".to_owned(), "`.inf` is not a finite number".to_owned()));
    assert_eq!(problem("a: !include b\n").1, "!include b");
    assert_eq!(problem("1: a\n"), ("Y014", "1".to_owned(), "this key is a number, expected a text".to_owned()));
    assert_eq!(code("true: a\n"), "Y014");
    assert_eq!(code(": a\n"), "Y014");
    assert_eq!(code("[a]: b\n"), "Y014");
    assert_eq!(code("a: \u{202e}b\n"), "Y003");
    assert_eq!(code("a: \0b\n"), "Y003");
    assert_eq!(code("a: [1\n"), "Y004");
    assert_eq!(code("a: b: c\n"), "Y004");
}

#[test]
fn several_problems_are_all_told() {
    let problems = parsed("a: .nan\nb: 1\nb: 2\n3: x\n").unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.code).collect::<Vec<_>>(), ["Y010", "Y012", "Y014"]);
}

#[test]
fn windows_line_ends_and_str_tags_work() {
    assert_eq!(value("a: 1\r\nb: !!str 2\r\n"), json!({ "a": 1, "b": "2" }));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[-a-c:\\[\\]{}&*!|>'\"%@,?#$ \n\t0-9~<é]{0,80}") {
        let _ = parsed(&text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(text) = super::decode(bytes, "a.yaml") {
            let _ = parsed(&text);
        }
    }
}

//! Tests of the whole rendering.

use super::{Diagnostic, Diagnostics, render, to_json};
use crate::source::{Sources, Span};

const TEXT: &str =
    "paring: 1\nname: tiny\nstages:\n  - quantize/rtn: { bits: 8 }\n\n\n\n  - prune/magnitude: { sparsity: 0.5 }\n";

fn span_of(sources: &Sources, word: &str) -> Span {
    for (index, source) in sources.iter().enumerate() {
        if let Some(start) = source.text.find(word) {
            return Span { source: crate::source::SourceId(index), start, end: start + word.len() };
        }
    }
    panic!("no {word}");
}

fn one(problem: impl Fn(&Sources) -> Diagnostic) -> Diagnostics {
    let mut sources = Sources::default();
    sources.add("recipes/tiny.yaml", TEXT);
    sources.add("--set", "bits=8");
    let problem = problem(&sources);
    Diagnostics { sources, list: vec![problem] }
}

#[test]
fn two_places_of_one_file_stand_in_one_snippet() {
    let diagnostics = one(|sources| {
        Diagnostic::new("P007", "pass `prune/magnitude` needs float weights, but stage `int8` leaves them quantized")
            .label(span_of(sources, "prune/magnitude"), "needs f16, bf16 or f32")
            .label(span_of(sources, "quantize/rtn"), "weights become int8 here")
            .help("move stage `sparsify` before stage `int8`")
    });
    insta::assert_snapshot!(render(&diagnostics, false, false, 100), @r###"
    error[P007]: pass `prune/magnitude` needs float weights, but stage `int8` leaves them quantized
       ,-[recipes/tiny.yaml:4:5]
     4 |   - quantize/rtn: { bits: 8 }
       :     ^^^^^^|^^^^^
       :           `-- weights become int8 here
       `----
       ,-[recipes/tiny.yaml:8:5]
     8 |   - prune/magnitude: { sparsity: 0.5 }
       :     ^^^^^^^|^^^^^^^
       :            `-- needs f16, bf16 or f32
       `----
    help: move stage `sparsify` before stage `int8`

    error: 1 problem in recipes/tiny.yaml
    "###);
}

#[test]
fn two_files_give_two_snippets() {
    let diagnostics = one(|sources| {
        Diagnostic::new("R004", "`bits` is 8")
            .label(span_of(sources, "bits: 8"), "")
            .label(span_of(sources, "bits=8"), "given here")
    });
    insta::assert_snapshot!(render(&diagnostics, false, true, 100), @r###"
    error[R004]: `bits` is 8
       ╭─[recipes/tiny.yaml:4:21]
     4 │   - quantize/rtn: { bits: 8 }
       ·                     ───────
       ╰────
       ╭─[--set:1:1]
     1 │ bits=8
       · ───┬──
       ·    ╰── given here
       ╰────

    error: 1 problem in recipes/tiny.yaml
    "###);
}

#[test]
fn a_problem_without_a_place_is_a_header_and_a_cure() {
    let diagnostics = one(|_| {
        Diagnostic::new("Y001", "`a.yaml` cannot be read: there is no such file")
            .help("a help that is long enough to be wrapped")
    });
    insta::assert_snapshot!(render(&diagnostics, false, true, 30), @r###"
    error[Y001]: `a.yaml` cannot be read: there is no such file
    help: a help that is long
          enough to be wrapped

    error: 1 problem in recipes/tiny.yaml
    "###);
}

#[test]
fn colour_adds_escapes_and_nothing_else() {
    let diagnostics =
        one(|sources| Diagnostic::new("R004", "wrong").label(span_of(sources, "tiny"), "here").help("fix it"));
    let coloured = render(&diagnostics, true, true, 100);
    let plain = render(&diagnostics, false, true, 100);
    assert!(coloured.contains("\u{1b}[31m"), "{coloured:?}");
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    assert_eq!(stripped + rest, plain);
}

#[test]
fn a_terminal_is_never_sent_control_characters() {
    let diagnostics = one(|_| Diagnostic::new("R004", "found `\u{1b}[31m\u{202e}`"));
    assert_eq!(render(&diagnostics, false, true, 100).lines().next(), Some("error[R004]: found `?[31m\u{fffd}`"));
}

#[test]
fn a_very_long_line_is_named_and_not_shown() {
    let mut sources = Sources::default();
    let id = sources.add("a.yaml", format!("a: 1\nb: {}", "x".repeat(1000)));
    let problem = Diagnostic::new("R004", "wrong").label(Span { source: id, start: 8, end: 1008 }, "");
    let rendered = render(&Diagnostics { sources, list: vec![problem] }, false, true, 100);
    assert_eq!(rendered, "error[R004]: wrong\n  at a.yaml:2:4\n\nerror: 1 problem in a.yaml\n");
}

#[test]
fn data_form_has_lines_and_columns() {
    let diagnostics = one(|sources| Diagnostic::new("R004", "wrong").label(span_of(sources, "tiny"), "here"));
    insta::assert_json_snapshot!(to_json(&diagnostics), @r###"
    [
      {
        "code": "R004",
        "message": "wrong",
        "labels": [
          {
            "file": "recipes/tiny.yaml",
            "line": 2,
            "column": 7,
            "end_line": 2,
            "end_column": 11,
            "text": "here"
          }
        ],
        "help": null
      }
    ]
    "###);
}

#[test]
fn problems_come_in_file_order_and_once() {
    let mut sources = Sources::default();
    let id = sources.add("a.yaml", TEXT);
    let at = |start| Span { source: id, start, end: start + 1 };
    let problem = |start| Diagnostic::new("R004", "wrong").label(at(start), "");
    let nowhere = Diagnostic::new("Y001", "nowhere");
    let list = vec![nowhere.clone(), problem(9), problem(2), problem(9)];
    assert_eq!(Diagnostics::new(sources, list).list, [problem(2), problem(9), nowhere]);
}

//! YAML text to a value with spans. Hostile text gets an error: limits on size, depth and aliases.
//!
//! Architecture invariant: the text is parsed once, without recursion, and what is built is bounded by [`MAX_WEIGHT`]
//! and [`MAX_DEPTH`], aliases included, so that everything after may walk the value recursively.

mod build;
mod read;
mod scalar;

use saphyr_parser::{Event, Parser, ScanError};

pub(crate) use read::decode;
pub use read::read_file;
pub use scalar::resolve_plain;

use crate::diagnostic::Diagnostic;
use crate::node::{Node, NodeValue};
use crate::source::{SourceId, Sources, Span};
use build::Builder;

/// Largest text, in bytes: 1 MiB.
pub const MAX_BYTES: u64 = 1 << 20;
/// Deepest nesting of lists and maps, aliases followed.
pub const MAX_DEPTH: usize = 64;
/// Largest value: one for each scalar, list and map and one more for each 32 bytes of text, aliases followed.
pub const MAX_WEIGHT: usize = 200_000;

/// Parses one text.
///
/// # Errors
/// All problems up to the first that makes the rest unreadable.
pub fn parse(sources: &Sources, id: SourceId) -> Result<Node, Vec<Diagnostic>> {
    let text = &sources.get(id).text;
    let offsets = Offsets::new(id, text);
    if let Some(problem) = unprintable(text, id) {
        return Err(vec![problem]);
    }
    let mut builder = Builder::new(offsets);
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let step = match next {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(scan_problem(&error, &builder.offsets)),
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            return Err(builder.problems);
        }
    }
    let nothing =
        Node { value: NodeValue::Scalar(serde_yaml::Value::Null), span: Span { source: id, start: 0, end: 0 } };
    if builder.problems.is_empty() { Ok(builder.root.unwrap_or(nothing)) } else { Err(builder.problems) }
}

/// Parses a text that must be one scalar, as after `--set name=`; `at` is where it starts in its source.
///
/// # Errors
/// When it is not a scalar.
pub fn parse_scalar(text: &str) -> Option<serde_yaml::Value> {
    let mut sources = Sources::default();
    let id = sources.add("", text);
    match parse(&sources, id) {
        Ok(Node { value: NodeValue::Scalar(scalar), .. }) => Some(scalar),
        _ => None,
    }
}

/// Turns the parser's character positions into byte spans.
pub(crate) struct Offsets {
    source: SourceId,
    bytes: Vec<usize>,
    length: usize,
}

impl Offsets {
    fn new(source: SourceId, text: &str) -> Self {
        let bytes = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self { source, bytes, length: text.len() }
    }

    fn byte(&self, character: usize) -> usize {
        if self.bytes.is_empty() {
            return character.min(self.length);
        }
        self.bytes.get(character).copied().unwrap_or(self.length)
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        Span { source: self.source, start: self.byte(span.start.index()), end: self.byte(span.end.index()) }
    }
}

/// The first character that YAML does not allow, or that would change how a terminal shows the text.
fn unprintable(text: &str, source: SourceId) -> Option<Diagnostic> {
    let (at, found) = text.char_indices().find(|(_, c)| crate::diagnostic::is_unprintable(*c))?;
    let span = Span { source, start: at, end: at + found.len_utf8() };
    let message = format!("the recipe holds the unprintable character U+{:04X}", u32::from(found));
    Some(
        Diagnostic::new("Y003", message)
            .label(span, "not allowed in a recipe")
            .help("remove it, or write it as an escape in a double-quoted string"),
    )
}

fn scan_problem(error: &ScanError, offsets: &Offsets) -> Diagnostic {
    let start = offsets.byte(error.marker().index());
    let span = Span { source: offsets.source, start, end: (start + 1).min(offsets.length) };
    let info = error.info();
    if info.contains("tab") {
        return Diagnostic::new("Y005", "a tab indents this line, expected spaces")
            .label(span, "")
            .help("indent with spaces");
    }
    if info.contains("unknown anchor") {
        return Diagnostic::new("Y009", "this alias names no anchor")
            .label(span, "")
            .help("define the anchor with `&name` before its first use `*name`");
    }
    if info.contains("recursion limit") {
        return too_deep(span);
    }
    let problem = Diagnostic::new("Y004", format!("this is not YAML: {}", plain_words(info))).label(span, "");
    match cure(info) {
        Some(help) => problem.help(help),
        None => problem,
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new("Y007", format!("the recipe nests deeper than {MAX_DEPTH} levels"))
        .label(span, "the limit is passed here")
}

/// The parser's words without its grammar names.
fn plain_words(info: &str) -> String {
    let words = info.strip_prefix("while parsing a ").unwrap_or(info);
    let words = words.strip_prefix("while parsing ").unwrap_or(words);
    let words = words.strip_prefix("while scanning a ").unwrap_or(words);
    words.replace("<document start>", "the start of a document").trim_end_matches('.').to_lowercase()
}

fn cure(info: &str) -> Option<&'static str> {
    let cures = [
        ("mapping values are not allowed", "quote a text that holds `: `, and check the indentation"),
        ("did not find expected key", "check the indentation of this line against the one before"),
        ("did not find expected '-'", "check the indentation of this line against the one before"),
        ("simple key", "check that the key ends in `: `"),
        ("flow", "check that every `[` and `{` is closed"),
        ("quoted scalar", "check that every quote is closed"),
    ];
    cures.iter().find(|(part, _)| info.contains(part)).map(|(_, help)| *help)
}

#[cfg(test)]
mod tests;

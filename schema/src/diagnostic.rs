//! Diagnostics: what is wrong, where, and the cure.

mod render;

use serde_json::{Value, json};

pub use render::render;

use crate::source::{Sources, Span};

/// One problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Stable code: `R004`. Every code has an entry in [`crate::codes::CODES`].
    pub code: &'static str,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Where; the first is the smallest wrong thing.
    pub labels: Vec<Label>,
    /// The cure.
    pub help: Option<String>,
}

/// A place and what to say there.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// May be empty.
    pub text: String,
}

/// Problems with the texts they point into.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics {
    /// The texts.
    pub sources: Sources,
    /// The problems, in file order, each once.
    pub list: Vec<Diagnostic>,
}

impl Diagnostic {
    /// A problem with no place.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), labels: Vec::new(), help: None }
    }

    /// Adds a place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds the cure.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Diagnostics {
    /// Problems in file order, each once.
    pub fn new(sources: Sources, list: Vec<Diagnostic>) -> Self {
        let mut list = list;
        let place = |problem: &Diagnostic| problem.labels.first().map(|label| label.span);
        list.sort_by_key(|problem| (place(problem).is_none(), place(problem)));
        list.dedup_by(|a, b| a.code == b.code && a.message == b.message && place(a) == place(b));
        Self { sources, list }
    }

    /// `error: 3 problems in recipes/x.yaml`
    pub fn count_line(&self) -> String {
        let problems = counted(self.list.len(), "problem");
        match self.sources.first() {
            Some(source) => format!("error: {problems} in {}", source.name),
            None => format!("error: {problems}"),
        }
    }
}

/// `1 problem`, `2 problems`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The problems as data: code, message, labels with file, line, column and end, help. Lines and columns count from 1;
/// the end is one past the last character.
pub fn to_json(diagnostics: &Diagnostics) -> Value {
    let sources = &diagnostics.sources;
    let label = |label: &Label| {
        let Span { source, start, end } = label.span;
        let (line, column) = sources.line_column(source, start);
        let (end_line, end_column) = sources.line_column(source, end);
        json!({
            "file": sources.get(source).name, "line": line, "column": column,
            "end_line": end_line, "end_column": end_column, "text": label.text,
        })
    };
    let problem = |problem: &Diagnostic| {
        let labels: Vec<Value> = problem.labels.iter().map(label).collect();
        json!({ "code": problem.code, "message": problem.message, "labels": labels, "help": problem.help })
    };
    Value::Array(diagnostics.list.iter().map(problem).collect())
}

/// Characters that a recipe may not hold and a terminal is never sent: control characters, and those that change the
/// direction of the text after them.
pub(crate) fn is_unprintable(c: char) -> bool {
    let control = c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    control || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests;

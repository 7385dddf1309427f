//! Diagnostics: what is wrong, where, and the cure.

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

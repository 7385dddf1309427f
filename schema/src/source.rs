//! Source texts and spans in them.

/// One of the texts of a run: a recipe file, a file it extends, a `--set` argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub usize);

/// Bytes `start..end` of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The text.
    pub source: SourceId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One text.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// The path as the user wrote it, or `--set`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// All texts of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sources {
    texts: Vec<Source>,
}

impl Sources {
    /// Adds a text.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.texts.push(Source { name: name.into(), text: text.into() });
        SourceId(self.texts.len() - 1)
    }

    /// The text of that id.
    pub fn get(&self, id: SourceId) -> &Source {
        &self.texts[id.0]
    }
}

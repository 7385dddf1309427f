//! Source texts and spans in them.

/// One of the texts of a run: a recipe file, a file it extends, a `--set` argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub usize);

/// Bytes `start..end` of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

static NOWHERE: Source = Source { name: String::new(), text: String::new() };

impl Sources {
    /// Adds a text.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> SourceId {
        self.texts.push(Source { name: name.into(), text: text.into() });
        SourceId(self.texts.len() - 1)
    }

    /// The text of that id; an empty one for an id of another run.
    pub fn get(&self, id: SourceId) -> &Source {
        self.texts.get(id.0).unwrap_or(&NOWHERE)
    }

    /// All texts, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.texts.iter()
    }

    /// The first text: the recipe itself.
    pub fn first(&self) -> Option<&Source> {
        self.texts.first()
    }

    /// Line and column of a byte of a source, both from 1; columns count characters.
    pub fn line_column(&self, id: SourceId, byte: usize) -> (usize, usize) {
        let text = &self.get(id).text;
        let mut end = byte.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.bytes().filter(|&b| b == b'\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::Sources;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let mut sources = Sources::default();
        let id = sources.add("a.yaml", "a: é\nbé: 1\n");
        assert_eq!(sources.line_column(id, 0), (1, 1));
        assert_eq!(sources.line_column(id, 9), (2, 3));
        assert_eq!(sources.line_column(id, 10_000), (3, 1));
    }
}

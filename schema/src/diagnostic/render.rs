//! Diagnostics for people: the header, the source lines with carets, the cure.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, NamedSource, SourceCode, SourceSpan,
    SpanContents, ThemeCharacters, ThemeStyles,
};

use super::{Diagnostic, Diagnostics, Label, is_unprintable};
use crate::source::Sources;

/// Problems shown in full; the count line tells how many there are.
const SHOWN: usize = 50;
/// A line longer than this, in bytes, is named and not shown.
const LONGEST_LINE: usize = 500;

/// Renders all problems, then their count. `width` is where help texts wrap, in columns.
pub fn render(diagnostics: &Diagnostics, colour: bool, unicode: bool, width: usize) -> String {
    let pen = Pen::new(colour, unicode, width, &diagnostics.sources);
    let mut out = String::new();
    for problem in diagnostics.list.iter().take(SHOWN) {
        out.push_str(&pen.problem(problem));
        out.push('\n');
    }
    out.push_str(&diagnostics.count_line());
    if diagnostics.list.len() > SHOWN {
        out.push_str(&format!(", the first {SHOWN} are shown"));
    }
    out.push('\n');
    out
}

struct Pen {
    colour: bool,
    unicode: bool,
    width: usize,
    texts: Vec<Text>,
}

impl Pen {
    fn new(colour: bool, unicode: bool, width: usize, sources: &Sources) -> Self {
        let named = |source: &crate::source::Source| Text(NamedSource::new(&source.name, printable(&source.text)));
        Self { colour, unicode, width, texts: sources.iter().map(named).collect() }
    }

    fn problem(&self, problem: &Diagnostic) -> String {
        let mut out = self.header(problem);
        for labels in by_source(&problem.labels) {
            out.push_str(&self.snippet(labels));
        }
        if let Some(help) = &problem.help {
            out.push_str(&self.help(help));
        }
        out
    }

    fn header(&self, problem: &Diagnostic) -> String {
        let report = Report { message: printable(&problem.message), ..Report::default() };
        self.draw(&report, &format!("error[{}]:", problem.code), usize::MAX).trim_start().to_owned()
    }

    fn help(&self, help: &str) -> String {
        let report = Report { help: Some(printable(help)), ..Report::default() };
        let lines = without_first_line(&self.draw(&report, "", self.width));
        // The mark may stand behind a colour.
        let lines = lines.replacen("  help: ", "help: ", 1);
        lines.lines().flat_map(|line| [line.strip_prefix("  ").unwrap_or(line), "\n"]).collect()
    }

    /// The lines of one source that the labels point into.
    fn snippet(&self, labels: &[Label]) -> String {
        let Some(first) = labels.first() else { return String::new() };
        let Some(text) = self.texts.get(first.span.source.0) else { return String::new() };
        let words = text.0.inner();
        if labels.iter().any(|label| line_length(words, label.span.start) > LONGEST_LINE) {
            return place(&text.0, first);
        }
        let spans = labels.iter().enumerate().map(|(index, label)| labeled_span(words, label, index == 0));
        let report = Report { text: Some(text), labels: spans.collect(), ..Report::default() };
        without_first_line(&self.draw(&report, "", usize::MAX))
    }

    fn draw(&self, report: &Report<'_>, mark: &str, width: usize) -> String {
        let characters = if self.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() };
        let characters = ThemeCharacters { error: mark.to_owned(), ..characters };
        let styles = if self.colour { ThemeStyles::ansi() } else { ThemeStyles::none() };
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme { characters, styles })
            .without_syntax_highlighting()
            .with_context_lines(1)
            .with_wrap_lines(width != usize::MAX)
            .with_break_words(false)
            .with_width(width);
        let mut out = String::new();
        // Writing to a string cannot fail, and every label lies inside its text.
        let _ = handler.render_report(&mut out, report);
        out.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
    }
}

/// A source that shows the lines of a span and none around them.
#[derive(Debug)]
struct Text(NamedSource<String>);

impl SourceCode for Text {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        if lines_before == 0 && lines_after == 0 {
            return self.0.read_span(span, 0, 0);
        }
        let (start, end) = (span.offset(), span.offset() + span.len());
        let text = self.0.inner();
        let from = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
        let to = text.get(end..).and_then(|after| after.find('\n')).map_or(text.len(), |at| end + at);
        self.0.read_span(&(from, to - from).into(), 0, 0)
    }
}

/// One miette diagnostic: a header, a snippet or a help.
#[derive(Debug, Default)]
struct Report<'a> {
    message: String,
    text: Option<&'a Text>,
    labels: Vec<LabeledSpan>,
    help: Option<String>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.text.map(|text| text as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }
}

/// Where a label is, for a line too long to show.
fn place(text: &NamedSource<String>, label: &Label) -> String {
    let mut sources = Sources::default();
    let id = sources.add(text.name(), text.inner().as_str());
    let (line, column) = sources.line_column(id, label.span.start);
    format!("  at {}:{line}:{column} {}", text.name(), printable(&label.text)).trim_end().to_owned() + "\n"
}

/// Labels in runs of one source each; the source of the first label comes first.
fn by_source(labels: &[Label]) -> impl Iterator<Item = &[Label]> {
    labels.chunk_by(|a, b| a.span.source == b.span.source)
}

/// A label on the first line of its span, at least one character wide.
fn labeled_span(text: &str, label: &Label, primary: bool) -> LabeledSpan {
    let start = label.span.start.min(text.len());
    let line_end = text.get(start..).and_then(|rest| rest.find(['\n', '\r'])).map_or(text.len(), |at| start + at);
    let end = label.span.end.clamp(start, line_end);
    let words = (!label.text.is_empty()).then(|| printable(&label.text));
    let length = (end - start).max(usize::from(start < line_end));
    if primary {
        LabeledSpan::new_primary_with_span(words, (start, length))
    } else {
        LabeledSpan::new_with_span(words, (start, length))
    }
}

fn line_length(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    let start = text.as_bytes()[..at].iter().rposition(|&b| b == b'\n').map_or(0, |found| found + 1);
    let end = text.as_bytes()[at..].iter().position(|&b| b == b'\n').map_or(text.len(), |found| at + found);
    end - start
}

fn without_first_line(text: &str) -> String {
    text.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned())
}

/// Unprintable characters replaced, byte for byte, so that spans still fit.
fn printable(text: &str) -> String {
    let replace = |c: char| match c.len_utf8() {
        _ if !is_unprintable(c) => c,
        1 => '?',
        2 => '\u{b7}',
        _ => '\u{fffd}',
    };
    text.chars().map(replace).collect()
}

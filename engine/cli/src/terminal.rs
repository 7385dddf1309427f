//! Standard error: whether it is a terminal, how wide it is, whether it has colours; diagnostics and notices.

use std::io::{IsTerminal as _, Write as _};

use paring_engine::schema::Diagnostics;
use paring_engine::schema::diagnostic::render;

/// What standard error can show.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// A person watches: progress bars make sense.
    pub interactive: bool,
    /// Colours are wanted and possible.
    pub colour: bool,
    /// Columns.
    pub width: usize,
}

/// Columns where nobody said how many there are: files and pipes need no wrapping.
const WIDE: usize = 200;

fn measured_width() -> Option<usize> {
    terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| usize::from(width.0))
}

impl Terminal {
    /// Looks at standard error, NO_COLOR, TERM and COLUMNS.
    pub fn detect() -> Self {
        let interactive = std::io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        Self {
            interactive: interactive && !dumb,
            colour: interactive && !dumb && !refused,
            width: columns.or_else(measured_width).unwrap_or(WIDE).clamp(40, WIDE),
        }
    }

    /// A line to standard error. A closed standard error is nobody's loss.
    pub fn say(&self, line: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Problems, rendered.
    pub fn diagnostics(&self, diagnostics: &Diagnostics) {
        let unicode = !std::env::var("LC_ALL").or_else(|_| std::env::var("LANG")).is_ok_and(|lang| lang == "C");
        self.say(render(diagnostics, self.colour, unicode, self.width).trim_end());
    }
}

//! Exit codes, and the failures that end a command.

use std::process::ExitCode;

use paring_engine::schema::diagnostic::to_json;
use paring_engine::schema::{Diagnostic, Diagnostics};

use crate::terminal::Terminal;

/// Done.
pub const DONE: u8 = 0;
/// The recipe or the command line is wrong.
pub const WRONG: u8 = 2;

/// What ended a command early.
pub enum Failure {
    /// Problems to be rendered, and the exit code.
    Diagnostics(Box<Diagnostics>, u8),
    /// Problems to be printed as JSON: exit code 2.
    Json(Box<Diagnostics>),
    /// Standard output is closed or full.
    Output(std::io::Error),
}

impl Failure {
    /// Problems of the recipe or the command line: exit code 2.
    pub fn wrong(diagnostics: Diagnostics) -> Self {
        Self::Diagnostics(Box::new(diagnostics), WRONG)
    }

    /// One problem of the command line, with no place in a text: exit code 2.
    pub fn plain(code: &'static str, message: impl Into<String>) -> Self {
        Self::wrong(Diagnostics { list: vec![Diagnostic::new(code, message)], ..Diagnostics::default() })
    }

    /// Problems of the recipe, to be printed as JSON on standard output if a program reads.
    pub fn maybe_json(diagnostics: Box<Diagnostics>, json: bool) -> Self {
        if json { Self::Json(diagnostics) } else { Self::Diagnostics(diagnostics, WRONG) }
    }

    /// Shows the failure on standard error and gives the exit code.
    pub fn report(self, terminal: &Terminal) -> ExitCode {
        match self {
            Failure::Diagnostics(diagnostics, code) => {
                terminal.diagnostics(&diagnostics);
                ExitCode::from(code)
            }
            Failure::Json(diagnostics) => match crate::output::json(&to_json(&diagnostics)) {
                Ok(()) => ExitCode::from(WRONG),
                Err(error) => Failure::Output(error).report(terminal),
            },
            // The reader of a pipe has seen enough: not worth a word.
            Failure::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::from(DONE),
            Failure::Output(error) => {
                terminal.say(&format!("error: cannot write to standard output: {error}"));
                ExitCode::from(1)
            }
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Output(error)
    }
}

/// The result of a command.
pub type CommandResult = Result<ExitCode, Failure>;

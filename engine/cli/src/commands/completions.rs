//! `paring completions SHELL`: a completion script.

use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::exit::CommandResult;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell.
    pub shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// When standard output is closed.
pub fn execute(arguments: &CompletionsArguments) -> CommandResult {
    let mut script = Vec::new();
    generate(arguments.shell, &mut Arguments::command(), "paring", &mut script);
    crate::output::line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

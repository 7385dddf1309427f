//! `paring generate MODEL PROMPT`: how a model continues a text.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paring_engine::quicklook::{Continuation, LookError, generate, open};

use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// A model that continues texts: a directory, a GGUF file, or `hf://org/name@revision`.
    pub model: PathBuf,
    /// The beginning of the text.
    pub prompt: String,
    /// Most tokens to go on for.
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub tokens: usize,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the continuation as it comes: the most likely token, again and again.
///
/// # Errors
/// When the model cannot be read, or does not continue texts.
pub fn execute(arguments: &GenerateArguments, terminal: &Terminal) -> CommandResult {
    let model = open(&arguments.model).map_err(|error| failed(&error))?;
    let mut shown = Ok(());
    let mut show = |piece: &str| {
        if shown.is_ok() && !arguments.json {
            shown = output::piece(piece);
        }
    };
    let found = generate(&model, &arguments.prompt, arguments.tokens, &mut show).map_err(|error| failed(&error))?;
    shown?;
    if arguments.json {
        output::json(&found)?;
    } else {
        output::line("")?;
        terminal.say(&speed(&found));
    }
    Ok(ExitCode::SUCCESS)
}

/// A model that cannot be looked at.
pub fn failed(error: &LookError) -> Failure {
    let code = if matches!(error, LookError::Hub(_)) { "M003" } else { "M001" };
    Failure::plain(code, error.to_string())
}

fn speed(found: &Continuation) -> String {
    let rate = |tokens: usize, seconds: f64| tokens as f64 / seconds.max(1e-9);
    format!(
        "{} tokens read at {:.1} a second, {} written at {:.1} a second",
        found.prompt_tokens,
        rate(found.prompt_tokens, found.prefill_seconds),
        found.tokens,
        rate(found.tokens, found.decode_seconds)
    )
}

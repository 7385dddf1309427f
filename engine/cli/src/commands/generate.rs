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
        if let Some(remark) = remark(&found, arguments.tokens) {
            terminal.say(remark);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A model that cannot be looked at.
pub fn failed(error: &LookError) -> Failure {
    let code = if matches!(error, LookError::Hub(_)) { "M003" } else { "M001" };
    Failure::plain(code, error.to_string())
}

/// Why there may be nothing to see.
fn remark(found: &Continuation, limit: usize) -> Option<&'static str> {
    (found.tokens == 0 && limit > 0).then_some(
        "the model ended the text at once; one that was made for conversations wants the prompt as its chat template \
         writes it",
    )
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

#[cfg(test)]
mod tests {
    use paring_engine::quicklook::Continuation;

    use super::remark;

    #[test]
    fn an_empty_continuation_is_explained() {
        let found = |tokens| Continuation { tokens, ..Continuation::default() };
        assert!(remark(&found(0), 8).is_some_and(|said| said.contains("chat template")));
        assert_eq!([remark(&found(0), 0), remark(&found(1), 8)], [None, None]);
    }
}

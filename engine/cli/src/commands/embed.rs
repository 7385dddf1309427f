//! `paring embed MODEL TEXT...`: how close texts are to each other, by their vectors.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paring_engine::quicklook::{embed, open};

use crate::commands::generate::failed;
use crate::exit::CommandResult;
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `embed`.
#[derive(Debug, Args)]
pub struct EmbedArguments {
    /// A model that embeds texts: a directory, or `hf://org/name@revision`.
    pub model: PathBuf,
    /// The texts.
    #[arg(required = true)]
    pub texts: Vec<String>,
    /// Print the vectors too, as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the cosine of each text with each.
///
/// # Errors
/// When the model cannot be read, or does not embed texts.
pub fn execute(arguments: &EmbedArguments, terminal: &Terminal) -> CommandResult {
    let model = open(&arguments.model).map_err(|error| failed(&error))?;
    let found = embed(&model, &arguments.texts).map_err(|error| failed(&error))?;
    if arguments.json {
        output::json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let numbers: Vec<String> = (1..=arguments.texts.len()).map(|number| number.to_string()).collect();
    let header: Vec<&str> = std::iter::once("text").chain(numbers.iter().map(String::as_str)).collect();
    let row = |(index, cosines): (usize, &Vec<f64>)| {
        let name = format!("{}: {}", index + 1, arguments.texts.get(index).map_or("", String::as_str));
        std::iter::once(name).chain(cosines.iter().map(|cosine| format!("{cosine:.3}"))).collect()
    };
    output::line(&output::table(&header, found.cosines.iter().enumerate().map(row).collect(), terminal.width))?;
    Ok(ExitCode::SUCCESS)
}

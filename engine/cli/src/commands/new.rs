//! `paring new FILE`: a commented recipe for a model or a data file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use paring_engine::scaffold::new_recipe;
use paring_engine::schema::Diagnostics;

use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `new`.
#[derive(Debug, Args)]
pub struct NewArguments {
    /// A model (directory or .safetensors file) or a data file.
    pub path: PathBuf,
    /// Write the recipe to this file, which must not exist; to standard output when not given.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Prints or writes the recipe.
///
/// # Errors
/// When the file cannot be read, or the recipe's file exists or cannot be written.
pub fn execute(arguments: &NewArguments, terminal: &Terminal) -> CommandResult {
    let recipe = new_recipe(&arguments.path)
        .map_err(|problem| Failure::wrong(Diagnostics { list: vec![problem], ..Diagnostics::default() }))?;
    match &arguments.out {
        None => output::line(recipe.trim_end())?,
        Some(path) => {
            write_new(path, &recipe)?;
            terminal.say(&format!("wrote {}: `paring plan {}` shows what it would do", path.display(), path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let file = std::fs::File::create_new(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::plain("E001", format!("cannot write `{}`: {error}", path.display())))
}

//! `paring schema`: the JSON Schema of recipes, or of reports.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use paring_engine::catalog::catalog;
use paring_engine::report::report_schema;
use paring_engine::schema::generate::recipe_schema;

use crate::exit::CommandResult;
use crate::output;

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArguments {
    /// Which schema.
    #[arg(value_enum, default_value_t = Which::Recipe)]
    pub which: Which,
}

/// Which schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Which {
    /// Of recipes, for editors.
    Recipe,
    /// Of report.json.
    Report,
}

/// Prints the schema.
///
/// # Errors
/// When standard output is closed.
pub fn execute(arguments: &SchemaArguments) -> CommandResult {
    match arguments.which {
        Which::Recipe => output::json(&recipe_schema(&catalog()))?,
        Which::Report => output::json(&report_schema())?,
    }
    Ok(ExitCode::SUCCESS)
}

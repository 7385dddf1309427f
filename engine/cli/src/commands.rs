//! The subcommands, one file each.

pub mod cache;
pub mod check;
pub mod completions;
pub mod embed;
pub mod eval;
pub mod explain;
pub mod generate;
pub mod inspect;
pub mod new;
pub mod passes;
pub mod plan;
pub mod run;
pub mod schema;

use crate::arguments::{Arguments, Command};
use crate::exit::CommandResult;
use crate::terminal::Terminal;

/// Runs the subcommand.
///
/// # Errors
/// What ended it early.
pub fn dispatch(arguments: Arguments, terminal: &Terminal) -> CommandResult {
    match arguments.command {
        Command::Run(arguments) => run::execute(&arguments, terminal),
        Command::Check(arguments) => check::execute(&arguments, terminal),
        Command::Plan(arguments) => plan::execute(&arguments, terminal),
        Command::Passes(arguments) => passes::execute(&arguments, terminal),
        Command::Explain(arguments) => explain::execute(&arguments),
        Command::Schema(arguments) => schema::execute(&arguments),
        Command::Inspect(arguments) => inspect::execute(&arguments, terminal),
        Command::Eval(arguments) => eval::execute(&arguments, terminal),
        Command::Embed(arguments) => embed::execute(&arguments, terminal),
        Command::Generate(arguments) => generate::execute(&arguments, terminal),
        Command::New(arguments) => new::execute(&arguments, terminal),
        Command::Cache(arguments) => cache::execute(&arguments, terminal),
        Command::Completions(arguments) => completions::execute(&arguments),
    }
}

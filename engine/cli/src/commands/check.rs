//! `paring check RECIPE`: everything that is wrong with it, at once.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use paring_engine::Registry;
use paring_engine::project::{self, Options};
use serde_json::json;

use crate::arguments::RecipeArguments;
use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// Print the recipe with everything it extends merged in and its variables in place.
    #[arg(long)]
    pub resolved: bool,
    /// Print JSON: the problems, or an empty list.
    #[arg(long)]
    pub json: bool,
}

/// Checks the recipe.
///
/// # Errors
/// Everything that is wrong with it.
pub fn execute(arguments: &CheckArguments, terminal: &Terminal) -> CommandResult {
    let path = &arguments.recipe.recipe;
    let checked = match project::check(path, &arguments.recipe.options(), Arc::new(Registry::builtin())) {
        Ok(checked) => checked,
        Err(problems) => return Err(Failure::maybe_json(problems, arguments.json)),
    };
    if arguments.resolved {
        let text = checked.loaded.resolved_yaml().map_err(|error| Failure::plain("R030", error.to_string()))?;
        output::line(text.trim_end())?;
    } else if arguments.json {
        output::json(&json!([]))?;
    } else {
        let stages = checked.stages.len();
        let noun = if stages == 1 { "stage" } else { "stages" };
        terminal.say(&format!("{} is fine: {stages} {noun}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

impl RecipeArguments {
    /// As the engine takes them.
    pub fn options(&self) -> Options {
        Options { set: self.set.clone(), roots: self.root.clone() }
    }
}

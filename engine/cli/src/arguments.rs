//! The command line, as types. One subcommand a file in `commands/`; here is only what all of them share.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::commands::{
    cache, check, completions, embed, eval, explain, generate, inspect, new, passes, plan, run, schema,
};

/// Runs YAML recipes that make candle models smaller, faster or better.
#[derive(Debug, Parser)]
#[command(name = "paring", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done; 1 a stage failed; 2 the recipe or the command line is wrong; \
                        3 a gate was not met; 130 interrupted.")]
pub struct Arguments {
    /// Log more to standard error: -v progress of stages, -vv everything. RUST_LOG overrides it.
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a recipe.
    Run(run::RunArguments),
    /// Check a recipe against the language: no file but the recipe's own is read.
    Check(check::CheckArguments),
    /// Show what a recipe would do, from file headers only: no weight is read, nothing is written.
    Plan(plan::PlanArguments),
    /// List the passes, or show the manual page of one.
    Passes(passes::PassesArguments),
    /// Explain a diagnostic code.
    Explain(explain::ExplainArguments),
    /// Print the JSON Schema of recipes (or of reports), for editors and other tools.
    Schema(schema::SchemaArguments),
    /// Show what a model is made of: family, sites, units, tensors, sizes.
    Inspect(inspect::InspectArguments),
    /// Measure a model on raw rows.
    Eval(eval::EvalArguments),
    /// Show how close texts are to each other by a model's vectors.
    Embed(embed::EmbedArguments),
    /// Show how a model continues a text.
    Generate(generate::GenerateArguments),
    /// Write a commented recipe for a model or a data file.
    New(new::NewArguments),
    /// Look at or clear the stage cache.
    Cache(cache::CacheArguments),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArguments),
}

/// What every command that reads a recipe takes.
#[derive(Debug, Args)]
pub struct RecipeArguments {
    /// The recipe file.
    pub recipe: PathBuf,
    /// Override a variable of the recipe's `vars`; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// A directory that the recipe may read besides its own; relative paths that its own directory does not have are
    /// looked up there. May be repeated.
    #[arg(long, value_name = "DIR")]
    pub root: Vec<PathBuf>,
}

/// Where the stage cache lies.
#[derive(Debug, Args)]
pub struct CacheLocation {
    /// Directory of the stage cache [default: the user's cache directory].
    #[arg(long = "cache", value_name = "DIR", env = "PARING_CACHE")]
    pub directory: Option<PathBuf>,
}

impl CacheLocation {
    /// The directory: as told, else `paring` in the user's cache directory, else in the temporary directory.
    pub fn resolve(&self) -> PathBuf {
        match &self.directory {
            Some(directory) => directory.clone(),
            None => dirs::cache_dir().unwrap_or_else(std::env::temp_dir).join("paring"),
        }
    }
}

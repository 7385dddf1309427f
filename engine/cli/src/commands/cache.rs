//! `paring cache`: where it lies, what is in it, and how to be rid of it.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use paring_engine::Cache;
use serde_json::json;

use crate::arguments::CacheLocation;
use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `cache`.
#[derive(Debug, Args)]
pub struct CacheArguments {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
    /// The cache.
    #[command(flatten)]
    pub cache: CacheLocation,
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do with the cache.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Action {
    /// Print its directory.
    Path,
    /// List the stage results in it.
    List,
    /// Remove everything in it.
    Clear,
}

/// Does it.
///
/// # Errors
/// When the cache cannot be cleared.
pub fn execute(arguments: &CacheArguments, terminal: &Terminal) -> CommandResult {
    let cache = Cache::new(arguments.cache.resolve());
    match arguments.action {
        Action::Path if arguments.json => output::json(&json!({ "path": cache.path() }))?,
        Action::Path => output::line(&cache.path().display().to_string())?,
        Action::List if arguments.json => output::json(&cache.entries())?,
        Action::List => list(&cache, terminal)?,
        Action::Clear => cache.clear().map_err(|error| Failure::plain("E009", error.to_string()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(cache: &Cache, terminal: &Terminal) -> std::io::Result<()> {
    let entries = cache.entries();
    let total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let rows = entries.iter().map(|entry| {
        let key = entry.key.get(..12).unwrap_or(&entry.key).to_owned();
        vec![key, entry.stage.clone(), entry.pass.clone(), output::bytes(entry.bytes as f64)]
    });
    output::line(&output::table(&["key", "stage", "pass", "size"], rows.collect(), terminal.width))?;
    terminal.say(&format!("{} results, {}", entries.len(), output::bytes(total as f64)));
    Ok(())
}

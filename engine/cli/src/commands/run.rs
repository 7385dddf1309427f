//! `paring run RECIPE`: does it, shows how far it is, and sums up on one screen.

mod progress;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use paring_engine::plan::plan;
use paring_engine::run::run;
use paring_engine::{Cache, Cancel, Project, Registry, RunOptions, RunResult};
use serde_json::json;

use crate::arguments::{CacheLocation, RecipeArguments};
use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::terminal::Terminal;
use progress::Progress;

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArguments {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// Directory for the model, report.json and timings.json [default: paring-out/NAME].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The cache.
    #[command(flatten)]
    pub cache: CacheLocation,
    /// Print the report as JSON instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// Runs the recipe.
///
/// # Errors
/// What is wrong with the recipe, found before any work; failures of the run itself are shown with its summary.
pub fn execute(arguments: &RunArguments, terminal: &Terminal) -> CommandResult {
    let registry = Arc::new(Registry::builtin());
    let failed = |problems| Failure::maybe_json(problems, arguments.json);
    let project = Project::open(&arguments.recipe.recipe, &arguments.recipe.options(), registry).map_err(failed)?;
    let plan = plan(&project).map_err(failed)?;
    let out = arguments.out.clone().unwrap_or_else(|| PathBuf::from("paring-out").join(&plan.recipe));
    let options = RunOptions { out, cache: Cache::new(arguments.cache.resolve()) };
    let cancel = Cancel::default();
    stop_on_interrupt(&cancel, *terminal);
    let progress = Progress::new(*terminal);
    let result = run(&project, &plan, &options, &progress, &cancel).map_err(failed)?;
    progress.finish();
    report(arguments, &options, &result, terminal)?;
    Ok(ExitCode::from(result.ending.exit_code()))
}

/// The first ctrl-C ends the run at the next safe point; a second one ends the process at once.
fn stop_on_interrupt(cancel: &Cancel, terminal: Terminal) {
    let cancel = cancel.clone();
    let handler = move || {
        if cancel.is_cancelled() {
            std::process::exit(130);
        }
        terminal.say("stopping at the next safe point; once more to stop at once");
        cancel.cancel();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!(%error, "ctrl-C will end the process at once");
    }
}

fn report(
    arguments: &RunArguments,
    options: &RunOptions,
    result: &RunResult,
    terminal: &Terminal,
) -> Result<(), Failure> {
    if arguments.json {
        output::json(&json!({ "report": result.report, "timings": result.timings }))?;
    } else {
        output::line(&summary::table(&result.report, &result.timings, terminal.width))?;
        let exports = result.report.exports.iter().map(|export| (&export.path, export.bytes));
        let files = result.report.stages.iter().flat_map(|stage| stage.files.iter().zip(stage.receipt.files.values()));
        for (path, bytes) in exports.chain(files.map(|(path, bytes)| (path, bytes.len() as u64))) {
            let path = options.out.join(path);
            output::line(&format!("{}: {}", path.display(), output::bytes(bytes as f64)))?;
        }
        result.report.notes.iter().try_for_each(|note| output::line(&format!("note: {note}")))?;
    }
    if !result.problems.list.is_empty() {
        terminal.diagnostics(&result.problems);
    }
    if result.ending.exit_code() == 130 {
        terminal.say("interrupted: finished stages are kept, the next run goes on from there");
    }
    Ok(())
}

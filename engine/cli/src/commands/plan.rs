//! `paring plan RECIPE`: what a run would do, from headers alone.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use paring_engine::plan::{Plan, PlannedStage, plan};
use paring_engine::{Cache, Project, Registry};
use serde_json::Value;

use crate::arguments::{CacheLocation, RecipeArguments};
use crate::exit::{CommandResult, Failure};
use crate::names::grouped;
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    /// The recipe.
    #[command(flatten)]
    pub recipe: RecipeArguments,
    /// Say for each stage whether its result is in the cache, and why or why not. Reads the weights of a loaded model
    /// once, for their digest.
    #[arg(long)]
    pub why: bool,
    /// The cache.
    #[command(flatten)]
    pub cache: CacheLocation,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Plans the recipe.
///
/// # Errors
/// Everything that is wrong with the recipe, or why its first impossible stage cannot work.
pub fn execute(arguments: &PlanArguments, terminal: &Terminal) -> CommandResult {
    let registry = Arc::new(Registry::builtin());
    let failed = |problems| Failure::maybe_json(problems, arguments.json);
    let project = Project::open(&arguments.recipe.recipe, &arguments.recipe.options(), registry).map_err(failed)?;
    let mut plan = plan(&project).map_err(failed)?;
    if arguments.why {
        let cache = Cache::new(arguments.cache.resolve());
        plan.ask_cache(&project, &cache).map_err(|error| Failure::plain("E009", error.to_string()))?;
    }
    if arguments.json {
        output::json(&plan)?;
    } else {
        show(&plan, terminal)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(plan: &Plan, terminal: &Terminal) -> std::io::Result<()> {
    let start = plan.size.map_or_else(|| "from nothing".to_owned(), |size| output::bytes(size as f64));
    let stages = if plan.stages.len() == 1 { "stage" } else { "stages" };
    output::line(&format!("{}: {} {stages}, starts {start}", plan.recipe, plan.stages.len()))?;
    if let Some([train, validate, calibrate, test]) = plan.rows {
        output::line(&format!("rows: train {train}, validate {validate}, calibrate {calibrate}, test {test}"))?;
    }
    let rows = plan.stages.iter().map(row).collect();
    output::line(&output::table(&["stage", "pass", "size", "macs", "peak memory"], rows, terminal.width))?;
    for stage in &plan.stages {
        details(stage, "")?;
    }
    let (peak, disk) = (output::bytes(plan.peak_memory as f64), output::bytes(plan.disk as f64));
    output::line(&format!("\npeak memory {peak}, disk {disk}, exports: {}", plan.exports.join(", ")))?;
    plan.notes.iter().try_for_each(|note| output::line(&format!("note: {note}")))
}

fn row(stage: &PlannedStage) -> Vec<String> {
    let about = if stage.exact { "" } else { "about " };
    vec![
        stage.id.clone(),
        stage.pass.clone(),
        format!("{about}{}", output::bytes(stage.size as f64)),
        stage.macs.map_or_else(String::new, |macs| macs.to_string()),
        output::bytes(stage.memory as f64),
    ]
}

fn details(stage: &PlannedStage, indent: &str) -> std::io::Result<()> {
    output::line(&format!("\n{indent}{}: {}", stage.id, stage.pass))?;
    output::line(&format!("{indent}  parameters: {}", parameters(&stage.parameters)))?;
    for line in &stage.ledger {
        output::line(&format!("{indent}  {} `{}`: {}", line.list, line.selector, names(&line.sites)))?;
    }
    if !stage.touches.is_empty() {
        output::line(&format!("{indent}  changes: {}", names(&stage.touches)))?;
    }
    for (site, reason) in &stage.skips {
        output::line(&format!("{indent}  leaves `{site}` alone: {reason}"))?;
    }
    for note in &stage.notes {
        output::line(&format!("{indent}  note: {note}"))?;
    }
    if let Some(cache) = &stage.cache {
        output::line(&format!("{indent}  cache: {}, {}", if cache.hit { "hit" } else { "miss" }, cache.why))?;
    }
    stage.stages.iter().try_for_each(|nested| details(nested, &format!("{indent}    ")))
}

fn names(names: &[String]) -> String {
    grouped(names.iter().map(String::as_str))
}

/// `epochs: 30, optimizer: {...}`, as a person would write it on one line.
fn parameters(value: &Value) -> String {
    let Some(map) = value.as_object() else { return value.to_string() };
    map.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let inner: Vec<String> = map.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
            format!("{{ {} }}", inner.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

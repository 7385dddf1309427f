//! `paring inspect MODEL`: family, sites, units, tensors, sizes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paring_engine::inspect::{Inspection, inspect};

use crate::commands::generate::failed;
use crate::exit::CommandResult;
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArguments {
    /// A model directory, a safetensors, PyTorch or GGUF file, or `hf://org/name@revision`.
    pub model: PathBuf,
    /// List every tensor too.
    #[arg(long)]
    pub tensors: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints what the model is made of.
///
/// # Errors
/// When the model cannot be read.
pub fn execute(arguments: &InspectArguments, terminal: &Terminal) -> CommandResult {
    let inspection = inspect(&arguments.model).map_err(|error| failed(&error))?;
    if arguments.json {
        output::json(&inspection)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&summary(&inspection))?;
    if !inspection.sites.is_empty() {
        output::line(&format!("\nSites (what `targets` and `ignore` match)\n{}", sites(&inspection, terminal.width)))?;
    }
    if !inspection.units.is_empty() {
        output::line(&format!("\nUnits (what can be removed whole)\n{}", units(&inspection, terminal.width)))?;
    }
    if arguments.tensors || inspection.sites.is_empty() {
        output::line(&format!("\nTensors\n{}", tensors(&inspection, terminal.width)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(inspection: &Inspection) -> String {
    let family = inspection.family.as_deref().unwrap_or("unknown (weight-only passes work)");
    let mut lines = vec![format!("family      {family}")];
    if !inspection.input.is_empty() {
        let shape: Vec<String> = inspection.input.iter().map(ToString::to_string).collect();
        let columns = inspection.columns.len();
        let noun = if columns == 1 { "column" } else { "columns" };
        lines.push(format!("input       {} (from {columns} raw {noun})", shape.join(" x ")));
    }
    if !inspection.labels.is_empty() {
        lines.push(format!("labels      {}", inspection.labels.join(", ")));
    }
    lines.push(format!("parameters  {}", inspection.parameters));
    lines.push(format!("size        {}", output::bytes(inspection.file_size as f64)));
    if let Some(macs) = inspection.macs {
        lines.push(format!("macs        {macs} a row"));
    }
    lines.join("\n")
}

fn sites(inspection: &Inspection, width: usize) -> String {
    let rows = inspection.sites.iter().map(|site| {
        let storage = inspection.tensors.iter().find(|tensor| tensor.name == site.weight());
        vec![
            site.name.clone(),
            site.in_features.to_string(),
            site.out_features.to_string(),
            storage.map(|tensor| tensor.storage.clone()).unwrap_or_default(),
        ]
    });
    output::table(&["name", "in", "out", "storage"], rows.collect(), width)
}

fn units(inspection: &Inspection, width: usize) -> String {
    let rows = inspection.units.iter().map(|group| {
        let tensors: Vec<&str> = group.slices.iter().map(|slice| slice.tensor.as_str()).collect();
        vec![group.site.clone(), group.kind.to_owned(), group.count.to_string(), tensors.join(", ")]
    });
    output::table(&["site", "kind", "count", "tensors"], rows.collect(), width)
}

fn tensors(inspection: &Inspection, width: usize) -> String {
    let rows = inspection.tensors.iter().map(|tensor| {
        let shape: Vec<String> = tensor.shape.iter().map(ToString::to_string).collect();
        vec![tensor.name.clone(), shape.join(" x "), tensor.storage.clone()]
    });
    output::table(&["name", "shape", "storage"], rows.collect(), width)
}

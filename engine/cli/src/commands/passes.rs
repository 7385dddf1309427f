//! `paring passes [ID]`: the list of passes, or the manual page of one.

use std::process::ExitCode;

use clap::Args;
use paring_engine::passes::registry::builtin;
use paring_engine::passes::{Pass, PassInfo};
use paring_engine::schema::suggest::nearest;
use paring_engine::schema::{Diagnostic, Diagnostics};
use serde_json::{Value, json};

use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `passes`.
#[derive(Debug, Args)]
pub struct PassesArguments {
    /// A pass, `kind/name`: shows its manual page.
    pub id: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the list or a page.
///
/// # Errors
/// When there is no such pass.
pub fn execute(arguments: &PassesArguments, terminal: &Terminal) -> CommandResult {
    let passes = builtin();
    match &arguments.id {
        None => list(&passes, arguments.json, terminal),
        Some(id) => page(find(&passes, id)?, arguments.json),
    }
}

fn find<'a>(passes: &'a [Box<dyn Pass>], id: &str) -> Result<&'a dyn Pass, Failure> {
    passes.iter().map(AsRef::as_ref).find(|pass| pass.info().id == id).ok_or_else(|| {
        let help = match nearest(id, passes.iter().map(|pass| pass.info().id)) {
            Some(near) => format!("did you mean `{near}`? `paring passes` lists all passes"),
            None => "`paring passes` lists all passes".to_owned(),
        };
        let problem = Diagnostic::new("R010", format!("there is no pass `{id}`")).help(help);
        Failure::wrong(Diagnostics { list: vec![problem], ..Diagnostics::default() })
    })
}

fn list(passes: &[Box<dyn Pass>], json: bool, terminal: &Terminal) -> CommandResult {
    let infos: Vec<PassInfo> = passes.iter().map(|pass| pass.info()).collect();
    if json {
        output::json(&infos)?;
    } else {
        let width = infos.iter().map(|info| info.id.len()).max().unwrap_or(0);
        for info in infos {
            output::line(&format!("{:width$}  {}", info.id, info.summary))?;
        }
        terminal.say("`paring passes ID` shows the manual page of one");
    }
    Ok(ExitCode::SUCCESS)
}

fn page(pass: &dyn Pass, json: bool) -> CommandResult {
    let (info, schema) = (pass.info(), pass.schema());
    if json {
        output::json(&json!({ "info": info, "schema": schema }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(&format!("{}: {} (version {})\n", info.id, info.summary, info.version))?;
    let manual = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    output::line(manual.trim())?;
    output::line("\nParameters in full")?;
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        output::line(&parameter(name, property))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parameter(name: &str, property: &Value) -> String {
    let text = |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default();
    let default = match property.get("default") {
        None | Some(Value::Null) => String::new(),
        Some(value) => format!(" [default: {value}]"),
    };
    let choices = property.get("enum").and_then(Value::as_array).map(|values| {
        let names: Vec<String> = values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect();
        format!(" [one of: {}]", names.join(", "))
    });
    let description = text("description").replace('\n', "\n      ");
    format!("  {name}{}{default}\n      {description}", choices.unwrap_or_default())
}

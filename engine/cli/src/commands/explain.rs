//! `paring explain CODE`: the manual entry of a diagnostic code.

use std::process::ExitCode;

use clap::Args;
use paring_engine::schema::codes::CODES;
use paring_engine::schema::suggest::nearest;
use paring_engine::schema::{Diagnostic, Diagnostics};
use serde_json::json;

use crate::exit::{CommandResult, Failure};
use crate::output;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The code, as in `error[R004]`; all codes are listed without it.
    pub code: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints one entry, or the list.
///
/// # Errors
/// When there is no such code.
pub fn execute(arguments: &ExplainArguments) -> CommandResult {
    let Some(wanted) = &arguments.code else {
        return list(arguments.json);
    };
    let wanted = wanted.to_uppercase();
    let Some(entry) = CODES.iter().find(|entry| entry.code == wanted) else {
        let problem = Diagnostic::new("E010", format!("there is no diagnostic code `{wanted}`"));
        let help = match nearest(&wanted, CODES.iter().map(|entry| entry.code)) {
            Some(near) => format!("did you mean `{near}`? `paring explain` lists all codes"),
            None => "`paring explain` lists all codes".to_owned(),
        };
        return Err(Failure::wrong(Diagnostics { list: vec![problem.help(help)], ..Diagnostics::default() }));
    };
    if arguments.json {
        output::json(&json!({ "code": entry.code, "title": entry.title, "explanation": entry.explanation }))?;
    } else {
        output::line(&format!("{}: {}\n\n{}", entry.code, entry.title, entry.explanation.trim()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool) -> CommandResult {
    if json {
        let entries: Vec<_> = CODES.iter().map(|entry| json!({ "code": entry.code, "title": entry.title })).collect();
        output::json(&entries)?;
    } else {
        for entry in CODES.iter() {
            output::line(&format!("{}  {}", entry.code, entry.title))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

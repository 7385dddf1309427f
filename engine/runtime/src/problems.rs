//! Turning problems of passes, models and data into diagnostics with a place in the recipe.

use paring_data::DataError;
use paring_model::ModelError;
use paring_passes::Problem;
use paring_schema::{Diagnostic, Loaded, Stage};

/// A pass's problem, at the parameter it names. `code` is `P005` for parameters, `P006` for what the pass cannot do to
/// this model.
pub fn of_pass(code: &'static str, loaded: &Loaded, stage: &Stage, problem: &Problem) -> Diagnostic {
    let pointer = format!("{}/{}{}", stage.pointer, escape(&stage.pass), problem.pointer);
    let message = match parameter(&problem.pointer) {
        Some(parameter) => format!("stage `{}`: `{parameter}` of `{}` {}", stage.id, stage.pass, problem.message),
        None => format!("stage `{}`, pass `{}`: {}", stage.id, stage.pass, problem.message),
    };
    let place = if problem.pointer.is_empty() { loaded.key_span(&pointer) } else { loaded.span(&pointer) };
    let diagnostic = Diagnostic::new(code, message).label(place, "");
    match &problem.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

/// The parameter that a pointer into a pass's block names: the last part that is a setting's name, not the place in a
/// list or a key that the recipe chose.
fn parameter(pointer: &str) -> Option<&str> {
    let is_name = |part: &&str| part.starts_with(|c: char| c.is_ascii_lowercase()) && !part.contains(['.', '*', '~']);
    pointer.rsplit('/').find(is_name)
}

/// The span of a stage's pass key.
pub fn pass_key(stage: &Stage) -> String {
    format!("{}/{}", stage.pointer, escape(&stage.pass))
}

/// A data problem, at the recipe value that it comes from.
pub fn of_data(loaded: &Loaded, pointer: &str, error: &DataError) -> Diagnostic {
    let code = match error {
        DataError::MissingColumn { .. } | DataError::ColumnOfOneFile { .. } => "D002",
        DataError::Split(_) => "D003",
        _ => "D001",
    };
    let pointer = match error {
        DataError::MissingColumn { found, .. } => column_pointer(loaded, pointer, found),
        DataError::Split(_) if loaded.root.pointer("/data/split").is_some() => "/data/split".to_owned(),
        DataError::Split(_) => pointer.to_owned(),
        _ => format!("{pointer}/path"),
    };
    let diagnostic = Diagnostic::new(code, error.to_string()).label(loaded.span(&pointer), "");
    match error.help() {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}

/// Where a column that does not exist is named: the label, or the list of features.
fn column_pointer(loaded: &Loaded, file: &str, column: &str) -> String {
    let label = format!("{file}/label");
    let named = loaded.root.pointer(&label).is_some_and(|node| node.to_json() == column);
    if named { label } else { format!("{file}/features") }
}

/// A model problem, at the recipe's `model`.
pub fn of_model(loaded: &Loaded, error: &ModelError) -> Diagnostic {
    let pointer = if loaded.root.pointer("/model/load").is_some() { "/model/load" } else { "/model" };
    Diagnostic::new("M001", error.to_string()).label(loaded.span(pointer), "")
}

/// One part of a JSON pointer.
pub fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

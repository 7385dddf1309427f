//! Checking a recipe value against the JSON Schema, and turning violations into diagnostics.
//!
//! Architecture invariant: what is checked holds no variable any more, and every violation names a place of the value
//! by JSON pointer; the caller knows where in the text that is.

mod explain;
pub(crate) mod rules;
mod words;

use serde_json::Value;

use crate::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::generate::{stages_schema, strict_schema};
use explain::Explainer;

/// Which part of an entry is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// A place of the value that breaks a rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Violation {
    pub pointer: String,
    pub part: Part,
    pub code: &'static str,
    pub message: String,
    pub label: String,
    pub help: Option<String>,
    /// Other places that matter, each with what to say there.
    pub also: Vec<(String, String)>,
}

/// A JSON Schema, ready to check values.
pub(crate) struct Checker {
    schema: Value,
    validator: jsonschema::Validator,
}

impl Checker {
    /// Checks whole recipes.
    pub fn for_recipes(catalog: &Catalog) -> Result<Self, Diagnostic> {
        Self::new(strict_schema(catalog))
    }

    /// Checks lists of stages.
    pub fn for_stages(catalog: &Catalog) -> Result<Self, Diagnostic> {
        Self::new(stages_schema(catalog))
    }

    fn new(schema: Value) -> Result<Self, Diagnostic> {
        let options = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
        match options.build(&schema) {
            Ok(validator) => Ok(Self { schema, validator }),
            Err(error) => {
                let place = error.instance_path().to_string();
                let message = format!("the JSON Schema of a pass, family or export is not valid at `{place}`");
                Err(Diagnostic::new("R030", message).help("update the plugin that brings it"))
            }
        }
    }

    /// All violations. Percentages where a number is wanted become numbers in `value` and are none.
    pub fn check(&self, value: &mut Value) -> Vec<Violation> {
        let mut explainer = Explainer::new(&self.schema);
        let errors: Vec<_> = self.validator.iter_errors(value).map(jsonschema::ValidationError::to_owned).collect();
        errors.iter().for_each(|error| explainer.explain(error));
        if explainer.percentages.is_empty() {
            return explainer.finish();
        }
        let replaced = explainer.percentages.iter().filter(|pointer| replace_percentage(value, pointer)).count();
        if replaced == 0 { explainer.finish() } else { self.check(value) }
    }
}

/// Turns the percentage at a pointer into its ratio.
fn replace_percentage(value: &mut Value, pointer: &str) -> bool {
    let Some(place) = value.pointer_mut(pointer) else { return false };
    let Some(ratio) = place.as_str().and_then(|text| crate::units::parse_ratio(text).ok()) else { return false };
    *place = Value::from(ratio);
    true
}

#[cfg(test)]
mod tests;

//! The editor's schema: a variable may stand for any value, so every value with a rule also admits `$name`.

use serde_json::{Map, Value, json};

use super::tidy::for_each_subschema;

const VARIABLE: &str = r"^\$[A-Za-z_][A-Za-z0-9_]*$|\$\{[A-Za-z_][A-Za-z0-9_]*\}";
const VARIABLE_OR_PERCENTAGE: &str = r"^\$[A-Za-z_][A-Za-z0-9_]*$|\$\{[A-Za-z_][A-Za-z0-9_]*\}|^[0-9]+(\.[0-9]+)?%$";

/// What stays beside the choice of a value or a variable.
const ANNOTATIONS: [&str; 5] = ["title", "description", "default", "examples", "deprecated"];

/// Changes a schema and everything in it.
pub(super) fn admit_variables(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    for_each_subschema(map, admit_variables);
    let Some(pattern) = pattern_for(map) else { return };
    let (outer, rule): (Map<_, _>, Map<_, _>) =
        std::mem::take(map).into_iter().partition(|(key, _)| ANNOTATIONS.contains(&key.as_str()));
    *map = outer;
    map.insert("anyOf".to_owned(), json!([rule, { "type": "string", "pattern": pattern }]));
}

/// The pattern that a value of this kind also admits; none if any text already fits, or it is not a scalar.
fn pattern_for(map: &Map<String, Value>) -> Option<&'static str> {
    let kind = map.get("type").and_then(Value::as_str);
    let ruled_text = ["enum", "const", "pattern", "minLength", "maxLength"].iter().any(|key| map.contains_key(*key));
    match kind {
        Some("number") => Some(VARIABLE_OR_PERCENTAGE),
        Some("integer" | "boolean") => Some(VARIABLE),
        Some("string") | None if ruled_text => Some(VARIABLE),
        _ => None,
    }
}

//! Found and wanted, in words.

use serde_json::Value;

/// Pattern of recipe names and stage ids.
const NAME: &str = "^[a-z0-9-]+$";
const LONGEST: usize = 60;
const MOST_CHOICES: usize = 12;

/// What was found: "is `1.5`" goes with it.
pub(super) fn found(value: &Value) -> String {
    match value {
        Value::Null => "is empty".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("is `{value}`"),
        Value::String(text) => format!("is the text `{}`", shortened(text)),
        Value::Array(_) => "is a list".to_owned(),
        Value::Object(_) => "is a map".to_owned(),
    }
}

/// A text cut to a length that fits a message.
pub(super) fn shortened(text: &str) -> String {
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() {
        cut.push_str("...");
    }
    cut
}

/// What a schema wants: "a number from 0 (inclusive) to 1 (exclusive)".
pub(super) fn wanted(schema: &Value, root: &Value) -> String {
    if let Some(target) = resolve(schema, root) {
        return wanted(target, root);
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return one_of(choices);
    }
    if let Some(branches) = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array()) {
        let mut kinds: Vec<String> = branches.iter().map(|branch| wanted(branch, root)).collect();
        kinds.dedup();
        return kinds.join(" or ");
    }
    match schema.get("type").and_then(Value::as_str) {
        Some(kind @ ("number" | "integer")) => format!("{}{}", kind_name(kind), range(schema)),
        Some("string") => schema.get("pattern").and_then(Value::as_str).map_or_else(|| "a text".to_owned(), pattern),
        Some(kind) => kind_name(kind).to_owned(),
        None => "something else".to_owned(),
    }
}

/// The definition that a reference names.
pub(super) fn resolve<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    let target = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(target).filter(|found| !std::ptr::eq(*found, schema))
}

pub(super) fn kind_name(kind: &str) -> &'static str {
    match kind {
        "number" => "a number",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "string" => "a text",
        "array" => "a list",
        "object" => "a map",
        _ => "nothing",
    }
}

pub(super) fn one_of(choices: &[Value]) -> String {
    let name = |choice: &Value| choice.as_str().map_or_else(|| format!("`{choice}`"), |text| format!("`{text}`"));
    match choices {
        [only] => name(only),
        _ if choices.len() > MOST_CHOICES => format!("one of {} names", choices.len()),
        _ => format!("one of {}", choices.iter().map(name).collect::<Vec<_>>().join(", ")),
    }
}

/// Names in backticks with commas; too many are cut.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let more = if names.len() > MOST_CHOICES { ", ..." } else { "" };
    format!("{}{more}", names.iter().take(MOST_CHOICES).cloned().collect::<Vec<_>>().join(", "))
}

pub(super) fn pattern(pattern: &str) -> String {
    match pattern {
        NAME => "lower-case letters, digits and hyphens".to_owned(),
        _ if pattern.contains("MiB") => "a number with a unit such as `20MB`, `5ms` or `10%`".to_owned(),
        _ => format!("a text that matches `{pattern}`"),
    }
}

fn range(schema: &Value) -> String {
    let limit = |key: &str| schema.get(key).map(whole);
    let low = limit("minimum").map(|l| (format!("{l} (inclusive)"), "of at least"));
    let low = low.or_else(|| limit("exclusiveMinimum").map(|l| (format!("{l} (exclusive)"), "above")));
    let high = limit("maximum").map(|h| (format!("{h} (inclusive)"), "of at most"));
    let high = high.or_else(|| limit("exclusiveMaximum").map(|h| (format!("{h} (exclusive)"), "below")));
    match (low, high) {
        (Some((low, _)), Some((high, _))) => format!(" from {low} to {high}"),
        (Some((bound, word)), None) | (None, Some((bound, word))) => format!(" {word} {bound}"),
        (None, None) => String::new(),
    }
}

/// `1.0` as `1`.
fn whole(number: &Value) -> String {
    number.to_string().trim_end_matches(".0").to_owned()
}

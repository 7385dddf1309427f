//! A violation of the JSON Schema in the words of a recipe.

use std::collections::BTreeSet;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::words::{found, list, one_of, pattern, resolve, shortened, wanted};
use super::{Part, Violation};
use crate::node::{escape, pointer_parts};
use crate::suggest::{did_you_mean, nearest};
use crate::units::is_percentage;

/// Collects violations of one value.
pub(super) struct Explainer<'a> {
    schema: &'a Value,
    violations: Vec<Violation>,
    /// Places that hold a percentage where a number is wanted.
    pub percentages: Vec<String>,
    /// Missing keys, each with the violation to report.
    missing: Vec<(String, String, Violation)>,
    /// Maps and the names that their unknown keys were probably meant to be.
    meant: BTreeSet<(String, String)>,
}

impl<'a> Explainer<'a> {
    pub fn new(schema: &'a Value) -> Self {
        Self { schema, violations: Vec::new(), percentages: Vec::new(), missing: Vec::new(), meant: BTreeSet::new() }
    }

    /// All violations. A missing key that an unknown one was meant to be is not reported twice.
    pub fn finish(self) -> Vec<Violation> {
        let Self { mut violations, missing, meant, .. } = self;
        let unmet = missing.into_iter().filter(|(map, key, _)| !meant.contains(&(map.clone(), key.clone())));
        violations.extend(unmet.map(|(_, _, violation)| violation));
        violations
    }

    pub fn explain(&mut self, error: &ValidationError<'_>) {
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().for_each(|key| self.unknown_key(error, key));
            }
            Kind::Required { property } => self.missing_key(error, property.as_str().unwrap_or_default()),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => self.branches(error, context),
            Kind::Type { .. } => self.wrong_type(error, self.parent(error)),
            Kind::Enum { options } => self.not_allowed(error, options),
            Kind::Constant { expected_value } => {
                self.not_allowed(error, &Value::Array(vec![(**expected_value).clone()]))
            }
            Kind::Pattern { pattern: rule } => {
                let text = error.instance().as_str().map(shortened).unwrap_or_default();
                let message = format!("{} is `{text}`, expected {}", subject(error), pattern(rule));
                self.add(error, "R007", message, pattern(rule), None);
            }
            _ => self.other(error),
        }
    }

    fn other(&mut self, error: &ValidationError<'_>) {
        let (code, message, label) = match error.kind() {
            Kind::MinItems { limit } => counted(error, "item", "at least", *limit),
            Kind::MaxItems { limit } => counted(error, "item", "at most", *limit),
            Kind::MinLength { limit } => counted(error, "character", "at least", *limit),
            Kind::MaxLength { limit } => counted(error, "character", "at most", *limit),
            Kind::MinProperties { .. } | Kind::MaxProperties { .. } => return self.key_count(error),
            Kind::UniqueItems => ("R004", format!("{} lists an item twice", subject(error)), String::new()),
            Kind::Minimum { .. }
            | Kind::Maximum { .. }
            | Kind::ExclusiveMinimum { .. }
            | Kind::ExclusiveMaximum { .. } => {
                let wanted = wanted(self.parent(error), self.schema);
                let message = format!("{} {}, expected {wanted}", subject(error), found(error.instance()));
                ("R004", message, format!("expected {wanted}"))
            }
            Kind::PropertyNames { .. } => {
                ("R007", format!("{} has a key that is no name", subject(error)), String::new())
            }
            Kind::MultipleOf { multiple_of } => {
                let message =
                    format!("{} {}, expected a multiple of {multiple_of}", subject(error), found(error.instance()));
                ("R004", message, String::new())
            }
            _ => (
                "R030",
                format!("{} {}, which its schema does not allow", subject(error), found(error.instance())),
                String::new(),
            ),
        };
        self.add(error, code, message, label, None);
    }

    fn add(
        &mut self,
        error: &ValidationError<'_>,
        code: &'static str,
        message: String,
        label: String,
        help: Option<String>,
    ) {
        let pointer = error.instance_path().to_string();
        self.violations.push(Violation { pointer, part: Part::Value, code, message, label, help, also: Vec::new() });
    }

    /// The schema that holds the broken keyword.
    fn parent(&self, error: &ValidationError<'_>) -> &'a Value {
        let path = error.schema_path().to_string();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.schema.pointer(parent).unwrap_or(&Value::Null)
    }

    fn unknown_key(&mut self, error: &ValidationError<'_>, key: &str) {
        let map = error.instance_path().to_string();
        let known = known_keys(self.parent(error));
        let present = |name: &&str| error.instance().get(*name).is_none();
        let near = nearest(key, known.iter().copied().filter(present)).or_else(|| pass_of_kind(key, &known));
        if let Some(name) = near {
            self.meant.insert((map.clone(), name.to_owned()));
        }
        let is_pass = key.contains('/') && known.contains(&"targets");
        let (code, message, label) = match is_pass {
            true => ("R010", format!("unknown pass `{}`", shortened(key)), "no pass has this name"),
            false => ("R002", format!("unknown key `{}` in {}", shortened(key), place(&map)), "not a key here"),
        };
        let choices = || if is_pass { "`paring passes` lists all passes".to_owned() } else { listed(&known) };
        let help = near.map_or_else(choices, |name| format!("did you mean `{name}`?"));
        let pointer = format!("{map}/{}", escape(key));
        self.violations.push(Violation {
            pointer,
            part: Part::Key,
            code,
            message,
            label: label.to_owned(),
            help: Some(help),
            also: Vec::new(),
        });
    }

    fn missing_key(&mut self, error: &ValidationError<'_>, key: &str) {
        let map = error.instance_path().to_string();
        let property = self.parent(error).pointer(&format!("/properties/{}", escape(key))).unwrap_or(&Value::Null);
        let example = property.pointer("/examples/0").map(|example| format!("add it: `{key}: {}`", flow(example)));
        let violation = Violation {
            pointer: map.clone(),
            part: Part::Key,
            code: "R006",
            message: format!("`{key}` is missing in {}", place(&map)),
            label: format!("needs `{key}`"),
            help: example,
            also: Vec::new(),
        };
        self.missing.push((map, key.to_owned(), violation));
    }

    /// A choice of schemas: speak of the one that the value was meant for.
    fn branches(&mut self, error: &ValidationError<'_>, context: &[Vec<ValidationError<'_>>]) {
        let here = error.instance_path().to_string();
        let wrong_type = |errors: &[ValidationError<'_>]| {
            errors.iter().any(|e| matches!(e.kind(), Kind::Type { .. }) && e.instance_path().to_string() == here)
        };
        let unfit = |errors: &[ValidationError<'_>]| errors.iter().map(|e| weight(e, &here)).sum::<usize>();
        let meant = context.iter().filter(|errors| !wrong_type(errors)).min_by_key(|errors| unfit(errors));
        match meant {
            Some(errors) => errors.iter().for_each(|error| self.explain(error)),
            None => self.wrong_type(error, self.parent(error)),
        }
    }

    fn wrong_type(&mut self, error: &ValidationError<'_>, schema: &Value) {
        let value = error.instance();
        if value.as_str().is_some_and(is_percentage) && wants_number(schema, self.schema) {
            self.percentages.push(error.instance_path().to_string());
            return;
        }
        let wanted = wanted(schema, self.schema);
        let message = format!("{} {}, expected {wanted}", subject(error), found(value));
        self.add(error, "R003", message, format!("expected {wanted}"), type_help(error, &wanted));
    }

    fn not_allowed(&mut self, error: &ValidationError<'_>, options: &Value) {
        let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
        let wanted = one_of(options);
        let message = format!("{} {}, expected {wanted}", subject(error), found(error.instance()));
        let names = options.iter().filter_map(Value::as_str);
        let help = error.instance().as_str().and_then(|text| did_you_mean(text, names));
        self.add(error, "R005", message, "not one of the choices".to_owned(), help);
    }

    /// A map that must have exactly one key, or at least one.
    fn key_count(&mut self, error: &ValidationError<'_>) {
        let schema = self.parent(error);
        let present: Vec<&str> =
            error.instance().as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let wanted = if schema.get("maxProperties").is_some() { "exactly one" } else { "at least one" };
        let found = if present.is_empty() { "no key".to_owned() } else { format!("the keys {}", list(present)) };
        let message = format!("{} has {found}, expected {wanted}", subject(error));
        self.add(error, "R022", message, format!("expected {wanted} key"), Some(listed(&known_keys(schema))));
    }
}

fn weight(error: &ValidationError<'_>, here: &str) -> usize {
    let is_here = error.instance_path().to_string() == here;
    match error.kind() {
        Kind::AdditionalProperties { unexpected } if is_here => 10 * unexpected.len(),
        Kind::Required { .. } if is_here => 10,
        _ => 1,
    }
}

fn wants_number(schema: &Value, root: &Value) -> bool {
    if let Some(target) = resolve(schema, root) {
        return wants_number(target, root);
    }
    let branches = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array());
    let is_number = |kind: &Value| kind == "number";
    let kind = schema.get("type");
    kind.is_some_and(|kind| is_number(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(is_number)))
        || branches.is_some_and(|branches| branches.iter().any(|branch| wants_number(branch, root)))
}

fn known_keys(schema: &Value) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// `magnitude` for `prune/magnitude`.
fn pass_of_kind<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = |pass: &&str| pass.rsplit_once('/').is_some_and(|(_, name)| name == key);
    known.iter().copied().find(|pass| name(pass))
}

fn listed(known: &[&str]) -> String {
    if known.is_empty() { "remove it".to_owned() } else { format!("known here: {}", list(known.iter().copied())) }
}

fn counted(error: &ValidationError<'_>, noun: &str, bound: &str, limit: u64) -> (&'static str, String, String) {
    let count = match &**error.instance() {
        Value::Array(items) => items.len(),
        Value::String(text) => text.chars().count(),
        _ => 0,
    };
    let count = crate::diagnostic::counted(count, noun);
    (
        "R004",
        format!("{} has {count}, expected {bound} {limit} (inclusive)", subject(error)),
        format!("expected {bound} {limit}"),
    )
}

/// `sparsity` of `prune/magnitude`: what a violation speaks of.
fn subject(error: &ValidationError<'_>) -> String {
    let pointer = error.instance_path().to_string();
    let parts: Vec<String> = pointer_parts(&pointer).collect();
    match parts.iter().rposition(|part| part.contains('/')) {
        Some(pass) if pass + 1 < parts.len() => {
            let name = parts.get(pass).map_or("", String::as_str);
            format!("`{}` of `{name}`", dotted(parts.get(pass + 1..).unwrap_or_default()))
        }
        Some(pass) => format!("`{}`", parts.get(pass).map_or("", String::as_str)),
        None if parts.is_empty() => "the recipe".to_owned(),
        None => format!("`{}`", dotted(&parts)),
    }
}

/// The map that a key is in.
fn place(pointer: &str) -> String {
    let parts: Vec<String> = pointer_parts(pointer).collect();
    match parts.iter().rposition(|part| part.contains('/')) {
        Some(pass) => {
            parts.get(pass..).unwrap_or_default().iter().map(|part| format!("`{part}`")).collect::<Vec<_>>().join(".")
        }
        None if parts.is_empty() => "the recipe".to_owned(),
        None if is_stage(&parts) => "a stage".to_owned(),
        None => format!("`{}`", dotted(&parts)),
    }
}

fn is_stage(parts: &[String]) -> bool {
    matches!(parts, [.., list, index] if list == "stages" && index.parse::<usize>().is_ok())
}

/// `data.split.train`, `hidden[0]`.
fn dotted(parts: &[String]) -> String {
    let mut text = String::new();
    for part in parts {
        match part.parse::<usize>() {
            Ok(index) => text.push_str(&format!("[{index}]")),
            Err(_) if text.is_empty() => text.push_str(part),
            Err(_) => text.push_str(&format!(".{part}")),
        }
    }
    shortened(&text)
}

fn type_help(error: &ValidationError<'_>, wanted: &str) -> Option<String> {
    let key = pointer_parts(&error.instance_path().to_string()).last().unwrap_or_default();
    match &**error.instance() {
        Value::String(text) if wanted.starts_with("true or false") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" => Some("write `true`".to_owned()),
            "no" | "off" | "n" => Some("write `false`".to_owned()),
            _ => None,
        },
        Value::String(text) if wanted == "a map" => Some(format!("write `{}: {{}}`", shortened(text))),
        Value::Null if wanted == "a map" => Some(format!("write `{key}: {{}}` for the defaults")),
        Value::Number(_) | Value::Bool(_) if wanted == "a text" => Some("put it in quotes".to_owned()),
        value if wanted == "a list" && !value.is_null() && !value.is_object() => {
            Some(format!("write `{key}: [{}]`", flow(value)))
        }
        _ => None,
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => shortened(text),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

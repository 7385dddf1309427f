//! What every built-in pass keeps to: its place, its manual page, its schema.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::builtin;
use crate::pass::HEADINGS;

#[test]
fn ids_are_unique_and_equal_to_files() {
    let mut ids: Vec<_> = builtin().iter().map(|pass| pass.info().id).collect();
    for id in &ids {
        let file = format!("{}/src/{}.rs", env!("CARGO_MANIFEST_DIR"), id.replace('-', "_"));
        assert!(Path::new(&file).is_file(), "pass `{id}` is not in {file}");
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn summaries_are_one_line_in_lower_case_without_full_stop() {
    for pass in builtin() {
        let summary = pass.info().summary;
        let first = summary.chars().next().unwrap_or('A');
        assert!(first.is_lowercase() && !summary.ends_with('.') && !summary.contains('\n'), "{summary}");
    }
}

#[test]
fn manual_pages_have_the_fixed_headings_in_order() {
    for pass in builtin() {
        let schema = pass.schema();
        let page = schema["description"].as_str().unwrap_or_default();
        let found: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("# ")).collect();
        assert_eq!(found, HEADINGS, "manual page of `{}`", pass.info().id);
        let parts: Vec<_> = page.split("\n# ").collect();
        assert!(parts.iter().all(|part| part.lines().any(|line| line.len() > 20)), "{}: empty part", pass.info().id);
    }
}

#[test]
fn every_parameter_is_documented_and_unknown_ones_are_denied() {
    for pass in builtin() {
        let schema = pass.schema();
        let mut faults = Vec::new();
        walk(&schema, &schema, "", &mut faults);
        assert!(faults.is_empty(), "`{}`: {faults:#?}", pass.info().id);
    }
}

#[test]
fn a_page_names_every_parameter() {
    let training = crate::builtin::pass::<crate::train::fit::Fit>().schema();
    let of_training: BTreeSet<_> = training["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    for pass in builtin() {
        let schema = pass.schema();
        let page = schema["description"].as_str().unwrap_or_default();
        let refers = page.replace('\n', " ").contains("All others are those of `train/fit`");
        let shared = |name: &str| refers && of_training.contains(name);
        let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
        let unnamed: Vec<_> = names.filter(|name| !shared(name) && !page.contains(&format!("`{name}`"))).collect();
        assert!(unnamed.is_empty(), "the page of `{}` does not speak of {unnamed:?}", pass.info().id);
    }
}

#[test]
fn an_unknown_parameter_is_refused() {
    for pass in builtin() {
        let problems = pass.configure(&json!({"no_such_parameter": 1})).err().unwrap_or_default();
        assert!(!problems.is_empty(), "`{}` takes any parameter", pass.info().id);
    }
}

/// Collects objects that admit unknown keys, and keys that nothing describes.
fn walk(schema: &Value, root: &Value, place: &str, faults: &mut Vec<String>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let denies = |key: &str| schema.get(key) == Some(&Value::Bool(false));
    if properties.is_some() && !denies("additionalProperties") && !denies("unevaluatedProperties") {
        faults.push(format!("{place}: unknown keys are admitted"));
    }
    for (name, property) in properties.into_iter().flatten() {
        if !described(property, root) && !described(schema, root) {
            faults.push(format!("{place}/{name}: no description"));
        }
    }
    match schema {
        Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, root, &format!("{place}/{key}"), faults)),
        Value::Array(items) => items.iter().for_each(|value| walk(value, root, place, faults)),
        _ => (),
    }
}

fn described(schema: &Value, root: &Value) -> bool {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| root.pointer(path.trim_start_matches('#')));
    schema.get("description").is_some() || target.is_some_and(|target| target.get("description").is_some())
}

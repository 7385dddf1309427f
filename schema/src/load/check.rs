//! Checking a substituted recipe, its sweeps tried with representative values, and placing what is wrong in the text.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde_json::Value;

use super::Loaded;
use super::substitute::{Origin, Substitution, Sweeps, Texts, Variable};
use super::sweep::most_representatives;
use crate::catalog::Catalog;
use crate::diagnostic::Diagnostic;
use crate::language::{Stage, stages_from_json};
use crate::node::{Entry, Node, NodeValue, pointer_parts};
use crate::source::Span;
use crate::validate::rules::broken_rules;
use crate::validate::{Checker, Part, Violation};

/// Values that all rounds of checking may look at together.
const MOST_WORK: usize = 500_000;
/// Violations that are placed; a text with more is no recipe.
const MOST_VIOLATIONS: usize = 1000;

/// Checks a recipe whose variables are substituted. Percentages where a number is wanted become numbers in `root`.
pub(super) fn check_recipe(root: &mut Node, substitution: &Substitution, catalog: &Catalog) -> Vec<Diagnostic> {
    let checker = match Checker::for_recipes(catalog) {
        Ok(checker) => checker,
        Err(problem) => return vec![problem],
    };
    let rounds = root.get("stages").map_or(1, most_representatives).max(1);
    if rounds * root.count() > MOST_WORK {
        let message = format!("a sweep has {rounds} choices for one variable, too many to check");
        return vec![Diagnostic::new("R025", message).label(root.span, "")];
    }
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    let written = root.clone();
    for round in 0..rounds {
        let mut filled = Substitution::new(BTreeMap::new(), Sweeps::Fill(round));
        let document = filled.recipe(&written, Texts::Final);
        let mut value = document.to_json();
        let before = value.clone();
        let mut violations = checker.check(&mut value);
        violations.extend(broken_rules(&value, catalog));
        if round == 0 && value != before {
            copy_ratios(root, &before, &value, "");
        }
        let places = Places { document: &document, origins: [&substitution.origins, &filled.origins] };
        let placed = violations.iter().take(MOST_VIOLATIONS).filter_map(|violation| {
            let unknown = |span| substitution.unknown.contains(&span);
            places.diagnostic(violation, unknown)
        });
        problems.extend(placed.filter(|problem| seen.insert(identity(problem))));
        problems.append(&mut filled.problems);
    }
    problems
}

/// A place is reported once for each code, whatever values a sweep tries there.
fn identity(problem: &Diagnostic) -> (&'static str, Option<Span>, String) {
    let place = problem.labels.first().map(|label| label.span);
    let tried = problem.labels.len() > 1;
    (problem.code, place, if tried { String::new() } else { problem.message.clone() })
}

/// Puts the ratios that checking made of percentages into the tree.
fn copy_ratios(root: &mut Node, before: &Value, after: &Value, pointer: &str) {
    match (before, after) {
        (Value::String(_), Value::Number(_)) => {
            if let (Some(node), Some(ratio)) = (node_mut(root, pointer), after.as_f64())
                && node.as_str().is_some_and(crate::units::is_percentage)
            {
                node.value = NodeValue::Scalar(serde_yaml::Value::Number(ratio.into()));
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                copy_ratios(root, before, after, &format!("{pointer}/{index}"));
            }
        }
        (Value::Object(before), Value::Object(after)) => {
            for ((key, before), (_, after)) in before.iter().zip(after) {
                copy_ratios(root, before, after, &format!("{pointer}/{}", crate::node::escape(key)));
            }
        }
        _ => {}
    }
}

fn node_mut<'a>(root: &'a mut Node, pointer: &str) -> Option<&'a mut Node> {
    pointer_parts(pointer).try_fold(root, |node, part| match &mut node.value {
        NodeValue::List(items) => items.get_mut(part.parse::<usize>().ok()?),
        NodeValue::Map(entries) => entries.iter_mut().find(|entry| entry.key == part).map(|entry| &mut entry.value),
        NodeValue::Scalar(_) => None,
    })
}

/// Where things stand in the text.
struct Places<'a> {
    document: &'a Node,
    origins: [&'a BTreeMap<Span, Origin>; 2],
}

impl Places<'_> {
    /// A violation with its place; nothing when the place holds an unknown variable.
    fn diagnostic(&self, violation: &Violation, unknown: impl Fn(Span) -> bool) -> Option<Diagnostic> {
        let span = self.span(violation);
        if violation.part == Part::Value && unknown(span) {
            return None;
        }
        let mut problem = Diagnostic::new(violation.code, &violation.message).label(span, &violation.label);
        problem.help.clone_from(&violation.help);
        let origin = self.origins.iter().find_map(|origins| origins.get(&span));
        if let (Some(origin), Part::Value) = (origin, violation.part) {
            problem = problem.label(origin.given, format!("`${}` gets its value here", origin.name));
            if violation.code == "R003" && violation.label.contains("whole number") && problem.help.is_none() {
                problem = problem.help("in a `space`, `int: [1, 8]` gives whole numbers");
            }
        }
        for (pointer, text) in &violation.also {
            let also = Violation { pointer: pointer.clone(), ..violation.clone() };
            problem = problem.label(self.span(&also), text);
        }
        Some(problem)
    }

    /// The smallest place that shows the violation: values that fill lines are named by their key.
    fn span(&self, violation: &Violation) -> Span {
        let pointer = &violation.pointer;
        let key = self.document.key_span(pointer);
        let value = self.document.pointer(pointer).filter(|node| is_short(node)).map(|node| node.span);
        match violation.part {
            Part::Key => key.or(value),
            Part::Value => value.or(key),
        }
        .unwrap_or(self.document.span)
    }
}

/// A scalar, or a list or map without inner ones.
fn is_short(node: &Node) -> bool {
    let is_scalar = |node: &Node| matches!(node.value, NodeValue::Scalar(_));
    let flat = node.items().iter().all(is_scalar) && node.entries().is_empty();
    (is_scalar(node) || flat) && node.span.end > node.span.start
}

/// The stages nested in a sweep's stage with its variables bound.
pub(super) fn bind(
    loaded: &Loaded,
    stage: &Stage,
    bindings: &IndexMap<String, Value>,
    catalog: &Catalog,
) -> Result<Vec<Stage>, Vec<Diagnostic>> {
    let pointer = format!("{}/stages", stage.pointer);
    let written = with_spans(&Value::Array(stage.nested.clone()), loaded, &pointer);
    let variable = |(name, value): (&String, &Value)| {
        let key = format!("{}/{}/space/{name}", stage.pointer, crate::node::escape(&stage.pass));
        let node = with_spans(value, loaded, &key);
        let given = loaded.key_span(&key);
        (name.clone(), Variable { node, given })
    };
    let mut substitution = Substitution::new(bindings.iter().map(variable).collect(), Sweeps::Leave);
    let stages = substitution.stages(&written, Texts::Written);
    let mut problems = substitution.problems;
    let checker = Checker::for_stages(catalog).map_err(|problem| vec![problem])?;
    let mut value = without_inner_sweeps(&stages.to_json());
    let places = Places { document: &stages, origins: [&substitution.origins, &substitution.origins] };
    let violations = checker.check(&mut value);
    problems.extend(violations.iter().filter_map(|violation| places.diagnostic(violation, |_| false)));
    if !problems.is_empty() {
        return Err(problems);
    }
    let stages = with_inner_sweeps(value, &stages.to_json());
    stages_from_json(&stages, &pointer)
        .map_err(|error| vec![Diagnostic::new("R030", format!("the nested stages do not fit the language: {error}"))])
}

/// Sweeps inside are checked when they bind their own variables.
fn without_inner_sweeps(stages: &Value) -> Value {
    let mut stages = stages.clone();
    for stage in stages.as_array_mut().into_iter().flatten() {
        if let Some(map) = stage.as_object_mut() {
            map.shift_remove("stages");
        }
    }
    stages
}

fn with_inner_sweeps(checked: Value, written: &Value) -> Vec<Value> {
    let Value::Array(mut stages) = checked else { return Vec::new() };
    for (index, stage) in stages.iter_mut().enumerate() {
        if let (Some(map), Some(nested)) = (stage.as_object_mut(), written.pointer(&format!("/{index}/stages"))) {
            map.insert("stages".to_owned(), nested.clone());
        }
    }
    stages
}

/// A value as a tree whose places are those of the recipe at `pointer`.
fn with_spans(value: &Value, loaded: &Loaded, pointer: &str) -> Node {
    let span = loaded.span(pointer);
    let value = match value {
        Value::Null => NodeValue::Scalar(serde_yaml::Value::Null),
        Value::Bool(flag) => NodeValue::Scalar(serde_yaml::Value::Bool(*flag)),
        Value::String(text) => NodeValue::Scalar(serde_yaml::Value::String(text.clone())),
        Value::Number(number) => NodeValue::Scalar(yaml_number(number)),
        Value::Array(items) => {
            let item = |(index, item)| with_spans(item, loaded, &format!("{pointer}/{index}"));
            NodeValue::List(items.iter().enumerate().map(item).collect())
        }
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| {
                let pointer = format!("{pointer}/{}", crate::node::escape(key));
                Entry {
                    key: key.clone(),
                    key_span: loaded.key_span(&pointer),
                    value: with_spans(value, loaded, &pointer),
                }
            };
            NodeValue::Map(map.iter().map(entry).collect())
        }
    };
    Node { value, span }
}

fn yaml_number(number: &serde_json::Number) -> serde_yaml::Value {
    let integer = number.as_i64().map(serde_yaml::Value::from);
    let integer = integer.or_else(|| number.as_u64().map(serde_yaml::Value::from));
    integer.or_else(|| number.as_f64().map(serde_yaml::Value::from)).unwrap_or(serde_yaml::Value::Null)
}

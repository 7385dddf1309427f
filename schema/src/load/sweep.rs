//! The space of a sweep: which names it binds, and values that stand for all that it may try.

use std::collections::BTreeSet;

use crate::node::{Entry, Node, NodeValue};

/// The entries of a stage's `space`: name and choices.
pub(super) fn space_of(stage: &Node) -> &[Entry] {
    let passes = stage.entries().iter().filter(|entry| entry.key.contains('/'));
    passes.filter_map(|pass| pass.value.get("space")).map(Node::entries).next().unwrap_or_default()
}

/// Every name that a sweep among the stages binds, however deep.
pub(super) fn swept_names(stages: &Node) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for stage in stages.items() {
        names.extend(space_of(stage).iter().map(|entry| entry.key.clone()));
        if let Some(nested) = stage.get("stages") {
            names.extend(swept_names(nested));
        }
    }
    names
}

/// How many representatives the variable with most of them has, among all sweeps of these stages.
pub(super) fn most_representatives(stages: &Node) -> usize {
    let own = |stage: &Node| space_of(stage).iter().map(|entry| count(&entry.value)).max().unwrap_or(1);
    let nested = |stage: &Node| stage.get("stages").map_or(1, most_representatives);
    stages.items().iter().map(|stage| own(stage).max(nested(stage))).max().unwrap_or(1)
}

/// How many representatives a variable has.
pub(super) fn count(space: &Node) -> usize {
    match space.get("choice") {
        Some(choices) => choices.items().len(),
        None => 3,
    }
}

/// A value that the variable may take: each choice in turn, or the ends of a range and a value between. Numbers past
/// the last begin again. Nothing when the space is not one.
pub(super) fn representative(space: &Node, number: usize) -> Option<Node> {
    if let Some(choices) = space.get("choice") {
        let choices = choices.items();
        return choices.get(number.checked_rem(choices.len())?).cloned();
    }
    let (range, whole) = match (space.get("range"), space.get("int")) {
        (Some(range), None) => (range, false),
        (None, Some(range)) => (range, true),
        _ => return None,
    };
    let [low, high] = range.items() else { return None };
    match number % 3 {
        0 => Some(low.clone()),
        1 => Some(high.clone()),
        _ if whole => Some(low.clone()),
        _ => between(low, high),
    }
}

/// A value inside the range that is not a whole number.
fn between(low: &Node, high: &Node) -> Option<Node> {
    let (from, to) = (low.to_json().as_f64()?, high.to_json().as_f64()?);
    let value = from + (to - from) * 0.381_966;
    let number = serde_yaml::Value::Number(value.into());
    Some(Node { value: NodeValue::Scalar(number), span: low.span })
}

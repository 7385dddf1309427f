//! `vars` and `--set`: the values of a recipe's variables.

use std::collections::{BTreeMap, BTreeSet};

use super::substitute::Variable;
use super::template::{Template, is_name, parse};
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeValue};
use crate::source::{Sources, Span};
use crate::suggest::did_you_mean;
use crate::yaml;

/// A variable's values are short: they stand where a setting stands.
const LONGEST: usize = 4096;

/// The variables that a recipe declares, `--set` applied.
pub(super) fn variables(
    root: &Node,
    set: &[String],
    sources: &mut Sources,
    problems: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Variable> {
    let declared = root.get("vars").map(Node::entries).unwrap_or_default();
    if let Some(vars) = root.entry("vars").filter(|vars| !matches!(vars.value.value, NodeValue::Map(_))) {
        let problem =
            Diagnostic::new("R003", "`vars` is not a map").label(vars.key_span, "expected a map of names and values");
        problems.push(problem.help("write `vars: { name: value }`"));
    }
    let mut variables = BTreeMap::new();
    for entry in declared {
        match check(entry) {
            Ok(node) => drop(variables.insert(entry.key.clone(), Variable { node, given: entry.value.span })),
            Err(problem) => problems.push(problem),
        }
    }
    for argument in set {
        if let Err(problem) = apply(argument, declared, sources, &mut variables) {
            problems.push(problem);
        }
    }
    variables
}

fn check(entry: &Entry) -> Result<Node, Diagnostic> {
    let name = &entry.key;
    if !is_name(name) {
        return Err(Diagnostic::new("R007", format!("`{name}` cannot name a variable"))
            .label(entry.key_span, "expected a letter or `_`, then letters, digits and `_`"));
    }
    let wrong = |found: &str| {
        Diagnostic::new("R003", format!("the variable `{name}` is {found}, expected a number, true, false or a text"))
            .label(entry.value.span, "expected one value")
    };
    match &entry.value.value {
        NodeValue::List(_) => Err(wrong("a list")),
        NodeValue::Map(_) => Err(wrong("a map")),
        NodeValue::Scalar(serde_yaml::Value::Null) => Err(wrong("empty")),
        NodeValue::Scalar(serde_yaml::Value::String(text)) => literal(text, name, entry.value.span),
        NodeValue::Scalar(_) => Ok(entry.value.clone()),
    }
}

/// A text without variables in it.
fn literal(text: &str, name: &str, span: Span) -> Result<Node, Diagnostic> {
    if text.len() > LONGEST {
        let message = format!("the variable `{name}` has {} bytes, expected at most {LONGEST} (inclusive)", text.len());
        return Err(Diagnostic::new("R004", message).label(span, "too long"));
    }
    let refused = || {
        Diagnostic::new("R016", format!("the variable `{name}` refers to a variable"))
            .label(span, "expected a value")
            .help("write the value itself, and `$$` for the character `$`")
    };
    let Ok(Template::Pieces(pieces)) = parse(text) else { return Err(refused()) };
    let texts = pieces.iter().map(|piece| match piece {
        super::template::Piece::Text(text) => Some(*text),
        super::template::Piece::Name(_) => None,
    });
    let text = texts.collect::<Option<String>>().ok_or_else(refused)?;
    Ok(Node { value: NodeValue::Scalar(serde_yaml::Value::String(text)), span })
}

/// One `--set name=value`.
fn apply(
    argument: &str,
    declared: &[Entry],
    sources: &mut Sources,
    variables: &mut BTreeMap<String, Variable>,
) -> Result<(), Diagnostic> {
    let source = sources.add("--set", argument);
    let span = |start, end| Span { source, start, end };
    let Some((name, text)) = argument.split_once('=') else {
        return Err(Diagnostic::new("R015", format!("`--set {argument}` has no `=`"))
            .label(span(0, argument.len()), "")
            .help("write `--set name=value`"));
    };
    if !declared.iter().any(|entry| entry.key == name) {
        let names = declared.iter().map(|entry| entry.key.as_str());
        let help = did_you_mean(name, names).unwrap_or_else(|| format!("declare `{name}` under `vars` in the recipe"));
        return Err(Diagnostic::new("R014", format!("`--set` names the unknown variable `{name}`"))
            .label(span(0, name.len()), "the recipe declares no such variable")
            .help(help));
    }
    let given = span(name.len() + 1, argument.len());
    let Some(scalar) = yaml::parse_scalar(text).filter(|scalar| !scalar.is_null()) else {
        return Err(Diagnostic::new("R003", format!("`--set {name}` is not given one value"))
            .label(given, "expected a number, true, false or a text"));
    };
    let node = Node { value: NodeValue::Scalar(scalar), span: given };
    variables.insert(name.to_owned(), Variable { node, given });
    Ok(())
}

/// Variables that nothing uses.
pub(super) fn unused(root: &Node, used: &BTreeSet<String>) -> Vec<Diagnostic> {
    let declared = root.get("vars").map(Node::entries).unwrap_or_default();
    let unused = declared.iter().filter(|entry| is_name(&entry.key) && !used.contains(&entry.key));
    let problem = |entry: &Entry| {
        Diagnostic::new("R026", format!("the variable `{}` is never used", entry.key))
            .label(entry.key_span, "declared here")
            .help(format!("write `${}` where its value is meant, or remove it", entry.key))
    };
    unused.map(problem).collect()
}

//! Loading a recipe: text, `extends`, variables, validation, types. All independent problems at once.

mod check;
mod extend;
mod references;
mod substitute;
mod sweep;
mod template;
mod variables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::language::{Recipe, Stage, to_yaml};
use crate::node::{Entry, Node, NodeValue};
use crate::source::{SourceId, Sources, Span};
use crate::yaml;
use extend::{Extender, first_source, or_here};
use substitute::{Substitution, Sweeps, Texts};

/// What the command line adds to a recipe.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `--set name=value`, as written.
    pub set: Vec<String>,
    /// Directories that `extends`, `model.load` and `data` may read besides the recipe's own.
    pub roots: Vec<PathBuf>,
}

/// A recipe that fits the language, with the places of everything in it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed recipe.
    pub recipe: Recipe,
    /// The recipe's file and everything it extends, in the order read.
    pub files: Vec<PathBuf>,
    /// The texts.
    pub sources: Sources,
    /// The merged recipe with spans, variables substituted (those that a sweep binds are not).
    pub root: Node,
}

/// What loading gathers on its way.
#[derive(Default)]
struct Inputs {
    sources: Sources,
    files: Vec<PathBuf>,
    /// Variables named in any of the files.
    used: BTreeSet<String>,
    problems: Vec<Diagnostic>,
}

/// Loads a recipe file.
///
/// # Errors
/// Every problem found in the recipe and the files it extends.
pub fn load(path: &Path, catalog: &Catalog, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let sources = first_source(path).map_err(|problem| Diagnostics::new(Sources::default(), vec![problem]))?;
    let inputs = Inputs { sources, files: vec![path.to_path_buf()], ..Inputs::default() };
    let directory = or_here(path.parent().unwrap_or(Path::new("")));
    load_first(inputs, directory, path.canonicalize().ok(), catalog, options)
}

/// Loads a recipe from text; relative paths are relative to `directory`.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    name: &str,
    text: &str,
    directory: &Path,
    catalog: &Catalog,
    options: &LoadOptions,
) -> Result<Loaded, Diagnostics> {
    let mut inputs = Inputs::default();
    match yaml::decode(text.as_bytes().to_vec(), name) {
        Ok(text) => drop(inputs.sources.add(name, text)),
        Err(problem) => return Err(Diagnostics::new(inputs.sources, vec![problem])),
    }
    load_first(inputs, directory, None, catalog, options)
}

/// Loads the recipe that is the first source.
fn load_first(
    mut inputs: Inputs,
    directory: &Path,
    path: Option<PathBuf>,
    catalog: &Catalog,
    options: &LoadOptions,
) -> Result<Loaded, Diagnostics> {
    match merged(&mut inputs, directory, path, options) {
        Ok(root) => finish(inputs, &root, catalog, options),
        Err(problems) => Err(Diagnostics::new(inputs.sources, problems)),
    }
}

/// Parses the first source and merges what it extends.
fn merged(
    inputs: &mut Inputs,
    directory: &Path,
    path: Option<PathBuf>,
    options: &LoadOptions,
) -> Result<Node, Vec<Diagnostic>> {
    let node = yaml::parse(&inputs.sources, SourceId(0))?;
    if !matches!(node.value, NodeValue::Map(_)) {
        return Err(vec![not_a_map(node.span)]);
    }
    let root = Extender::new(inputs, directory, options).merged(node, directory, path);
    if inputs.problems.is_empty() { Ok(root) } else { Err(std::mem::take(&mut inputs.problems)) }
}

fn not_a_map(span: Span) -> Diagnostic {
    Diagnostic::new("R001", "the recipe is not a map of settings")
        .label(span, "expected `key: value` lines")
        .help("`paring new` writes a recipe to start from")
}

/// Variables, validation, types.
fn finish(mut inputs: Inputs, merged: &Node, catalog: &Catalog, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let mut problems = Vec::new();
    let values = variables::variables(merged, &options.set, &mut inputs.sources, &mut problems);
    let mut substitution = Substitution::new(values, Sweeps::Leave);
    let mut root = substitution.recipe(merged, Texts::Written);
    problems.append(&mut substitution.problems);
    inputs.used.append(&mut substitution.used);
    problems.extend(variables::unused(merged, &inputs.used));
    problems.extend(check::check_recipe(&mut root, &substitution, catalog));
    let Inputs { sources, files, .. } = inputs;
    if !problems.is_empty() {
        return Err(Diagnostics::new(sources, problems));
    }
    match Recipe::from_json(&root.to_json()) {
        Ok(mut recipe) => {
            if root.get("measure").is_none() && !catalog.measures.is_empty() {
                recipe.measure.retain(|name| catalog.measures.iter().any(|measure| measure.name == *name));
            }
            Ok(Loaded { recipe, files, sources, root })
        }
        Err(error) => {
            let problem = Diagnostic::new("R030", format!("the recipe does not fit the language: {error}"));
            Err(Diagnostics::new(sources, vec![problem]))
        }
    }
}

impl Loaded {
    /// The span of the value at a JSON pointer, or of its nearest parent.
    pub fn span(&self, pointer: &str) -> Span {
        nearest(pointer, |pointer| self.root.pointer(pointer).map(|node| node.span)).unwrap_or(self.root.span)
    }

    /// The span of the key at a JSON pointer, or of its nearest parent.
    pub fn key_span(&self, pointer: &str) -> Span {
        nearest(pointer, |pointer| self.root.key_span(pointer)).unwrap_or(self.root.span)
    }

    /// The merged recipe with variables substituted, as YAML.
    ///
    /// # Errors
    /// When a value cannot be written as YAML.
    pub fn resolved_yaml(&self) -> Result<String, serde_yaml::Error> {
        to_yaml(&self.root.to_json())
    }

    /// Values that stand for all that a sweep may bind, one set after the other: each choice in turn, or the ends of a
    /// range and a value between. At least one set; at most `most`.
    pub fn sampled_values(&self, stage: &Stage, most: usize) -> Vec<IndexMap<String, Value>> {
        let Some(node) = self.root.pointer(&stage.pointer) else { return Vec::new() };
        let space = sweep::space_of(node);
        let count = space.iter().map(|entry| sweep::count(&entry.value)).max().unwrap_or(1).clamp(1, most.max(1));
        let value =
            |entry: &Entry, number| Some((entry.key.clone(), sweep::representative(&entry.value, number)?.to_json()));
        (0..count).map(|number| space.iter().filter_map(|entry| value(entry, number)).collect()).collect()
    }

    /// The stages nested in `stage`, with the sweep's variables bound.
    ///
    /// # Errors
    /// When a bound value does not fit where it is used.
    pub fn bind(
        &self,
        stage: &Stage,
        bindings: &IndexMap<String, Value>,
        catalog: &Catalog,
    ) -> Result<Vec<Stage>, Vec<Diagnostic>> {
        check::bind(self, stage, bindings, catalog)
    }
}

/// What is found for a pointer, or for the nearest of its parents.
fn nearest(pointer: &str, find: impl Fn(&str) -> Option<Span>) -> Option<Span> {
    let mut pointer = pointer;
    loop {
        if let Some(span) = find(pointer) {
            return Some(span);
        }
        pointer = pointer.rsplit_once('/')?.0;
    }
}

#[cfg(test)]
mod tests;

//! `extends`: recipes merged in order, the extending file last. Maps merge, lists replace, stages merge by id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::references::names_in;
use super::{Inputs, LoadOptions};
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeValue};
use crate::source::{SourceId, Sources, Span};
use crate::yaml;

const MOST_FILES: usize = 64;

/// Reads a recipe's bases.
pub(super) struct Extender<'a> {
    pub inputs: &'a mut Inputs,
    roots: Vec<PathBuf>,
    allowed: Vec<PathBuf>,
    /// Files being read, innermost last.
    stack: Vec<PathBuf>,
}

impl<'a> Extender<'a> {
    pub fn new(inputs: &'a mut Inputs, directory: &Path, options: &LoadOptions) -> Self {
        let roots = std::iter::once(directory).chain(options.roots.iter().map(PathBuf::as_path));
        let allowed = roots.filter_map(|root| or_here(root).canonicalize().ok()).collect();
        Self { inputs, roots: options.roots.clone(), allowed, stack: Vec::new() }
    }

    /// The recipe with its bases merged in; `path` is its canonical path if it is a file.
    pub fn merged(&mut self, node: Node, directory: &Path, path: Option<PathBuf>) -> Node {
        names_in(&node, &mut self.inputs.used);
        let Some(extends) = node.entry("extends") else { return node };
        let Some(written) = self.written_paths(&extends.value) else { return node };
        self.stack.extend(path.clone());
        let bases: Vec<Node> = written.iter().filter_map(|(text, span)| self.base(text, *span, directory)).collect();
        if path.is_some() {
            self.stack.pop();
        }
        bases
            .into_iter()
            .chain([node])
            .reduce(merge_recipes)
            .unwrap_or(Node { value: NodeValue::Map(Vec::new()), span: Span { source: SourceId(0), start: 0, end: 0 } })
    }

    fn written_paths(&mut self, extends: &Node) -> Option<Vec<(String, Span)>> {
        let texts = extends.items().iter().map(|item| Some((item.as_str()?.to_owned(), item.span)));
        let texts = texts.collect::<Option<Vec<_>>>().filter(|_| matches!(extends.value, NodeValue::List(_)));
        if texts.is_none() {
            self.inputs.problems.push(
                Diagnostic::new("R003", "`extends` is not a list of paths")
                    .label(extends.span, "expected a list of paths")
                    .help("write `extends: [base.yaml]`"),
            );
        }
        texts
    }

    fn base(&mut self, written: &str, span: Span, directory: &Path) -> Option<Node> {
        let path = self.find(written, directory);
        let node = match self.read(&path, written, span) {
            Ok((id, canonical)) => match yaml::parse(&self.inputs.sources, id) {
                Ok(node) if matches!(node.value, NodeValue::Map(_)) => Ok((node, canonical)),
                Ok(node) => Err(vec![super::not_a_map(node.span)]),
                Err(problems) => Err(problems),
            },
            Err(problem) => Err(vec![problem]),
        };
        match node {
            Ok((node, canonical)) => {
                let inner = path.parent().unwrap_or(directory).to_path_buf();
                Some(self.merged(node, &inner, Some(canonical)))
            }
            Err(problems) => {
                self.inputs.problems.extend(problems);
                None
            }
        }
    }

    /// The file that a path means: beside the file that names it, or else in the first root that has it.
    fn find(&self, written: &str, directory: &Path) -> PathBuf {
        let beside = directory.join(written);
        let in_roots = self.roots.iter().map(|root| root.join(written)).find(|path| path.exists());
        if beside.exists() { beside } else { in_roots.unwrap_or(beside) }
    }

    fn read(&mut self, path: &Path, written: &str, span: Span) -> Result<(SourceId, PathBuf), Diagnostic> {
        let missing = || {
            Diagnostic::new("R021", format!("the extended recipe `{written}` does not exist"))
                .label(span, "there is no such file")
                .help("paths in `extends` are relative to the file they stand in")
        };
        let canonical = path.canonicalize().map_err(|_| missing())?;
        if !self.allowed.iter().any(|root| canonical.starts_with(root)) {
            return Err(Diagnostic::new(
                "R020",
                format!("the extended recipe `{written}` is outside the recipe's directory"),
            )
            .label(span, "outside of what a recipe may read")
            .help("move it beside the recipe, or allow its directory on the command line with `--root`"));
        }
        if self.stack.contains(&canonical) {
            return Err(Diagnostic::new("R019", format!("the extended recipe `{written}` extends this one: a circle"))
                .label(span, "leads back to a recipe that is being read")
                .help("remove one of the `extends`"));
        }
        if self.inputs.files.len() >= MOST_FILES {
            let message = format!("the recipe extends more than {MOST_FILES} files");
            return Err(Diagnostic::new("R021", message).label(span, "the limit is passed here"));
        }
        let text = yaml::read_file(path).map_err(|problem| problem.label(span, "named here"))?;
        self.inputs.files.push(path.to_path_buf());
        Ok((self.inputs.sources.add(path.display().to_string(), text), canonical))
    }
}

/// The directory of a path, where the empty path means here.
pub(super) fn or_here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

/// How two values of one key become one.
type Merge = fn(Node, Node) -> Node;

fn merge_recipes(base: Node, over: Node) -> Node {
    merge_maps(base, over, |key| match key {
        "model" => merge_one_key,
        "stages" => merge_stages,
        _ => merge,
    })
}

/// Maps merge, everything else replaces.
fn merge(base: Node, over: Node) -> Node {
    merge_maps(base, over, |_| merge)
}

fn merge_maps(base: Node, over: Node, how: fn(&str) -> Merge) -> Node {
    let (NodeValue::Map(entries), NodeValue::Map(changes)) = (&base.value, &over.value) else { return over };
    let mut entries = entries.clone();
    let places: BTreeMap<String, usize> = entries.iter().enumerate().map(|(at, e)| (e.key.clone(), at)).collect();
    for change in changes.iter().cloned() {
        match places.get(&change.key).and_then(|at| entries.get_mut(*at)) {
            Some(entry) => {
                let value = how(&change.key)(entry.value.clone(), change.value);
                *entry = Entry { value, key: change.key, key_span: change.key_span };
            }
            None => entries.push(change),
        }
    }
    Node { value: NodeValue::Map(entries), span: over.span }
}

/// A map with one key: another key replaces it.
fn merge_one_key(base: Node, over: Node) -> Node {
    let same = base.entries().iter().map(|e| &e.key).eq(over.entries().iter().map(|e| &e.key));
    if same { merge(base, over) } else { over }
}

/// Stages with an id that the base has change that stage; the others come after.
fn merge_stages(base: Node, over: Node) -> Node {
    let (NodeValue::List(stages), NodeValue::List(changes)) = (&base.value, &over.value) else { return over };
    let mut stages = stages.clone();
    let id = |stage: &Node| stage.get("id").and_then(Node::as_str).map(str::to_owned);
    let places: BTreeMap<String, usize> = stages.iter().enumerate().filter_map(|(at, s)| Some((id(s)?, at))).collect();
    for change in changes.iter().cloned() {
        let same = id(&change).and_then(|id| places.get(&id)).and_then(|at| stages.get_mut(*at));
        match same {
            Some(stage) => *stage = merge_stage(stage.clone(), change),
            None => stages.push(change),
        }
    }
    Node { value: NodeValue::List(stages), span: over.span }
}

/// Another pass replaces the base's pass.
fn merge_stage(mut base: Node, over: Node) -> Node {
    let is_pass = |entry: &Entry| entry.key.contains('/');
    let pass = over.entries().iter().find(|entry| is_pass(entry));
    if let (NodeValue::Map(entries), Some(pass)) = (&mut base.value, pass) {
        entries.retain(|entry| !is_pass(entry) || entry.key == pass.key);
    }
    merge_maps(base, over, |key| if key == "stages" { merge_stages } else { merge })
}

/// The text of a recipe file as the first source of a run.
pub(super) fn first_source(path: &Path) -> Result<Sources, Diagnostic> {
    let mut sources = Sources::default();
    sources.add(path.display().to_string(), yaml::read_file(path)?);
    Ok(sources)
}

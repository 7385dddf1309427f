//! Variables put into a recipe: `vars` and `--set` first, the variables of a sweep when its values are known.
//!
//! Inside the `stages` of a sweep texts stay as written until the sweep binds its variables, so that `$$` is read once.

use std::collections::{BTreeMap, BTreeSet};

use super::sweep::{representative, space_of};
use super::template::{Misuse, Piece, Template, parse};
use crate::diagnostic::Diagnostic;
use crate::language::escape_text;
use crate::node::{Entry, Node, NodeValue};
use crate::source::Span;
use crate::suggest::nearest;

/// Text that all substitutions of one recipe may produce, in bytes.
const MOST_TEXT: usize = 1 << 20;

/// A variable's value and where it was given.
#[derive(Debug, Clone)]
pub(super) struct Variable {
    pub node: Node,
    pub given: Span,
}

/// Where a substituted value came from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub name: String,
    pub given: Span,
}

/// What to do with the variables of sweeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sweeps {
    /// Leave them: the sweep binds them.
    Leave,
    /// Put in one representative value of each: the one of this number.
    Fill(usize),
}

/// How to treat the texts of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    /// Substitute, and read `$$`.
    Written,
    /// Substitute, and leave everything else as written.
    Raw,
    /// They are done already.
    Final,
}

/// The names that one sweep binds, with their keys' spans, and those that its stages use.
struct Bound {
    names: BTreeMap<String, Span>,
    used: BTreeSet<String>,
}

/// One walk over a recipe.
pub(super) struct Substitution {
    pub values: BTreeMap<String, Variable>,
    pub sweeps: Sweeps,
    pub used: BTreeSet<String>,
    pub origins: BTreeMap<Span, Origin>,
    /// Places whose variable is unknown: nothing more is to be said about them.
    pub unknown: BTreeSet<Span>,
    pub problems: Vec<Diagnostic>,
    /// The sweeps around the present place.
    bound: Vec<Bound>,
    /// Names that some sweep binds.
    swept: BTreeSet<String>,
    text: usize,
}

impl Substitution {
    pub fn new(values: BTreeMap<String, Variable>, sweeps: Sweeps) -> Self {
        Self {
            values,
            sweeps,
            used: BTreeSet::new(),
            origins: BTreeMap::new(),
            unknown: BTreeSet::new(),
            problems: Vec::new(),
            bound: Vec::new(),
            swept: BTreeSet::new(),
            text: 0,
        }
    }

    /// A whole recipe; `vars` and `extends` are left out of the result.
    pub fn recipe(&mut self, root: &Node, texts: Texts) -> Node {
        self.swept = root.get("stages").map(super::sweep::swept_names).unwrap_or_default();
        let kept = root.entries().iter().filter(|entry| !matches!(entry.key.as_str(), "vars" | "extends"));
        let entries = kept.map(|entry| {
            let value = match entry.key.as_str() {
                "stages" => self.stages(&entry.value, texts),
                _ => self.value(&entry.value, texts),
            };
            Entry { value, ..entry.clone_key() }
        });
        Node { value: NodeValue::Map(entries.collect()), span: root.span }
    }

    /// A list of stages.
    pub fn stages(&mut self, list: &Node, texts: Texts) -> Node {
        match &list.value {
            NodeValue::List(items) => {
                let items = items.iter().map(|item| self.stage(item, texts)).collect();
                Node { value: NodeValue::List(items), span: list.span }
            }
            _ => self.value(list, texts),
        }
    }

    fn stage(&mut self, stage: &Node, texts: Texts) -> Node {
        if !matches!(stage.value, NodeValue::Map(_)) {
            return self.value(stage, texts);
        }
        let own = stage.entries().iter().map(|entry| {
            let value = if entry.key == "stages" { entry.value.clone() } else { self.value(&entry.value, texts) };
            Entry { value, ..entry.clone_key() }
        });
        let mut stage = Node { value: NodeValue::Map(own.collect()), span: stage.span };
        let nested = stage.get("stages").cloned().and_then(|nested| self.nested(&stage, &nested));
        if let NodeValue::Map(entries) = &mut stage.value {
            match nested {
                Some(nested) => {
                    entries.iter_mut().filter(|entry| entry.key == "stages").for_each(|e| e.value = nested.clone())
                }
                None => entries.retain(|entry| entry.key != "stages"),
            }
        }
        stage
    }

    /// The stages inside a sweep; none when a value of its space cannot be told.
    fn nested(&mut self, stage: &Node, nested: &Node) -> Option<Node> {
        let space = space_of(stage);
        match self.sweeps {
            Sweeps::Leave => {
                self.check_declared_once(space);
                let names = space.iter().map(|entry| (entry.key.clone(), entry.key_span)).collect();
                self.bound.push(Bound { names, used: BTreeSet::new() });
                let nested = self.stages(nested, Texts::Raw);
                self.problems.extend(self.bound.pop().into_iter().flat_map(Bound::unused));
                Some(nested)
            }
            Sweeps::Fill(number) => {
                let before = self.values.clone();
                for entry in space {
                    let node = representative(&entry.value, number)?;
                    let given = node.span;
                    self.values.insert(entry.key.clone(), Variable { node, given });
                }
                let nested = self.stages(nested, Texts::Written);
                self.values = before;
                Some(nested)
            }
        }
    }

    fn check_declared_once(&mut self, space: &[Entry]) {
        for entry in space {
            let outer = self.bound.iter().find_map(|bound| bound.names.get(&entry.key)).copied();
            let first = outer.or_else(|| self.values.get(&entry.key).map(|variable| variable.given));
            let Some(first) = first else { continue };
            let message = format!("the variable `{}` is declared twice", entry.key);
            self.problems.push(
                Diagnostic::new("R017", message)
                    .label(entry.key_span, "the sweep binds it here")
                    .label(first, "declared here")
                    .help("give one of them another name"),
            );
        }
    }

    fn value(&mut self, node: &Node, texts: Texts) -> Node {
        let span = node.span;
        match &node.value {
            _ if texts == Texts::Final => node.clone(),
            NodeValue::Scalar(serde_yaml::Value::String(text)) => self.text(text, span, texts),
            NodeValue::Scalar(_) => node.clone(),
            NodeValue::List(items) => {
                let items = items.iter().map(|item| self.value(item, texts)).collect();
                Node { value: NodeValue::List(items), span }
            }
            NodeValue::Map(entries) => {
                let entries = entries.iter().map(|e| Entry { value: self.value(&e.value, texts), ..e.clone_key() });
                Node { value: NodeValue::Map(entries.collect()), span }
            }
        }
    }

    fn text(&mut self, text: &str, span: Span, texts: Texts) -> Node {
        let as_written = text_node(text, span);
        if self.text > MOST_TEXT {
            return as_written;
        }
        match parse(text) {
            Ok(Template::Whole(name)) => self.whole(name, span, texts).unwrap_or(as_written),
            Ok(Template::Pieces(pieces)) => text_node(&self.pieces(&pieces, span, texts), span),
            Err(misuse) => {
                if let Misuse::Bare(name) = misuse {
                    self.used.insert(name.to_owned());
                }
                self.problems.push(misused(&misuse, span));
                self.unknown.insert(span);
                as_written
            }
        }
    }

    /// The value of a variable; nothing when it is to be left.
    fn whole(&mut self, name: &str, span: Span, texts: Texts) -> Option<Node> {
        let variable = self.look_up(name, span)?;
        self.origins.insert(span, Origin { name: name.to_owned(), given: variable.given });
        let value = match variable.node.value {
            NodeValue::Scalar(serde_yaml::Value::String(text)) if texts == Texts::Raw => {
                NodeValue::Scalar(serde_yaml::Value::String(escape_text(&text)))
            }
            value => value,
        };
        let node = Node { value, span };
        self.spend(node.count() + node.as_str().map_or(0, str::len), span)?;
        Some(node)
    }

    fn pieces(&mut self, pieces: &[Piece<'_>], span: Span, texts: Texts) -> String {
        let mut out = String::new();
        for piece in pieces {
            let text = match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Name(name) => match self.look_up(name, span) {
                    Some(variable) => self.scalar_text(name, &variable.node, span),
                    None => {
                        out.push_str(&format!("${{{name}}}"));
                        continue;
                    }
                },
            };
            if self.spend(text.len(), span).is_none() {
                break;
            }
            out.push_str(&if texts == Texts::Raw { escape_text(&text) } else { text });
        }
        out
    }

    fn scalar_text(&mut self, name: &str, node: &Node, span: Span) -> String {
        match node.to_json() {
            serde_json::Value::String(text) => text,
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
                let message = format!("`${{{name}}}` is a list or a map, which cannot stand inside a text");
                self.problems.push(Diagnostic::new("R016", message).label(span, ""));
                String::new()
            }
            scalar => scalar.to_string(),
        }
    }

    fn look_up(&mut self, name: &str, span: Span) -> Option<Variable> {
        self.used.insert(name.to_owned());
        if let Some(bound) = self.bound.iter_mut().rev().find(|bound| bound.names.contains_key(name)) {
            bound.used.insert(name.to_owned());
            return None;
        }
        if let Some(variable) = self.values.get(name) {
            return Some(variable.clone());
        }
        self.unknown.insert(span);
        let known =
            self.values.keys().chain(self.bound.iter().flat_map(|bound| bound.names.keys())).map(String::as_str);
        let help = if self.swept.contains(name) {
            format!("a sweep binds `${name}` only inside its own `stages`")
        } else {
            let meant = nearest(name, known).map(str::to_owned);
            self.used.extend(meant.clone());
            meant.map_or_else(
                || format!("declare it under `vars`, or write `$${name}` for the text"),
                |meant| format!("did you mean `{meant}`?"),
            )
        };
        let problem = Diagnostic::new("R014", format!("unknown variable `{name}`"));
        self.problems.push(problem.label(span, "no variable has this name").help(help));
        None
    }

    fn spend(&mut self, bytes: usize, span: Span) -> Option<()> {
        let before = self.text;
        self.text += bytes;
        if before <= MOST_TEXT && self.text > MOST_TEXT {
            let message = "the variables make the recipe larger than 1 MiB";
            self.problems.push(Diagnostic::new("R018", message).label(span, "the limit is passed here"));
        }
        (self.text <= MOST_TEXT).then_some(())
    }
}

impl Bound {
    fn unused(self) -> impl Iterator<Item = Diagnostic> {
        let Self { names, used } = self;
        names.into_iter().filter(move |(name, _)| !used.contains(name)).map(|(name, span)| {
            Diagnostic::new("R025", format!("the sweep varies `{name}`, but none of its stages uses it"))
                .label(span, "never used")
                .help(format!("write `${name}` for a setting of a nested stage, or remove `{name}`"))
        })
    }
}

fn text_node(text: &str, span: Span) -> Node {
    Node { value: NodeValue::Scalar(serde_yaml::Value::String(text.to_owned())), span }
}

fn misused(misuse: &Misuse<'_>, span: Span) -> Diagnostic {
    match misuse {
        Misuse::Unclosed => Diagnostic::new("R016", "`${` is not followed by a name and `}`")
            .label(span, "")
            .help("write `${name}`, or `$$` for the character itself"),
        Misuse::Bare(name) => {
            Diagnostic::new("R016", format!("`${name}` stands inside a longer text, where it is not replaced"))
                .label(span, "")
                .help(format!("write `${{{name}}}` for the variable, or `$${name}` for the text"))
        }
    }
}

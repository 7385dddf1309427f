//! Parser events to a [`Node`], with an explicit stack and a budget.

use std::collections::BTreeMap;

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::{MAX_DEPTH, MAX_WEIGHT, Offsets, resolve_plain, too_deep};
use crate::diagnostic::Diagnostic;
use crate::node::{Entry, Node, NodeValue};
use crate::source::Span;

pub(super) struct Builder {
    pub offsets: Offsets,
    pub problems: Vec<Diagnostic>,
    pub root: Option<Node>,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Built>,
    weight: usize,
    documents: usize,
}

/// A finished value with what it costs to repeat it.
#[derive(Clone)]
struct Built {
    node: Node,
    height: usize,
    weight: usize,
}

/// A list or map whose end has not come yet.
struct Frame {
    kind: Kind,
    span: Span,
    anchor: usize,
    height: usize,
    weight: usize,
}

enum Kind {
    List(Vec<Node>),
    Map(MapFrame),
}

#[derive(Default)]
struct MapFrame {
    entries: Vec<Entry>,
    seen: BTreeMap<String, Span>,
    key: Option<Key>,
    merged: Vec<Node>,
    merge_span: Option<Span>,
}

enum Key {
    Name(String, Span),
    Merge(Span),
}

type Step = Result<(), Diagnostic>;

impl Builder {
    pub fn new(offsets: Offsets) -> Self {
        Self {
            offsets,
            problems: Vec::new(),
            root: None,
            stack: Vec::new(),
            anchors: BTreeMap::new(),
            weight: 0,
            documents: 0,
        }
    }

    /// Takes one event. An error makes the rest unreadable.
    pub fn event(&mut self, event: Event<'_>, span: saphyr_parser::Span) -> Step {
        let span = self.offsets.span(span);
        match event {
            Event::DocumentStart(_) => self.document(span),
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), span);
                let node = Node { value: NodeValue::Scalar(value), span };
                let built = Built { node, height: 0, weight: 1 + text.len() / 32 };
                self.spend(built.weight, span)?;
                let plain = matches!(style, ScalarStyle::Plain).then_some(&*text);
                self.finish(built, anchor, plain)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::SequenceStart(anchor, tag) => self.open(Kind::List(Vec::new()), anchor, tag.as_deref(), span),
            Event::MappingStart(anchor, tag) => self.open(Kind::Map(MapFrame::default()), anchor, tag.as_deref(), span),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Span) -> Step {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(Diagnostic::new("Y006", "the file holds a second YAML document, expected one")
            .label(span, "the second document starts here")
            .help("a recipe is one document: put the second in a file of its own, or remove `---`"))
    }

    fn spend(&mut self, weight: usize, span: Span) -> Step {
        self.weight += weight;
        if self.weight <= MAX_WEIGHT {
            return Ok(());
        }
        Err(Diagnostic::new(
            "Y008",
            format!("the recipe is too large: more than {MAX_WEIGHT} values, aliases followed"),
        )
        .label(span, "the limit is reached here")
        .help("a recipe names data by path; check the aliases, each of which repeats its whole anchor"))
    }

    fn check_depth(&self, height: usize, span: Span) -> Step {
        if self.stack.len() + height <= MAX_DEPTH {
            return Ok(());
        }
        Err(too_deep(span))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> serde_yaml::Value {
        self.check_tag(tag, span);
        if !matches!(style, ScalarStyle::Plain) || tag.is_some() {
            return serde_yaml::Value::String(text.to_owned());
        }
        if let Some(value) = resolve_plain(text) {
            return value;
        }
        let message = format!("`{text}` is not a finite number");
        self.problems.push(Diagnostic::new("Y010", message).label(span, "expected a finite number"));
        serde_yaml::Value::Null
    }

    /// `!!str` makes a text of a scalar; every other tag would be a silent choice.
    fn check_tag(&mut self, tag: Option<&Tag>, span: Span) {
        let Some(tag) = tag else { return };
        if tag.is_yaml_core_schema() && tag.suffix == "str" {
            return;
        }
        let message = "the recipe uses a YAML tag, expected plain values";
        self.problems.push(
            Diagnostic::new("Y011", message)
                .label(span, "this value has a tag")
                .help("remove the tag: `!` and its name"),
        );
    }

    fn open(&mut self, kind: Kind, anchor: usize, tag: Option<&Tag>, span: Span) -> Step {
        self.check_tag(tag, span);
        if self.expects_key() {
            return Err(key_kind("a list or a map", span));
        }
        self.check_depth(1, span)?;
        self.spend(1, span)?;
        self.stack.push(Frame { kind, span, anchor, height: 0, weight: 1 });
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Step {
        let Some(built) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::new("Y009", "this alias is part of the value that it names").label(span, ""));
        };
        let (height, weight) = (built.height, built.weight);
        self.check_depth(height, span)?;
        self.spend(weight, span)?;
        let Some(built) = self.anchors.get(&anchor).cloned() else { return Ok(()) };
        self.finish(built, 0, None)
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { kind: Kind::Map(map), .. }) if map.key.is_none())
    }

    fn close(&mut self, end: Span) -> Step {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        let mut span = frame.span;
        let value = match frame.kind {
            Kind::List(items) => {
                extend_span(&mut span, end, items.last().map(|node| node.span));
                NodeValue::List(items)
            }
            Kind::Map(map) => {
                let last = map
                    .entries
                    .last()
                    .map(|e| if e.value.span.end > e.key_span.end { e.value.span } else { e.key_span });
                extend_span(&mut span, end, last);
                NodeValue::Map(self.merge(map))
            }
        };
        let built = Built { node: Node { value, span }, height: frame.height + 1, weight: frame.weight };
        self.finish(built, frame.anchor, None)
    }

    /// Hands a finished value to the list or map around it. `plain` is its text if it is an unquoted scalar.
    fn finish(&mut self, built: Built, anchor: usize, plain: Option<&str>) -> Step {
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(built.node);
            return Ok(());
        };
        frame.height = frame.height.max(built.height);
        frame.weight += built.weight;
        match &mut frame.kind {
            Kind::List(items) => items.push(built.node),
            Kind::Map(map) => match map.key.take() {
                None => {
                    let (key, problem) = key_of(&built.node, plain)?;
                    self.problems.extend(problem);
                    map.key = Some(key);
                }
                Some(Key::Merge(span)) => self.problems.extend(map.add_merge(built.node, span)),
                Some(Key::Name(key, span)) => self.problems.extend(map.add(key, span, built.node)),
            },
        }
        Ok(())
    }

    /// Adds what `<<` brings: a key of the map itself wins, then the first map that has it.
    fn merge(&mut self, map: MapFrame) -> Vec<Entry> {
        let MapFrame { mut entries, mut seen, merged, .. } = map;
        for node in merged {
            let NodeValue::Map(others) = node.value else { continue };
            for entry in others {
                if !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), entry.key_span);
                    entries.push(entry);
                }
            }
        }
        entries
    }
}

impl MapFrame {
    fn add(&mut self, key: String, key_span: Span, value: Node) -> Option<Diagnostic> {
        if let Some(first) = self.seen.get(&key) {
            return Some(duplicate(&key, *first, key_span));
        }
        self.seen.insert(key.clone(), key_span);
        self.entries.push(Entry { key, key_span, value });
        None
    }

    fn add_merge(&mut self, value: Node, span: Span) -> Option<Diagnostic> {
        if let Some(first) = self.merge_span.replace(span) {
            return Some(duplicate("<<", first, span));
        }
        let maps = match value.value {
            NodeValue::Map(_) => vec![value],
            NodeValue::List(items) => items,
            NodeValue::Scalar(_) => return Some(merge_kind(span)),
        };
        if !maps.iter().all(|node| matches!(node.value, NodeValue::Map(_))) {
            return Some(merge_kind(span));
        }
        self.merged = maps;
        None
    }
}

fn duplicate(key: &str, first: Span, second: Span) -> Diagnostic {
    Diagnostic::new("Y012", format!("the key `{key}` stands twice in this map"))
        .label(second, "stands here again")
        .label(first, "stands here first")
        .help("keep one of them")
}

fn merge_kind(span: Span) -> Diagnostic {
    Diagnostic::new("Y013", "`<<` merges something that is not a map, expected a map or a list of maps")
        .label(span, "")
        .help("write `<<: *name`, where `&name` marks a map")
}

fn key_kind(found: &str, span: Span) -> Diagnostic {
    Diagnostic::new("Y014", format!("this key is {found}, expected a text")).label(span, "")
}

/// The key that a value makes, with a problem if it is not a text. A list or map as a key is beyond repair.
fn key_of(node: &Node, plain: Option<&str>) -> Result<(Key, Option<Diagnostic>), Diagnostic> {
    let NodeValue::Scalar(scalar) = &node.value else { return Err(key_kind("a list or a map", node.span)) };
    let (found, text) = match scalar {
        serde_yaml::Value::String(_) if plain == Some("<<") => return Ok((Key::Merge(node.span), None)),
        serde_yaml::Value::String(text) => return Ok((Key::Name(text.clone(), node.span), None)),
        serde_yaml::Value::Bool(flag) => ("true or false", flag.to_string()),
        serde_yaml::Value::Number(number) => ("a number", number.to_string()),
        _ => ("empty", String::new()),
    };
    let text = plain.map_or(text, str::to_owned);
    let problem = key_kind(found, node.span).help(format!("quote it: `\"{text}\"`"));
    Ok((Key::Name(text, node.span), Some(problem)))
}

/// A flow collection ends at its bracket, a block collection with its last value.
fn extend_span(span: &mut Span, end: Span, last: Option<Span>) {
    let end = if end.end > end.start { Some(end.end) } else { last.map(|span| span.end) };
    span.end = span.end.max(end.unwrap_or(span.end));
}

//! A YAML value with the span of every key and value.

use serde_json::{Map, Value};

use crate::source::Span;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: NodeValue,
    /// Where it stands.
    pub span: Span,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeValue {
    /// null, a boolean, a number or a string.
    Scalar(serde_yaml::Value),
    /// A list.
    List(Vec<Node>),
    /// A map, in file order.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Entry {
    /// The key alone, with an empty value to be replaced.
    pub(crate) fn clone_key(&self) -> Entry {
        let value = Node { value: NodeValue::Scalar(serde_yaml::Value::Null), span: self.key_span };
        Entry { key: self.key.clone(), key_span: self.key_span, value }
    }
}

impl Node {
    /// The node that a JSON pointer names.
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        pointer_parts(pointer).try_fold(self, |node, part| node.child(&part))
    }

    /// The span of the key that a JSON pointer's last part names; the value's span for list items and the root.
    pub fn key_span(&self, pointer: &str) -> Option<Span> {
        let Some((parent, last)) = pointer.rsplit_once('/') else { return Some(self.span) };
        let parent = self.pointer(parent)?;
        match parent.entry(&unescape(last)) {
            Some(entry) => Some(entry.key_span),
            None => parent.child(last).map(|node| node.span),
        }
    }

    /// The value without spans. Whole floats become integers: `5.0` is `5`.
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Scalar(scalar) => scalar_to_json(scalar),
            NodeValue::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            NodeValue::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key, if this is a map that has it.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            NodeValue::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            NodeValue::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(scalar) => scalar.as_str(),
            _ => None,
        }
    }

    /// Nodes in the tree, this one included.
    pub fn count(&self) -> usize {
        1 + self.items().iter().map(Node::count).sum::<usize>()
            + self.entries().iter().map(|entry| entry.value.count()).sum::<usize>()
    }

    fn child(&self, part: &str) -> Option<&Node> {
        match &self.value {
            NodeValue::List(items) => items.get(part.parse::<usize>().ok()?),
            NodeValue::Map(_) => self.get(part),
            NodeValue::Scalar(_) => None,
        }
    }
}

fn scalar_to_json(scalar: &serde_yaml::Value) -> Value {
    match scalar {
        serde_yaml::Value::Bool(flag) => Value::Bool(*flag),
        serde_yaml::Value::String(text) => Value::String(text.clone()),
        serde_yaml::Value::Number(number) => number_to_json(number),
        _ => Value::Null,
    }
}

fn number_to_json(number: &serde_yaml::Number) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(integer) = number.as_i64() {
        return Value::from(integer);
    }
    match (number.as_u64(), number.as_f64()) {
        (Some(integer), _) => Value::from(integer),
        (None, Some(float)) if float.fract() == 0.0 && float.abs() < EXACT => Value::from(float as i64),
        (None, Some(float)) => Value::from(float),
        (None, None) => Value::Null,
    }
}

/// The parts of a JSON pointer, unescaped.
pub fn pointer_parts(pointer: &str) -> impl Iterator<Item = String> {
    pointer.split('/').skip(1).map(unescape)
}

/// One part of a JSON pointer, escaped.
pub fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::{escape, pointer_parts};

    #[test]
    fn pointer_parts_survive_escaping() {
        let pointer = format!("/{}/0", escape("prune/a~b"));
        assert_eq!(pointer, "/prune~1a~0b/0");
        assert_eq!(pointer_parts(&pointer).collect::<Vec<_>>(), ["prune/a~b", "0"]);
    }
}

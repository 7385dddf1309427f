//! A YAML value with the span of every key and value.

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

impl Node {
    /// The node that a JSON pointer names.
    pub fn pointer(&self, pointer: &str) -> Option<&Node> {
        let _ = pointer;
        todo!()
    }

    /// The span of the key that a JSON pointer's last part names; the value's span for list items and the root.
    pub fn key_span(&self, pointer: &str) -> Option<Span> {
        let _ = pointer;
        todo!()
    }

    /// The value without spans.
    pub fn to_json(&self) -> serde_json::Value {
        todo!()
    }
}

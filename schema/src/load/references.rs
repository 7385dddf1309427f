//! Which variables a recipe names, before anything is merged.

use std::collections::BTreeSet;

use super::template::{Piece, Template, parse};
use crate::node::{Node, NodeValue};

/// Adds the names of all variables in a tree.
pub(super) fn names_in(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        NodeValue::Scalar(serde_yaml::Value::String(text)) => match parse(text) {
            Ok(Template::Whole(name)) => {
                names.insert(name.to_owned());
            }
            Ok(Template::Pieces(pieces)) => names.extend(pieces.iter().filter_map(name_of)),
            Err(_) => {}
        },
        NodeValue::Scalar(_) => {}
        NodeValue::List(items) => items.iter().for_each(|item| names_in(item, names)),
        NodeValue::Map(entries) => entries.iter().for_each(|entry| names_in(&entry.value, names)),
    }
}

fn name_of(piece: &Piece<'_>) -> Option<String> {
    match piece {
        Piece::Name(name) => Some((*name).to_owned()),
        Piece::Text(_) => None,
    }
}

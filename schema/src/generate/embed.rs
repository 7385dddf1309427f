//! A catalog entry's self-contained schema as definitions of the recipe's schema.

use serde_json::{Map, Value, json};

use crate::catalog::Described;

/// The name of an entry's definition: `prune/magnitude` is `prune.magnitude`.
pub(super) fn definition_name(name: &str) -> String {
    name.replace(['/', '~'], ".")
}

/// Puts the entry's schema and its own `$defs` among the definitions. A place in it that says `"x-paring": "family"`
/// takes any model family.
pub(super) fn embed(described: &Described, definitions: &mut Map<String, Value>) {
    let name = definition_name(&described.name);
    let mut schema = described.schema.clone();
    if !schema.is_object() {
        schema = json!({ "type": "object" });
    }
    rewrite(&mut schema, &name);
    if let Some(map) = schema.as_object_mut() {
        map.remove("$schema");
        map.insert("title".to_owned(), json!(described.name));
        map.entry("description").or_insert_with(|| json!(described.summary));
        if let Some(Value::Object(own)) = map.remove("$defs") {
            definitions.extend(own.into_iter().map(|(key, value)| (inner_name(&name, &key), value)));
        }
    }
    definitions.insert(name, schema);
}

fn inner_name(name: &str, key: &str) -> String {
    format!("{name}.{}", definition_name(key))
}

/// Points every reference at where its target will stand.
fn rewrite(schema: &mut Value, name: &str) {
    match schema {
        Value::Object(map) => {
            if map.get("x-paring").and_then(Value::as_str) == Some("family") {
                map.retain(|key, _| matches!(key.as_str(), "title" | "description" | "default" | "examples"));
                map.insert("$ref".to_owned(), json!("#/$defs/Family"));
                return;
            }
            if let Some(Value::String(target)) = map.get_mut("$ref") {
                *target = match target.strip_prefix("#/$defs/") {
                    Some(key) => format!("#/$defs/{}", inner_name(name, &key.replace("~1", "/"))),
                    None => format!("#/$defs/{name}"),
                };
            }
            map.values_mut().for_each(|value| rewrite(value, name));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| rewrite(value, name)),
        _ => {}
    }
}

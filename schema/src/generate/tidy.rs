//! What every schema gets so that an editor's hover is a manual page: titles, enums with their meaning, no null.

use serde_json::{Map, Value, json};

/// Tidies a schema and everything in it.
pub(super) fn tidy(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    map.remove("format");
    remove_null(map);
    constants_to_enum(map);
    for_each_subschema(map, tidy);
    describe_only_choice(map);
    if let Some(Value::Object(properties)) = map.get_mut("properties") {
        for (name, property) in properties {
            add_title(name, property);
        }
    }
}

/// Calls `f` on each schema directly inside.
pub(super) fn for_each_subschema(map: &mut Map<String, Value>, f: fn(&mut Value)) {
    for (key, value) in map {
        match (key.as_str(), value) {
            ("properties" | "patternProperties" | "$defs", Value::Object(inner)) => inner.values_mut().for_each(f),
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(inner)) => inner.iter_mut().for_each(f),
            ("items" | "additionalProperties" | "not" | "if" | "then" | "else", value) => f(value),
            _ => {}
        }
    }
}

/// An optional setting is left out, never `null`.
fn remove_null(map: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = map.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            map.insert("type".to_owned(), only);
        }
    }
    if map.get("default") == Some(&Value::Null) {
        map.remove("default");
    }
    for keyword in ["anyOf", "oneOf"] {
        let Some(Value::Array(branches)) = map.get_mut(keyword) else { continue };
        branches.retain(|branch| branch != &json!({ "type": "null" }));
        let Some(Value::Object(only)) = branches.first().filter(|_| branches.len() == 1).cloned() else { continue };
        map.remove(keyword);
        for (key, value) in only {
            map.entry(key).or_insert(value);
        }
    }
}

/// `oneOf` of documented constants becomes `enum` with the documents in the description.
fn constants_to_enum(map: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = map.get("oneOf") else { return };
    let mut values = Vec::new();
    let mut lines = String::new();
    for branch in branches {
        let constants = match (branch.get("const"), branch.get("enum")) {
            (Some(constant), _) => vec![constant.clone()],
            (None, Some(Value::Array(constants))) => constants.clone(),
            _ => return,
        };
        if let (Some(text), Some(name)) = (branch.get("description").and_then(Value::as_str), constants.first()) {
            lines.push_str(&format!("\n- `{}`: {text}", name.as_str().unwrap_or_default()));
        }
        values.extend(constants);
    }
    map.remove("oneOf");
    map.insert("type".to_owned(), json!("string"));
    map.insert("enum".to_owned(), Value::Array(values));
    let description = map.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{description}{lines}").trim_start().to_owned();
    map.insert("description".to_owned(), json!(description));
}

/// A choice of one key (`adamw: { ... }`) is described as a whole; its key is what an editor hovers over.
fn describe_only_choice(map: &mut Map<String, Value>) {
    let Some(description) = map.get("description").cloned() else { return };
    let Some(Value::Object(properties)) = map.get_mut("properties") else { return };
    if properties.len() == 1 {
        for property in properties.values_mut().filter_map(Value::as_object_mut) {
            property.entry("description").or_insert_with(|| description.clone());
        }
    }
}

fn add_title(name: &str, property: &mut Value) {
    let Value::Object(map) = property else { return };
    if !map.contains_key("title") {
        map.insert("title".to_owned(), json!(title(name)));
    }
}

/// `learning_rate` is "Learning rate".
fn title(name: &str) -> String {
    let words = name.replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// JSON pointers of all settings that lack a title or a description.
pub fn undocumented(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    search(schema, "", &mut found);
    found
}

fn search(schema: &Value, pointer: &str, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                let inner = format!("{pointer}/{}", crate::node::escape(key));
                if let ("properties", Value::Object(properties)) = (key.as_str(), value) {
                    let bare = properties.iter().filter(|(_, property)| !is_documented(property));
                    found.extend(bare.map(|(name, _)| format!("{inner}/{}", crate::node::escape(name))));
                }
                if !matches!(key.as_str(), "default" | "examples" | "enum" | "const") {
                    search(value, &inner, found);
                }
            }
        }
        Value::Array(items) => {
            let inner = items.iter().enumerate();
            inner.for_each(|(index, item)| search(item, &format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}

fn is_documented(property: &Value) -> bool {
    let written = |key| property.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    written("title") && written("description")
}

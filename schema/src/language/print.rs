//! The typed recipe back to text that parses to the same recipe.

use serde_json::{Map, Value, json};

use super::{ModelSource, Recipe, Stage};

impl Recipe {
    /// The recipe as YAML, every setting written out. Parsing it gives the same recipe.
    ///
    /// # Errors
    /// When a setting cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_yaml::Error> {
        serde_yaml::to_string(&self.to_written())
    }

    fn to_written(&self) -> Value {
        let mut map = Map::new();
        map.insert("paring".to_owned(), json!(self.paring));
        map.insert("name".to_owned(), json!(self.name));
        map.insert("description".to_owned(), json!(self.description));
        map.insert("seed".to_owned(), json!(self.seed));
        map.insert("model".to_owned(), model(&self.model));
        map.insert("task".to_owned(), json!(self.task));
        map.insert("data".to_owned(), json!(self.data));
        map.insert("measure".to_owned(), json!(self.measure));
        map.insert("stages".to_owned(), self.stages.iter().map(stage).collect());
        map.insert("require".to_owned(), json!(self.require));
        map.insert("on_fail".to_owned(), json!(self.on_fail));
        map.insert("export".to_owned(), self.export.iter().map(|e| one_key(&e.format, &e.settings)).collect());
        without_nulls(escaped(Value::Object(map)))
    }
}

/// A value in recipe form as YAML; texts get their `$` escaped, except in nested stages, which are still as written.
pub(crate) fn to_yaml(value: &Value) -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(&escaped(value.clone()))
}

/// A text that stands for itself: `$` doubled where it would begin a variable.
pub(crate) fn escape_text(text: &str) -> String {
    text.replace('$', "$$")
}

fn model(model: &ModelSource) -> Value {
    match model {
        ModelSource::Load(path) => json!({ "load": path }),
        ModelSource::Family(family, settings) => one_key(family, settings),
    }
}

fn stage(stage: &Stage) -> Value {
    let mut map = Map::new();
    map.insert("id".to_owned(), json!(stage.id));
    map.insert(stage.pass.clone(), stage.parameters.clone());
    let mut list = |key: &str, empty: bool, value: Value| {
        if !empty {
            map.insert(key.to_owned(), value);
        }
    };
    list("targets", stage.targets.is_empty(), json!(stage.targets));
    list("ignore", stage.ignore.is_empty(), json!(stage.ignore));
    list("require", stage.require.is_empty(), json!(stage.require));
    list("stages", stage.nested.is_empty(), json!(stage.nested));
    Value::Object(map)
}

fn one_key(key: &str, value: &Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value.clone())]))
}

/// Escapes every text outside nested stages.
fn escaped(value: Value) -> Value {
    let Value::Object(map) = value else { return escape_all(value) };
    let part = |(key, value): (String, Value)| match (key.as_str(), value) {
        ("stages", Value::Array(stages)) => (key, stages.into_iter().map(escape_stage).collect()),
        (_, value) => (key, escape_all(value)),
    };
    Value::Object(map.into_iter().map(part).collect())
}

fn escape_stage(stage: Value) -> Value {
    let Value::Object(map) = stage else { return escape_all(stage) };
    let part = |(key, value)| if key == "stages" { (key, value) } else { (key, escape_all(value)) };
    Value::Object(map.into_iter().map(part).collect())
}

fn escape_all(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(escape_text(&text)),
        Value::Array(items) => items.into_iter().map(escape_all).collect(),
        Value::Object(map) => Value::Object(map.into_iter().map(|(key, value)| (key, escape_all(value))).collect()),
        other => other,
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

//! The JSON Schema of whole recipes, from the types and the catalog: strict for checking, lenient (with `$name`) for editors.

mod editor;
mod embed;
mod tidy;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::catalog::{Catalog, Described};
use crate::language::Gate;
use crate::language::shape::{RecipeShape, StageShape};

pub use tidy::undocumented;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The JSON Schema for editors: every setting documented, and `$name` allowed wherever a variable may stand.
/// The same catalog gives the same value, key order included.
pub fn recipe_schema(catalog: &Catalog) -> Value {
    let mut schema = strict_schema(catalog);
    editor::admit_variables(&mut schema);
    schema
}

/// The JSON Schema that a recipe must fit once its variables are substituted.
pub fn strict_schema(catalog: &Catalog) -> Value {
    assemble::<RecipeShape>(catalog)
}

/// The JSON Schema of a list of stages.
pub(crate) fn stages_schema(catalog: &Catalog) -> Value {
    let Value::Object(mut recipe) = strict_schema(catalog) else { return Value::Bool(true) };
    let definitions = recipe.remove("$defs").unwrap_or_default();
    json!({ "$schema": DRAFT, "type": "array", "items": { "$ref": "#/$defs/Stage" }, "$defs": definitions })
}

/// The types' own schema with everything that the catalog decides put in.
fn assemble<Root: JsonSchema>(catalog: &Catalog) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let _ = (generator.subschema_for::<StageShape>(), generator.subschema_for::<Gate>());
    let mut root = Value::from(generator.into_root_schema_for::<Root>());
    let mut definitions = take_definitions(&mut root);
    let stage = definitions.remove("StageShape").unwrap_or_default();
    definitions.insert("Measure".to_owned(), measure(catalog));
    definitions.insert("Gates".to_owned(), gates(catalog));
    definitions.insert("Model".to_owned(), model(catalog));
    definitions.insert("Family".to_owned(), family(catalog));
    definitions.insert("Stage".to_owned(), with_passes(stage, catalog));
    definitions.insert("Export".to_owned(), export(catalog));
    for described in catalog.passes.iter().chain(&catalog.families).chain(&catalog.exports) {
        embed::embed(described, &mut definitions);
    }
    definitions.sort_keys();
    definitions.values_mut().for_each(tidy::tidy);
    tidy::tidy(&mut root);
    if let Value::Object(map) = &mut root {
        map.insert("$defs".to_owned(), Value::Object(definitions));
    }
    root
}

fn take_definitions(root: &mut Value) -> Map<String, Value> {
    match root.as_object_mut().and_then(|map| map.remove("$defs")) {
        Some(Value::Object(definitions)) => definitions,
        _ => Map::new(),
    }
}

fn measure(catalog: &Catalog) -> Value {
    let mut schema = json!({ "type": "string", "title": "Measure", "description": described(&catalog.measures) });
    if let (Some(map), false) = (schema.as_object_mut(), catalog.measures.is_empty()) {
        map.insert("enum".to_owned(), catalog.measures.iter().map(|measure| json!(measure.name)).collect());
    }
    schema
}

fn gates(catalog: &Catalog) -> Value {
    let gate = |measure: &Described| {
        let schema = json!({ "$ref": "#/$defs/Gate", "title": measure.name, "description": measure.summary });
        (measure.name.clone(), schema)
    };
    let properties: Map<String, Value> = catalog.measures.iter().map(gate).collect();
    let others = if properties.is_empty() { json!({ "$ref": "#/$defs/Gate" }) } else { json!(false) };
    json!({
        "type": "object",
        "title": "Gates",
        "description": "For each measure, the bounds that it must keep.",
        "properties": properties,
        "additionalProperties": others,
    })
}

fn model(catalog: &Catalog) -> Value {
    let load = json!({
        "type": "string",
        "title": "Load",
        "description": "A directory with `config.json` and weights (safetensors, PyTorch or GGUF), a file of weights, `hf://org/name@rev`, or `hf://org/name@rev#FILE` for one GGUF file. Paths are relative to the recipe.",
        "examples": ["models/all-MiniLM-L6-v2"],
        "minLength": 1,
    });
    let description = "One key: `load`, or the family of a model to build from nothing.";
    let mut schema = one_key("Model", description, &catalog.families);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.shift_insert(0, "load".to_owned(), load);
    }
    schema
}

fn family(catalog: &Catalog) -> Value {
    one_key("Family", "One key: the family of a model to build from nothing.", &catalog.families)
}

fn export(catalog: &Catalog) -> Value {
    one_key("Export", "One key: the format to write, with its settings.", &catalog.exports)
}

/// A map with exactly one of the names as its key.
fn one_key(title: &str, description: &str, choices: &[Described]) -> Value {
    let properties: Map<String, Value> = choices.iter().map(reference).collect();
    json!({
        "type": "object",
        "title": title,
        "description": description,
        "properties": properties,
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
}

fn with_passes(mut stage: Value, catalog: &Catalog) -> Value {
    if let Some(map) = stage.as_object_mut() {
        map.insert("title".to_owned(), json!("Stage"));
        map.insert("description".to_owned(), json!("One stage: exactly one pass, and what any stage may have."));
    }
    if let Some(Value::Object(properties)) = stage.get_mut("properties") {
        properties.extend(catalog.passes.iter().map(reference));
    }
    stage
}

fn reference(described: &Described) -> (String, Value) {
    let target = format!("#/$defs/{}", embed::definition_name(&described.name));
    (
        described.name.clone(),
        json!({ "$ref": target, "title": described.name, "description": described.summary, "examples": [{}] }),
    )
}

fn described(choices: &[Described]) -> String {
    let lines = choices.iter().map(|choice| format!("\n- `{}`: {}", choice.name, choice.summary));
    format!("What to measure by:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests;

//! A small catalog for the tests of this crate.

use serde_json::{Value, json};

use crate::catalog::{Catalog, Described};

fn described(name: &str, summary: &str, schema: Value) -> Described {
    Described { name: name.to_owned(), summary: summary.to_owned(), schema, nests: name.starts_with("sweep/") }
}

fn block(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn number(rule: Value) -> Value {
    let mut schema = json!({ "description": "A number." });
    if let (Some(map), Value::Object(rule)) = (schema.as_object_mut(), rule) {
        map.extend(rule);
    }
    schema
}

fn grid() -> Value {
    let names = |inner: Value| json!({ "type": "object", "additionalProperties": inner, "description": "Variables." });
    let space = json!({ "anyOf": [
        { "type": "object", "additionalProperties": false, "required": ["choice"],
          "properties": { "choice": { "type": "array", "minItems": 1, "description": "Values." } } },
        { "type": "object", "additionalProperties": false, "required": ["range"],
          "properties": { "range": { "$ref": "#/$defs/Range", "description": "From, to." },
                          "scale": { "enum": ["linear", "log"], "description": "How to space values." } } },
        { "type": "object", "additionalProperties": false, "required": ["int"],
          "properties": { "int": { "$ref": "#/$defs/Range", "description": "From, to." } } },
    ] });
    let mut schema = block(
        json!({ "space": names(json!({ "$ref": "#/$defs/Space" })), "trials": number(json!({ "type": ["integer", "null"], "minimum": 1, "default": null })) }),
    );
    schema["required"] = json!(["space"]);
    schema["$defs"] = json!({
        "Space": space,
        "Range": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2, "description": "From, to." },
    });
    schema
}

/// Passes of several kinds, two families, four measures, two exports.
pub(crate) fn catalog() -> Catalog {
    let fit = block(json!({
        "epochs": number(json!({ "type": "integer", "minimum": 1, "default": 20 })),
        "learning_rate": number(json!({ "type": "number", "exclusiveMinimum": 0.0 })),
        "optimizer": { "description": "Optimizer.", "oneOf": [
            { "const": "adamw", "description": "AdamW." }, { "const": "sgd", "description": "SGD." } ] },
        "shuffle": { "type": "boolean", "description": "Whether to shuffle." },
    }));
    let magnitude = block(json!({
        "sparsity": number(json!({ "type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0, "default": 0.5 })),
    }));
    let mut logits = block(json!({
        "student": { "x-paring": "family", "description": "The student." },
        "temperature": number(json!({ "type": "number", "exclusiveMinimum": 0.0 })),
    }));
    logits["required"] = json!(["student"]);
    let mlp = block(json!({
        "hidden": { "type": "array", "items": { "type": "integer", "minimum": 1 }, "description": "Widths." },
        "activation": { "type": "string", "enum": ["relu", "gelu"], "description": "Activation." },
    }));
    Catalog {
        passes: vec![
            described("train/fit", "Trains.", fit),
            described("sweep/grid", "Tries all.", grid()),
            described("distill/logits", "Distills.", logits),
            described("prune/magnitude", "Prunes.", magnitude),
        ],
        families: vec![described("mlp", "Dense layers.", mlp), described("convnet", "Convolutions.", block(json!({})))],
        measures: vec![
            described("accuracy", "Share right.", json!({ "unit": "" })),
            described("rmse", "Error.", json!({ "unit": "" })),
            described("size", "Bytes.", json!({ "unit": "bytes" })),
            described("latency", "Time.", json!({ "unit": "ms" })),
        ],
        exports: vec![
            described("safetensors", "Safetensors.", block(json!({}))),
            described("gguf", "GGUF.", block(json!({ "types": { "type": "string", "description": "Types." } }))),
        ],
    }
}

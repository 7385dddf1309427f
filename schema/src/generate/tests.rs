//! Tests of the generated schemas over a small catalog.

use serde_json::{Value, json};

use super::{recipe_schema, strict_schema, undocumented};
use crate::testing::catalog;

fn fits(schema: &Value, pointer: &str, value: &Value) -> bool {
    let mut part = schema.pointer(pointer).expect("a place in the schema").clone();
    part["$defs"] = schema["$defs"].clone();
    jsonschema::validator_for(&part).unwrap().is_valid(value)
}

#[test]
fn every_setting_is_documented() {
    assert_eq!(undocumented(&recipe_schema(&catalog())), Vec::<String>::new());
}

#[test]
fn an_undocumented_setting_is_found() {
    let schema = json!({ "properties": { "a": { "properties": { "b": { "title": "B" } } } } });
    assert_eq!(undocumented(&schema), ["/properties/a", "/properties/a/properties/b"]);
}

#[test]
fn the_same_catalog_gives_the_same_bytes() {
    assert_eq!(recipe_schema(&catalog()).to_string(), recipe_schema(&catalog()).to_string());
}

#[test]
fn both_schemas_are_valid_draft_2020_12() {
    for schema in [recipe_schema(&catalog()), strict_schema(&catalog())] {
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::draft202012::meta::validate(&schema).expect("fits the metaschema");
    }
}

#[test]
fn only_the_editor_schema_admits_variables() {
    let sparsity = "/$defs/prune.magnitude/properties/sparsity";
    for (value, strict, editor) in [
        (json!(0.5), true, true),
        (json!(1.5), false, false),
        (json!("$sparsity"), false, true),
        (json!("70%"), false, true),
        (json!("much"), false, false),
    ] {
        assert_eq!(fits(&strict_schema(&catalog()), sparsity, &value), strict, "{value}");
        assert_eq!(fits(&recipe_schema(&catalog()), sparsity, &value), editor, "{value}");
    }
}

#[test]
fn documented_constants_are_an_enum_with_their_meaning() {
    let task = &strict_schema(&catalog())["$defs"]["Task"];
    assert_eq!(task["enum"], json!(["classify", "regress", "embed", "generate"]));
    let description = task["description"].as_str().unwrap();
    assert!(description.contains("- `regress`: Predict a number."), "{description}");
}

#[test]
fn a_pass_keeps_its_own_definitions() {
    let schema = strict_schema(&catalog());
    assert!(fits(&schema, "/$defs/sweep.grid", &json!({ "space": { "lr": { "choice": [0.1] } } })));
    assert!(!fits(&schema, "/$defs/sweep.grid", &json!({ "space": { "lr": { "chioce": [0.1] } } })));
}

#[test]
fn a_place_for_a_family_takes_any_family() {
    let schema = strict_schema(&catalog());
    assert!(fits(&schema, "/$defs/distill.logits", &json!({ "student": { "mlp": { "hidden": [8] } } })));
    assert!(!fits(&schema, "/$defs/distill.logits", &json!({ "student": { "mpl": {} } })));
}

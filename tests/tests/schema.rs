//! The committed JSON Schema is the one that the code generates, is valid, and explains every field.
//! `UPDATE_SCHEMA=1 cargo test` writes it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use paring_engine::catalog::catalog;
use paring_engine::schema::generate::{recipe_schema, undocumented};

#[test]
fn the_committed_schema_is_the_generated_one() {
    let path = paring_tests::workspace().join("schema/recipe.schema.json");
    let generated = serde_json::to_string_pretty(&recipe_schema(&catalog())).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "schema/recipe.schema.json is stale: UPDATE_SCHEMA=1 cargo test writes it");
}

#[test]
fn every_field_of_every_pass_family_and_block_is_explained() {
    let missing = undocumented(&recipe_schema(&catalog()));
    assert!(missing.is_empty(), "fields without title or description: {missing:#?}");
}

#[test]
fn the_schema_is_itself_a_valid_draft_2020_12_schema() {
    let schema = recipe_schema(&catalog());
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::meta::validate(&schema).unwrap();
}

#[test]
fn every_shipped_recipe_fits_the_schema_that_editors_use() {
    let validator = jsonschema::validator_for(&recipe_schema(&catalog())).unwrap();
    for path in paring_tests::recipes() {
        let text = std::fs::read_to_string(&path).unwrap();
        let recipe: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let errors: Vec<String> = validator.iter_errors(&recipe).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

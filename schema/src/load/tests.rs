//! Tests of whole recipes: what loads, and every message.

use std::path::Path;

use serde_json::json;

use super::{LoadOptions, Loaded, load_text};
use crate::diagnostic::{Diagnostics, render};
use crate::testing::catalog;

const HEAD: &str = "paring: 1\nname: tiny\nmodel: { load: a }\ntask: classify\n";

fn loaded(text: &str, set: &[&str]) -> Result<Loaded, Diagnostics> {
    let options = LoadOptions { set: set.iter().map(|argument| (*argument).to_owned()).collect(), roots: Vec::new() };
    load_text("a.yaml", text, Path::new("."), &catalog(), &options)
}

/// The rendering of everything wrong with the common head and `rest`.
fn wrong(rest: &str) -> String {
    wrong_with(rest, &[])
}

fn wrong_with(rest: &str, set: &[&str]) -> String {
    match loaded(&format!("{HEAD}{rest}"), set) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(diagnostics) => render(&diagnostics, false, false, 100),
    }
}

#[test]
fn misspelt_parameter() {
    insta::assert_snapshot!(wrong("stages:\n  - prune/magnitude: { sparsty: 0.5 }\n"), @"");
}

#[test]
fn unknown_pass() {
    insta::assert_snapshot!(wrong("stages:\n  - prune/magnitud: { sparsity: 0.5 }\n  - quantize/xyz: {}\n  - magnitude: {}\n"), @"");
}

#[test]
fn out_of_range_names_both_bounds() {
    insta::assert_snapshot!(wrong("stages:\n  - prune/magnitude: { sparsity: 1.5 }\n"), @"");
}

#[test]
fn out_of_range_through_a_variable_shows_both_places() {
    let rest = "vars: { much: 0.5 }\nstages:\n  - prune/magnitude: { sparsity: $much }\n";
    insta::assert_snapshot!(wrong_with(rest, &["much=1.5"]), @"");
}

#[test]
fn wrong_types() {
    let rest =
        "stages:\n  - train/fit: { epochs: many, shuffle: yes, learning_rate: }\n  - prune/magnitude\n  - train/fit:\n";
    insta::assert_snapshot!(wrong(rest), @"");
}

#[test]
fn enums_offer_the_near_name() {
    insta::assert_snapshot!(wrong("on_fail: keep-best\nmeasure: [acuracy]\nstages:\n  - train/fit: { optimizer: adam }\n"), @"");
}

#[test]
fn missing_keys_and_misspelt_ones() {
    let text = "paring: 1\nname: Tiny\nmodl: { load: a }\n";
    let rendered = render(&loaded(text, &[]).unwrap_err(), false, false, 100);
    insta::assert_snapshot!(rendered, @"");
}

#[test]
fn stages_without_a_pass_or_with_two() {
    let rest = "stages:\n  - id: a\n  - train/fit: {}\n    prune/magnitude: {}\n  - id: a\n    train/fit: {}\n    stages: []\n  - sweep/grid: { space: {} }\n";
    insta::assert_snapshot!(wrong(rest), @"");
}

#[test]
fn gates() {
    let rest = "measure: [accuracy]\nstages: []\nrequire:\n  size: { max: 5ms }\n  accuracy: { max: 20MB, maxdrop: 1 }\n  speed: {}\n  latency: {}\n";
    insta::assert_snapshot!(wrong(rest), @"");
}

#[test]
fn variables() {
    let rest = "vars: { sparsity: 0.5, unused: 1, 2x: 3, many: [1] }\nstages:\n  - prune/magnitude: { sparsity: $sparsty }\n    targets: [\"a $sparsity\"]\n";
    insta::assert_snapshot!(wrong_with(rest, &["sparcity=1", "x"]), @"");
}

#[test]
fn sweeps() {
    let rest = "stages:\n  - sweep/grid: { space: { lr: { range: [0, 1] }, n: { range: [1, 8] }, m: { choice: [1] } } }\n    stages:\n      - train/fit: { learning_rate: $lr, epochs: $n }\n  - train/fit: { learning_rate: $lr }\n";
    insta::assert_snapshot!(wrong(rest), @"");
}

#[test]
fn splits() {
    insta::assert_snapshot!(wrong("stages: []\ndata: { train: { path: a.csv }, split: { train: 0.9, test: 20% } }\n"), @"");
    insta::assert_snapshot!(wrong("stages: []\ndata: { train: { path: a.csv }, split: { folds: 5, test: 0.2 } }\n"), @"");
}

#[test]
fn models_and_exports_have_one_key() {
    let text = "paring: 1\nname: a\ntask: classify\nmodel: { load: a, mlp: {} }\nstages: []\nexport:\n  - {}\n  - safetensor: {}\n  - safetensors\n";
    insta::assert_snapshot!(render(&loaded(text, &[]).unwrap_err(), false, false, 100), @"");
}

#[test]
fn a_good_recipe_is_typed() {
    let text = r#"
paring: 1
name: digits
seed: 7
vars: { sparsity: 70%, tag: x }
model: { mlp: { hidden: [256, 128] } }
task: classify
data:
  train: { path: data/digits.csv, label: digit }
  split: { calibrate: 10%, test: 0.2 }
stages:
  - sweep/grid: { space: { lr: { choice: [1e-2, 0.1] } } }
    stages:
      - train/fit: { learning_rate: $lr, epochs: 5.0 }
  - prune/magnitude: { sparsity: $sparsity }
    targets: ["layers.${tag}", 're:^a$']
  - prune/magnitude: {}
    require: { latency: { max: 5ms } }
"#;
    let loaded = loaded(text, &[]).unwrap();
    let recipe = &loaded.recipe;
    let ids: Vec<_> = recipe.stages.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(ids, ["sweep-grid", "prune-magnitude", "prune-magnitude-2"]);
    assert_eq!(recipe.stages[1].parameters, json!({ "sparsity": 0.7 }));
    assert_eq!(recipe.stages[1].targets, ["layers.x", "re:^a$"]);
    assert_eq!(recipe.stages[0].nested, [json!({ "train/fit": { "learning_rate": "$lr", "epochs": 5 } })]);
    assert_eq!(recipe.measure, ["accuracy", "size", "latency"]);
    let split = &recipe.data.as_ref().unwrap().split;
    assert_eq!([split.validate, split.calibrate, split.test], [Some(0.0), Some(0.1), Some(0.2)]);
    assert!((split.train.unwrap() - 0.7).abs() < 1e-12);
}

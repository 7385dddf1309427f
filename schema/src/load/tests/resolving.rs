//! What loads: types, bound stages, bases, files that are refused.

use super::{HEAD, loaded};
use crate::diagnostic::Diagnostics;
use crate::language::ModelSource;
use crate::load::{LoadOptions, Loaded, load};
use crate::testing::catalog;
use serde_json::json;
use std::path::PathBuf;

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

/// Without rows there is nothing to tell answers by.
#[test]
fn a_recipe_without_data_is_measured_by_size() {
    let loaded = loaded(&format!("{HEAD}stages: []\n"), &[]).unwrap();
    assert_eq!((loaded.recipe.data.is_none(), loaded.recipe.measure), (true, vec!["size".to_owned()]));
}

#[test]
fn bound_stages_are_typed_and_checked() {
    let rest = "stages:\n  - id: tune\n    sweep/grid: { space: { lr: { choice: [0.1, 10%] } } }\n    stages:\n      - train/fit: { learning_rate: $lr }\n        targets: ['a$$${lr}']\n";
    let loaded = loaded(&format!("{HEAD}{rest}"), &[]).unwrap();
    let bind =
        |value| loaded.bind(&loaded.recipe.stages[0], &[("lr".to_owned(), value)].into_iter().collect(), &catalog());
    let stages = bind(json!("10%")).unwrap();
    assert_eq!(stages[0].parameters, json!({ "learning_rate": 0.1 }));
    assert_eq!((stages[0].id.as_str(), stages[0].pointer.as_str()), ("train-fit", "/stages/0/stages/0"));
    assert_eq!(bind(json!(0.2)).unwrap()[0].targets, ["a$0.2"]);
    let problems = bind(json!(-1)).unwrap_err();
    assert_eq!(problems[0].code, "R004");
    assert_eq!(loaded.sources.line_column(problems[0].labels[0].span.source, problems[0].labels[0].span.start).0, 9);
}

#[test]
fn what_is_resolved_loads_to_the_same_recipe() {
    let rest = "vars: { s: 50%, t: x }\nstages:\n  - sweep/grid: { space: { lr: { choice: [0.1] } } }\n    stages:\n      - train/fit: { learning_rate: $lr }\n        targets: ['$t', 'a$$$']\n  - prune/magnitude: { sparsity: $s }\n    targets: ['re:a$', '$$t']\n";
    let first = loaded(&format!("{HEAD}{rest}"), &[]).unwrap();
    let again = loaded(&first.resolved_yaml().unwrap(), &[]).unwrap();
    assert_eq!(again.recipe, first.recipe);
    let printed = loaded(&first.recipe.to_yaml().unwrap(), &[]).unwrap();
    assert_eq!(printed.recipe, first.recipe);
}

#[test]
fn a_file_of_200_megabytes_is_refused_unread() {
    let directory = std::env::temp_dir().join(format!("paring-schema-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("large.yaml");
    std::fs::File::create(&path).unwrap().set_len(200_000_000).unwrap();
    let diagnostics = load(&path, &catalog(), &LoadOptions::default()).unwrap_err();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(diagnostics.list[0].message.ends_with("is 200 MB, expected a recipe of at most 1 MiB (inclusive)"));
}

/// A directory of files that goes when the test ends.
struct Files(PathBuf);

impl Files {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let directory = std::env::temp_dir().join(format!("paring-schema-{}-{name}", std::process::id()));
        for (path, text) in files {
            let path = directory.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(directory)
    }

    fn load(&self, path: &str, roots: &[&str]) -> Result<Loaded, Diagnostics> {
        let roots = roots.iter().map(|root| self.0.join(root)).collect();
        load(&self.0.join(path), &catalog(), &LoadOptions { set: Vec::new(), roots })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn bases_merge_in_order_and_stages_by_id() {
    let files = Files::new(
        "merge",
        &[
            (
                "r/org/base.yaml",
                "paring: 1\nname: base\nmodel: { mlp: { hidden: [8] } }\ntask: classify\nvars: { s: 0.5 }\nmeasure: [size, accuracy]\nstages:\n  - id: a\n    train/fit: { epochs: 3, shuffle: true }\n  - id: b\n    prune/magnitude: { sparsity: $s }\n",
            ),
            (
                "r/a.yaml",
                "extends: [org/base.yaml]\nname: mine\nmodel: { load: m }\nmeasure: [size]\nstages:\n  - id: a\n    train/fit: { epochs: 5 }\n  - id: b\n    train/fit: {}\n  - id: c\n    prune/magnitude: {}\n",
            ),
        ],
    );
    let loaded = files.load("r/a.yaml", &[]).unwrap();
    let recipe = &loaded.recipe;
    assert_eq!((recipe.name.as_str(), loaded.files.len()), ("mine", 2));
    assert_eq!(recipe.model, ModelSource::Load("m".to_owned()));
    assert_eq!(recipe.measure, ["size"]);
    assert_eq!(recipe.stages[0].parameters, json!({ "epochs": 5, "shuffle": true }));
    let passes: Vec<_> = recipe.stages.iter().map(|stage| format!("{} {}", stage.id, stage.pass)).collect();
    assert_eq!(passes, ["a train/fit", "b train/fit", "c prune/magnitude"]);
}

#[test]
fn bases_that_circle_are_outside_or_are_missing_are_refused() {
    let files = Files::new(
        "refused",
        &[
            ("r/a.yaml", "extends: [b.yaml]\n"),
            ("r/b.yaml", "extends: [a.yaml]\n"),
            ("r/outside.yaml", "extends: [../o/base.yaml, gone.yaml, /etc/passwd]\n"),
            ("o/base.yaml", "extends: []\n"),
            ("r/rooted.yaml", "extends: [base.yaml]\n"),
        ],
    );
    let codes = |path: &str, roots: &[&str]| -> Vec<&str> {
        files.load(path, roots).unwrap_err().list.iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes("r/a.yaml", &[]), ["R019"]);
    assert_eq!(codes("r/outside.yaml", &[]), ["R020", "R021", "R020"]);
    assert_eq!(codes("r/outside.yaml", &["o"]), ["R021", "R020"]);
    assert!(codes("r/rooted.yaml", &["o"]).iter().all(|code| *code == "R006"), "the root has the base");
}

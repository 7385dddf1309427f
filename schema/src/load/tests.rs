//! Tests of whole recipes: what loads, and every message.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{LoadOptions, Loaded, load, load_text};
use crate::diagnostic::{Diagnostics, render};
use crate::language::ModelSource;
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
    insta::assert_snapshot!(wrong("stages:\n  - prune/magnitude: { sparsty: 0.5 }\n"), @r###"
    error[R002]: unknown key `sparsty` in `prune/magnitude`
       ,-[a.yaml:6:24]
     6 |   - prune/magnitude: { sparsty: 0.5 }
       :                        ^^^|^^^
       :                           `-- not a key here
       `----
    help: did you mean `sparsity`?

    error: 1 problem in a.yaml
    "###);
}

#[test]
fn unknown_pass() {
    insta::assert_snapshot!(wrong("stages:\n  - prune/magnitud: { sparsity: 0.5 }\n  - quantize/xyz: {}\n  - magnitude: {}\n"), @r###"
    error[R010]: unknown pass `prune/magnitud`
       ,-[a.yaml:6:5]
     6 |   - prune/magnitud: { sparsity: 0.5 }
       :     ^^^^^^^|^^^^^^
       :            `-- no pass has this name
       `----
    help: did you mean `prune/magnitude`?

    error[R010]: unknown pass `quantize/xyz`
       ,-[a.yaml:7:5]
     7 |   - quantize/xyz: {}
       :     ^^^^^^|^^^^^
       :           `-- no pass has this name
       `----
    help: `paring passes` lists all passes

    error[R002]: unknown key `magnitude` in a stage
       ,-[a.yaml:8:5]
     8 |   - magnitude: {}
       :     ^^^^|^^^^
       :         `-- not a key here
       `----
    help: did you mean `prune/magnitude`?

    error: 3 problems in a.yaml
    "###);
}

#[test]
fn out_of_range_names_both_bounds() {
    insta::assert_snapshot!(wrong("stages:\n  - prune/magnitude: { sparsity: 1.5 }\n"), @r###"
    error[R004]: `sparsity` of `prune/magnitude` is `1.5`, expected a number from 0 (inclusive) to 1 (exclusive)
       ,-[a.yaml:6:34]
     6 |   - prune/magnitude: { sparsity: 1.5 }
       :                                  ^|^
       :                                   `-- expected a number from 0 (inclusive) to 1 (exclusive)
       `----

    error: 1 problem in a.yaml
    "###);
}

#[test]
fn out_of_range_through_a_variable_shows_both_places() {
    let rest = "vars: { much: 0.5 }\nstages:\n  - prune/magnitude: { sparsity: $much }\n";
    insta::assert_snapshot!(wrong_with(rest, &["much=1.5"]), @r###"
    error[R004]: `sparsity` of `prune/magnitude` is `1.5`, expected a number from 0 (inclusive) to 1 (exclusive)
       ,-[a.yaml:7:34]
     7 |   - prune/magnitude: { sparsity: $much }
       :                                  ^^|^^
       :                                    `-- expected a number from 0 (inclusive) to 1 (exclusive)
       `----
       ,-[--set:1:6]
     1 | much=1.5
       :      ^|^
       :       `-- `$much` gets its value here
       `----

    error: 1 problem in a.yaml
    "###);
}

#[test]
fn wrong_types() {
    let rest =
        "stages:\n  - train/fit: { epochs: many, shuffle: yes, learning_rate: }\n  - prune/magnitude\n  - train/fit:\n";
    insta::assert_snapshot!(wrong(rest), @r###"
    error[R003]: `epochs` of `train/fit` is the text `many`, expected a whole number of at least 1 (inclusive)
       ,-[a.yaml:6:26]
     6 |   - train/fit: { epochs: many, shuffle: yes, learning_rate: }
       :                          ^^|^
       :                            `-- expected a whole number of at least 1 (inclusive)
       `----

    error[R003]: `shuffle` of `train/fit` is the text `yes`, expected true or false
       ,-[a.yaml:6:41]
     6 |   - train/fit: { epochs: many, shuffle: yes, learning_rate: }
       :                                         ^|^
       :                                          `-- expected true or false
       `----
    help: write `true`

    error[R003]: `learning_rate` of `train/fit` is empty, expected a number above 0 (exclusive)
       ,-[a.yaml:6:46]
     6 |   - train/fit: { epochs: many, shuffle: yes, learning_rate: }
       :                                              ^^^^^^|^^^^^^
       :                                                    `-- expected a number above 0 (exclusive)
       `----

    error[R003]: `stages[1]` is the text `prune/magnitude`, expected a map
       ,-[a.yaml:7:5]
     7 |   - prune/magnitude
       :     ^^^^^^^|^^^^^^^
       :            `-- expected a map
       `----
    help: write `prune/magnitude: {}`

    error[R003]: `train/fit` is empty, expected a map
       ,-[a.yaml:8:5]
     8 |   - train/fit:
       :     ^^^^|^^^^
       :         `-- expected a map
       `----
    help: write `train/fit: {}` for the defaults

    error: 5 problems in a.yaml
    "###);
}

#[test]
fn enums_offer_the_near_name() {
    insta::assert_snapshot!(wrong("on_fail: keep-best\nmeasure: [acuracy]\nstages:\n  - train/fit: { optimizer: adam }\n"), @r###"
    error[R005]: `on_fail` is the text `keep-best`, expected one of `stop`, `keep_best`
       ,-[a.yaml:5:10]
     5 | on_fail: keep-best
       :          ^^^^|^^^^
       :              `-- not one of the choices
       `----
    help: did you mean `keep_best`?

    error[R005]: `measure[0]` is the text `acuracy`, expected one of `accuracy`, `rmse`, `size`, `latency`
       ,-[a.yaml:6:11]
     6 | measure: [acuracy]
       :           ^^^|^^^
       :              `-- not one of the choices
       `----
    help: did you mean `accuracy`?

    error[R005]: `optimizer` of `train/fit` is the text `adam`, expected one of `adamw`, `sgd`
       ,-[a.yaml:8:29]
     8 |   - train/fit: { optimizer: adam }
       :                             ^^|^
       :                               `-- not one of the choices
       `----
    help: did you mean `adamw`?

    error: 3 problems in a.yaml
    "###);
}

#[test]
fn missing_keys_and_misspelt_ones() {
    let text = "paring: 1\nname: Tiny\nmodl: { load: a }\n";
    let rendered = render(&loaded(text, &[]).unwrap_err(), false, false, 100);
    insta::assert_snapshot!(rendered, @r###"
    error[R006]: `task` is missing in the recipe
       ,-[a.yaml:1:1]
     1 | paring: 1
       : ^^^^|^^^^
       :     `-- needs `task`
       `----
    help: add it: `task: classify`

    error[R006]: `stages` is missing in the recipe
       ,-[a.yaml:1:1]
     1 | paring: 1
       : ^^^^|^^^^
       :     `-- needs `stages`
       `----

    error[R007]: `name` is `Tiny`, expected lower-case letters, digits and hyphens
       ,-[a.yaml:2:7]
     2 | name: Tiny
       :       ^^|^
       :         `-- lower-case letters, digits and hyphens
       `----

    error[R002]: unknown key `modl` in the recipe
       ,-[a.yaml:3:1]
     3 | modl: { load: a }
       : ^^|^
       :   `-- not a key here
       `----
    help: did you mean `model`?

    error: 4 problems in a.yaml
    "###);
}

#[test]
fn stages_without_a_pass_or_with_two() {
    let rest = "stages:\n  - id: a\n  - train/fit: {}\n    prune/magnitude: {}\n  - id: a\n    train/fit: {}\n    stages: []\n  - sweep/grid: { space: {} }\n";
    insta::assert_snapshot!(wrong(rest), @r###"
    error[R008]: the stage has no pass, expected exactly one
       ,-[a.yaml:6:5]
     6 |   - id: a
       :     ^^|^^
       :       `-- no key of this stage names a pass
       `----
    help: add one, such as `prune/magnitude: {}`; `paring passes` lists them

    error[R009]: the stage has 2 passes, `train/fit`, `prune/magnitude`, expected exactly one
       ,-[a.yaml:8:5]
     7 |   - train/fit: {}
       :     ^^^^|^^^^
       :         `-- the first pass
     8 |     prune/magnitude: {}
       :     ^^^^^^^|^^^^^^^
       :            `-- a second pass
       `----
    help: begin a new stage: `- prune/magnitude:`

    error[R013]: two stages have the id `a`
       ,-[a.yaml:9:9]
     6 |   - id: a
       :         |
       :         `-- stands here first
     7 |   - train/fit: {}
     8 |     prune/magnitude: {}
     9 |   - id: a
       :         |
       :         `-- stands here again
       `----
    help: give one of them another id

    error[R011]: the pass `train/fit` runs no nested stages
        ,-[a.yaml:11:5]
     11 |     stages: []
        :     ^^^|^^
        :        `-- only a sweep has `stages`
        `----
    help: move these stages after this one

    error[R011]: the pass `sweep/grid` runs nested stages, but the stage has no `stages`
        ,-[a.yaml:12:5]
     12 |   - sweep/grid: { space: {} }
        :     ^^^^^|^^^^
        :          `-- needs `stages` beside it
        `----
    help: add `stages` with what each trial runs

    error: 5 problems in a.yaml
    "###);
}

#[test]
fn gates() {
    let rest = "measure: [accuracy]\nstages: []\nrequire:\n  size: { max: 5ms }\n  accuracy: { max: 20MB, maxdrop: 1 }\n  speed: {}\n  latency: {}\n";
    insta::assert_snapshot!(wrong(rest), @r###"
    error[R012]: the gate is on `size`, which `measure` does not list
       ,-[a.yaml:8:3]
     5 | measure: [accuracy]
       : ^^^|^^^
       :    `-- what is measured
     6 | stages: []
     7 | require:
     8 |   size: { max: 5ms }
       :   ^^|^
       :     `-- not measured
       `----
    help: add `size` to `measure`

    error[R028]: `max` of the gate on `size` is `5ms`, expected a size, such as `20MB`
       ,-[a.yaml:8:16]
     8 |   size: { max: 5ms }
       :                ^|^
       :                 `-- expected a size, such as `20MB`
       `----

    error[R028]: `max` of the gate on `accuracy` is `20MB`, expected a number without a unit
       ,-[a.yaml:9:20]
     9 |   accuracy: { max: 20MB, maxdrop: 1 }
       :                    ^^|^
       :                      `-- expected a number without a unit
       `----

    error[R002]: unknown key `maxdrop` in `require.accuracy`
       ,-[a.yaml:9:26]
     9 |   accuracy: { max: 20MB, maxdrop: 1 }
       :                          ^^^|^^^
       :                             `-- not a key here
       `----
    help: did you mean `max_drop`?

    error[R002]: unknown key `speed` in `require`
        ,-[a.yaml:10:3]
     10 |   speed: {}
        :   ^^|^^
        :     `-- not a key here
        `----
    help: known here: `accuracy`, `rmse`, `size`, `latency`

    error[R012]: the gate is on `latency`, which `measure` does not list
       ,-[a.yaml:5:1]
     5 | measure: [accuracy]
       : ^^^|^^^
       :    `-- what is measured
       `----
        ,-[a.yaml:11:3]
     11 |   latency: {}
        :   ^^^|^^^
        :      `-- not measured
        `----
    help: add `latency` to `measure`

    error[R022]: `require.latency` has no key, expected at least one
        ,-[a.yaml:11:12]
     11 |   latency: {}
        :            ^|
        :             `-- expected at least one key
        `----
    help: known here: `min`, `max`, `max_drop`, `max_rise`, `max_ratio`, `min_ratio`

    error: 7 problems in a.yaml
    "###);
}

#[test]
fn variables() {
    let rest = "vars: { sparsity: 0.5, unused: 1, 2x: 3, many: [1] }\nstages:\n  - prune/magnitude: { sparsity: $sparsty }\n    targets: [\"a $sparsity\"]\n";
    insta::assert_snapshot!(wrong_with(rest, &["sparcity=1", "x"]), @r###"
    error[R026]: the variable `unused` is never used
       ,-[a.yaml:5:24]
     5 | vars: { sparsity: 0.5, unused: 1, 2x: 3, many: [1] }
       :                        ^^^|^^
       :                           `-- declared here
       `----
    help: write `$unused` where its value is meant, or remove it

    error[R007]: `2x` cannot name a variable
       ,-[a.yaml:5:35]
     5 | vars: { sparsity: 0.5, unused: 1, 2x: 3, many: [1] }
       :                                   ^|
       :                                    `-- expected a letter or `_`, then letters, digits and `_`
       `----

    error[R026]: the variable `many` is never used
       ,-[a.yaml:5:42]
     5 | vars: { sparsity: 0.5, unused: 1, 2x: 3, many: [1] }
       :                                          ^^|^
       :                                            `-- declared here
       `----
    help: write `$many` where its value is meant, or remove it

    error[R003]: the variable `many` is a list, expected a number, true, false or a text
       ,-[a.yaml:5:48]
     5 | vars: { sparsity: 0.5, unused: 1, 2x: 3, many: [1] }
       :                                                ^^|^
       :                                                  `-- expected one value
       `----

    error[R014]: unknown variable `sparsty`
       ,-[a.yaml:7:34]
     7 |   - prune/magnitude: { sparsity: $sparsty }
       :                                  ^^^^|^^^
       :                                      `-- no variable has this name
       `----
    help: did you mean `sparsity`?

    error[R016]: `$sparsity` stands inside a longer text, where it is not replaced
       ,-[a.yaml:8:15]
     8 |     targets: ["a $sparsity"]
       :               ^^^^^^^^^^^^^
       `----
    help: write `${sparsity}` for the variable, or `$$sparsity` for the text

    error[R014]: `--set` names the unknown variable `sparcity`
       ,-[--set:1:1]
     1 | sparcity=1
       : ^^^^|^^^
       :     `-- the recipe declares no such variable
       `----
    help: did you mean `sparsity`?

    error[R015]: `--set x` has no `=`
       ,-[--set:1:1]
     1 | x
       : ^
       `----
    help: write `--set name=value`

    error: 8 problems in a.yaml
    "###);
}

#[test]
fn sweeps() {
    let rest = "stages:\n  - sweep/grid: { space: { lr: { range: [0, 1] }, n: { range: [1, 8] }, m: { choice: [1] } } }\n    stages:\n      - train/fit: { learning_rate: $lr, epochs: $n }\n  - train/fit: { learning_rate: $lr }\n";
    insta::assert_snapshot!(wrong(rest), @r###"
    error[R025]: the sweep varies `m`, but none of its stages uses it
       ,-[a.yaml:6:73]
     6 |   - sweep/grid: { space: { lr: { range: [0, 1] }, n: { range: [1, 8] }, m: { choice: [1] } } }
       :                                                                         |
       :                                                                         `-- never used
       `----
    help: write `$m` for a setting of a nested stage, or remove `m`

    error[R004]: `learning_rate` of `train/fit` is `0`, expected a number above 0 (exclusive)
       ,-[a.yaml:8:37]
     6 |   - sweep/grid: { space: { lr: { range: [0, 1] }, n: { range: [1, 8] }, m: { choice: [1] } } }
       :                                          |
       :                                          `-- `$lr` gets its value here
     7 |     stages:
     8 |       - train/fit: { learning_rate: $lr, epochs: $n }
       :                                     ^|^
       :                                      `-- expected a number above 0 (exclusive)
       `----

    error[R003]: `epochs` of `train/fit` is `3.673762`, expected a whole number of at least 1 (inclusive)
       ,-[a.yaml:8:50]
     6 |   - sweep/grid: { space: { lr: { range: [0, 1] }, n: { range: [1, 8] }, m: { choice: [1] } } }
       :                                                                |
       :                                                                `-- `$n` gets its value here
     7 |     stages:
     8 |       - train/fit: { learning_rate: $lr, epochs: $n }
       :                                                  ^|
       :                                                   `-- expected a whole number of at least 1 (inclusive)
       `----
    help: in a `space`, `int: [1, 8]` gives whole numbers

    error[R014]: unknown variable `lr`
       ,-[a.yaml:9:33]
     9 |   - train/fit: { learning_rate: $lr }
       :                                 ^|^
       :                                  `-- no variable has this name
       `----
    help: a sweep binds `$lr` only inside its own `stages`

    error: 4 problems in a.yaml
    "###);
}

#[test]
fn splits() {
    insta::assert_snapshot!(wrong("stages: []\ndata: { train: { path: a.csv }, split: { train: 0.9, test: 20% } }\n"), @r###"
    error[R024]: the fractions of the split sum to 1.1, expected at most 1 (inclusive)
       ,-[a.yaml:6:33]
     6 | data: { train: { path: a.csv }, split: { train: 0.9, test: 20% } }
       :                                 ^^^^^
       `----
    help: lower one of them

    error: 1 problem in a.yaml
    "###);
    insta::assert_snapshot!(wrong("stages: []\ndata: { train: { path: a.csv }, split: { folds: 5, test: 0.2 } }\n"), @r###"
    error[R024]: the split has folds and fractions, expected one or the other
       ,-[a.yaml:6:42]
     6 | data: { train: { path: a.csv }, split: { folds: 5, test: 0.2 } }
       :                                          ^^^^^     ^^|^
       :                                            |         `-- a fraction
       `----
    help: keep `folds`, or keep the fractions

    error: 1 problem in a.yaml
    "###);
}

#[test]
fn models_and_exports_have_one_key() {
    let text = "paring: 1\nname: a\ntask: classify\nmodel: { load: a, mlp: {} }\nstages: []\nexport:\n  - {}\n  - safetensor: {}\n  - safetensors\n";
    insta::assert_snapshot!(render(&loaded(text, &[]).unwrap_err(), false, false, 100), @r###"
    error[R022]: `model` has the keys `load`, `mlp`, expected exactly one
       ,-[a.yaml:4:1]
     4 | model: { load: a, mlp: {} }
       : ^^|^^
       :   `-- expected exactly one key
       `----
    help: known here: `load`, `mlp`, `convnet`

    error[R022]: `export[0]` has no key, expected exactly one
       ,-[a.yaml:7:5]
     7 |   - {}
       :     ^|
       :      `-- expected exactly one key
       `----
    help: known here: `safetensors`, `gguf`

    error[R002]: unknown key `safetensor` in `export[1]`
       ,-[a.yaml:8:5]
     8 |   - safetensor: {}
       :     ^^^^^|^^^^
       :          `-- not a key here
       `----
    help: did you mean `safetensors`?

    error[R003]: `export[2]` is the text `safetensors`, expected a map
       ,-[a.yaml:9:5]
     9 |   - safetensors
       :     ^^^^^|^^^^^
       :          `-- expected a map
       `----
    help: write `safetensors: {}`

    error: 4 problems in a.yaml
    "###);
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

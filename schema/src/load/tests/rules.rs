//! Rules that tie settings together: gates, variables, sweeps, splits.

use super::{loaded, wrong, wrong_with};
use crate::diagnostic::render;

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

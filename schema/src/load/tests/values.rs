//! Values that do not fit, and keys that are not known.

use super::{loaded, wrong, wrong_with};
use crate::diagnostic::render;

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
        :        `-- no pass runs these
        `----
    help: move these stages after this one

    error[R011]: the pass `sweep/grid` runs nested stages, but the stage has no `stages`
        ,-[a.yaml:12:5]
     12 |   - sweep/grid: { space: {} }
        :     ^^^^^|^^^^
        :          `-- needs `stages` beside it
        `----
    help: add `stages` with what it runs

    error: 5 problems in a.yaml
    "###);
}

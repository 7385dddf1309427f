//! Codes of planning, where a recipe meets its model and its rows: `P`.

use super::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "P001",
        title: "a selector that matches no site",
        explanation: r#"`targets` and `ignore` hold globs over the names of a model's sites (its linear and convolution layers), or regular expressions after `re:`. One that matches nothing would change nothing without a word, so it is an error.

```yaml
prune/magnitude: { sparsity: 0.5 }
targets: ["layer.*"]    # the sites are called layers.0, layers.1, head
```

Write a name that the message lists. `paring inspect MODEL` shows every site."#,
    },
    CodeInfo {
        code: "P002",
        title: "a selector that adds nothing",
        explanation: r#"Everything that it matches has been matched by an earlier selector of the same list, so one of the two is not what its author meant.

```yaml
quantize/rtn: {}
targets: ["layers.*", layers.0]
```

Remove one of the two, or narrow the first."#,
    },
    CodeInfo {
        code: "P003",
        title: "a selector that is no pattern",
        explanation: r#"A glob or a regular expression that cannot be read. `*` matches any characters, `?` one, `[ab]` one of a few, `{a,b}` one of several words; after `re:` stands a regular expression for the whole name.

```yaml
targets: ["re:layers.(0"]
```

Close the bracket that the message names."#,
    },
    CodeInfo {
        code: "P004",
        title: "nothing left to work on",
        explanation: r#"`ignore` takes away every site that `targets` chose.

```yaml
quantize/rtn: {}
ignore: ["*"]
```

Ignore less, or remove the stage."#,
    },
    CodeInfo {
        code: "P005",
        title: "a parameter that its pass refuses",
        explanation: r#"Each value fits the JSON Schema alone, but not beside the others.

```yaml
prune/magnitude: { sparsity: 0.5, pattern: "2:4" }
```

Follow the message. `paring passes ID` shows which parameters go together."#,
    },
    CodeInfo {
        code: "P006",
        title: "a stage that its pass cannot do to this model",
        explanation: r#"The parameters are right, but not for the model as it is when the stage begins: a group that does not divide the inputs, more features to keep than there are, more neurons to remove than the layer has.

```yaml
quantize/rtn: { group_size: 48 }    # on a layer with 64 inputs
```

Choose a value that the message allows, or leave the site out with `ignore`."#,
    },
    CodeInfo {
        code: "P007",
        title: "float weights are needed, and they are quantized",
        explanation: r#"Training and pruning change numbers that a quantized weight no longer holds.

```yaml
stages:
  - quantize/rtn: { bits: 8 }
  - prune/magnitude: { sparsity: 0.5 }
```

Put the stage before the one that quantizes, or start from the float model."#,
    },
    CodeInfo {
        code: "P008",
        title: "weights are needed, and there are none",
        explanation: r#"A model from nothing has settings only. Weights exist once a stage has trained it.

```yaml
model: { mlp: { hidden: [32] } }
stages:
  - quantize/rtn: {}
```

Put a stage that trains, such as `train/fit`, before it; or name a trained model as `model.load`."#,
    },
    CodeInfo {
        code: "P009",
        title: "rows are needed, and there are none",
        explanation: r#"A pass learns from training rows, calibrates on calibration rows, chooses by validation rows; a measure of quality looks at test rows.

```yaml
data:
  train: { path: digits.csv, label: digit }
  split: { train: 1.0 }
measure: [accuracy]    # there are no test rows
```

Give `data.split` a share for them, or name a file of their own."#,
    },
    CodeInfo {
        code: "P010",
        title: "a measure of another task",
        explanation: r#"Accuracy needs classes, a root mean square error needs numbers.

```yaml
task: classify
measure: [rmse]
```

Name a measure of the task. `paring schema` lists them with what they are for."#,
    },
    CodeInfo {
        code: "P012",
        title: "columns are needed, and the model reads images",
        explanation: r#"Choosing features means choosing columns of a table. A pixel is no such column.

```yaml
model: { convnet: { layers: [conv: { channels: 8 }] } }
stages:
  - select/variance: {}
```

Remove the stage, or use a model that reads a flat list of features."#,
    },
    CodeInfo {
        code: "P014",
        title: "a model that cannot run is asked to run",
        explanation: r#"The tensors belong to no family that Paring knows. What needs weights only, such as rounding or pruning by magnitude, works; training, calibration and measures of quality need the model to run.

```yaml
model: { load: model.safetensors }
stages:
  - train/fit: {}
```

Load the directory that the file came from, with its settings; or use passes that work on weights alone. `paring passes` lists what each needs."#,
    },
    CodeInfo {
        code: "P015",
        title: "selectors on a stage that has no targets",
        explanation: r#"The pass works on the whole model or on its inputs, so `targets` and `ignore` would say nothing.

```yaml
train/fit: { epochs: 5 }
targets: [head]
```

Remove `targets` and `ignore` from the stage."#,
    },
    CodeInfo {
        code: "P016",
        title: "an export that cannot hold the model",
        explanation: r#"The format, or the programs that read it, cannot hold what the recipe makes. This is found before any work.

```yaml
stages:
  - quantize/gguf: { types: q4_k_m }
export:
  - safetensors: {}    # holds no blocks of llama.cpp
```

Follow the help: another export, or another stage before it."#,
    },
];

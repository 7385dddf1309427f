//! Codes of running, and of what is asked on the command line: `E`.

use super::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "E001",
        title: "a file that cannot be written",
        explanation: r#"The output directory or a file in it cannot be made: no permission, a full disk, or a file where a directory should be; or something lies there that no run wrote, or the recipe's own model, and would be replaced. Files appear whole or not at all.

```text
paring run recipe.yaml --out /read-only/place
```

Choose another directory with `--out DIR`, or make room."#,
    },
    CodeInfo {
        code: "E002",
        title: "a stage that failed",
        explanation: r#"The message says which pass of which stage, and why: training that diverged, a model that could not be read, a pass that could not go on. Nothing of it is cached, and earlier stages are not run again.

```yaml
train/fit: { learning_rate: 1000 }
```

Change what the message names and run again."#,
    },
    CodeInfo {
        code: "E003",
        title: "a stage that changed nothing",
        explanation: r#"A pass said that it worked, and the model is the same to the last bit. A recipe that means to do something must not seem to have done it.

```yaml
select/variance: { threshold: 0 }    # no column is constant
```

Remove the stage, or choose parameters that change something."#,
    },
    CodeInfo {
        code: "E004",
        title: "a stage that left a broken model",
        explanation: r#"After each stage the engine itself looks: the tensors are those that were planned, nothing changed beside the stage's targets, every number is finite, the receipt tells of nothing that is not there, and the model still runs. A stage that leaves anything else has failed, whatever it said.

```text
tensor `layers.0.weight` holds a value that is not finite
```

For a built-in pass this is a fault of the pass: report it. For a pass of your own, let its plan and its run say the same."#,
    },
    CodeInfo {
        code: "E005",
        title: "a gate that is not met",
        explanation: r#"A `require` of the recipe or of a stage is not met by what was measured. The exit code is 3. With `on_fail: keep_best` the last model that met the recipe's gates is exported.

```yaml
require: { accuracy: { max_drop: 0.01 } }
```

Ask for less, or change the stages: less sparsity, more bits, more training after pruning."#,
    },
    CodeInfo {
        code: "E006",
        title: "a measure that could not be taken",
        explanation: r#"The model, or the rows that it should be measured on, could not be used.

```yaml
measure: [latency]    # of a model that does not run
```

Follow the message, or leave the measure out."#,
    },
    CodeInfo {
        code: "E007",
        title: "an output directory in use",
        explanation: r#"Another run writes into the same directory. Two at once would mix their files.

```text
paring run recipe.yaml --out runs/tiny &
paring run recipe.yaml --out runs/tiny
```

Wait for the other run, or choose another directory with `--out DIR`."#,
    },
    CodeInfo {
        code: "E008",
        title: "an export that failed",
        explanation: r#"The model could not be written, or what was written did not open again or did not give the same answers.

```yaml
export:
  - safetensors: {}
```

Make room if the disk is full. Otherwise report it: the message says which file differs and how."#,
    },
    CodeInfo {
        code: "E009",
        title: "a cache that cannot be used",
        explanation: r#"Results of stages could not be written to the cache directory or read from it. An entry that is damaged is never used; it is made again.

```text
PARING_CACHE=/read-only/place paring run recipe.yaml
```

Name another directory with `--cache DIR` or `PARING_CACHE`."#,
    },
    CodeInfo {
        code: "E010",
        title: "a diagnostic code that does not exist",
        explanation: r#"`paring explain` knows the codes that stand in brackets in error messages.

```text
paring explain P999
```

`paring explain` alone lists them all."#,
    },
];

//! Codes of the recipe language: `R`.

use super::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "R001",
        title: "the recipe is not a map",
        explanation: r#"A recipe is a map of settings. An empty file, a list or a text is none.

```yaml
- train/fit: {}
```

Begin with `paring: 1` and `name: ...`. `paring new` writes a recipe to start from."#,
    },
    CodeInfo {
        code: "R002",
        title: "an unknown key",
        explanation: r#"Nothing in a recipe is ignored, so a key that means nothing is an error. The nearest known key is offered.

```yaml
prune/magnitude: { sparsty: 0.5 }
```

Write the key as the message offers. `paring passes ID` lists the parameters of a pass."#,
    },
    CodeInfo {
        code: "R003",
        title: "a value of the wrong kind",
        explanation: r#"A text stands where a number is wanted, a list where a map is wanted, or nothing at all. Unquoted `yes` and `on` are texts: write `true`.

```yaml
train/fit: { epochs: many }
```

Write a value of the kind that the message wants."#,
    },
    CodeInfo {
        code: "R004",
        title: "a value out of range",
        explanation: r#"The number, or the count of items or characters, is outside of what is allowed. Inclusive bounds may be met, exclusive ones may not.

```yaml
prune/magnitude: { sparsity: 1.5 }
```

Choose a value in the range of the message."#,
    },
    CodeInfo {
        code: "R005",
        title: "a value that is not one of the choices",
        explanation: r#"The setting takes one of a few names.

```yaml
on_fail: keep-best
```

Write one of the names."#,
    },
    CodeInfo {
        code: "R006",
        title: "a key is missing",
        explanation: r#"The map needs a key that it does not have.

```yaml
paring: 1
name: tiny
```

Add the key."#,
    },
    CodeInfo {
        code: "R007",
        title: "a text of the wrong form",
        explanation: r#"Names of recipes and ids of stages are lower-case letters, digits and hyphens; variables begin with a letter; quantities are a number and a unit.

```yaml
name: Tiny Recipe
```

Write the text in the form of the message."#,
    },
    CodeInfo {
        code: "R008",
        title: "a stage has no pass",
        explanation: r#"A stage is exactly one pass, and what any stage may have: `id`, `targets`, `ignore`, `require`, `stages`.

```yaml
stages:
  - id: sparsify
```

Add the pass. `paring passes` lists them."#,
    },
    CodeInfo {
        code: "R009",
        title: "a stage has several passes",
        explanation: r#"A stage runs one pass. Often a `- ` is missing before the second.

```yaml
stages:
  - prune/magnitude: {}
    quantize/rtn: {}
```

Begin a new stage for each pass."#,
    },
    CodeInfo {
        code: "R010",
        title: "an unknown pass",
        explanation: r#"No pass has this name. Passes are named `kind/name`.

```yaml
prune/magnitud: {}
```

Write the name that the message offers. `paring passes` lists them."#,
    },
    CodeInfo {
        code: "R011",
        title: "nested stages where none belong, or none where they do",
        explanation: r#"A sweep runs the stages under its `stages` in each trial, and `distill/self` runs them once. No other pass runs stages.

```yaml
prune/magnitude: {}
stages:
  - train/fit: {}
```

Move the stages after this one, or add what it runs."#,
    },
    CodeInfo {
        code: "R012",
        title: "a gate on something that is not measured",
        explanation: r#"A gate compares a measure before and after, so the measure must be taken.

```yaml
measure: [accuracy]
require: { size: { max_ratio: 0.1 } }
```

Add the measure to `measure`."#,
    },
    CodeInfo {
        code: "R013",
        title: "two stages have one id",
        explanation: r#"Ids name stages in reports and in recipes that extend this one.

```yaml
- id: a
  train/fit: {}
- id: a
  prune/magnitude: {}
```

Give one of them another id."#,
    },
    CodeInfo {
        code: "R014",
        title: "an unknown variable",
        explanation: r#"`$name` stands for a variable of `vars`, or for one that a sweep around this stage binds. `--set` changes variables that the recipe declares.

```yaml
prune/magnitude: { sparsity: $sparsty }
```

Write the name that the message offers, or declare the variable under `vars`."#,
    },
    CodeInfo {
        code: "R015",
        title: "`--set` is not given a name and a value",
        explanation: r#"A variable is set by its name, an equals sign and its value.

```sh
paring run a.yaml --set sparsity
```

Write `--set sparsity=0.8`."#,
    },
    CodeInfo {
        code: "R016",
        title: "a variable where it cannot stand",
        explanation: r#"`$name` stands for a whole value. Inside a longer text write `${name}`; `$$` is the character itself. Values of variables hold no variables.

```yaml
targets: [layers.$layer]
```

Write `layers.${layer}`."#,
    },
    CodeInfo {
        code: "R017",
        title: "a variable is declared twice",
        explanation: r#"A name that a sweep binds must not be a variable of the recipe or of a sweep around it.

```yaml
vars: { lr: 0.1 }
stages:
  - sweep/grid: { space: { lr: { choice: [0.1, 1] } } }
```

Rename one of them."#,
    },
    CodeInfo {
        code: "R018",
        title: "the variables make the recipe too large",
        explanation: r#"The texts that variables put in come to more than the limit.

```yaml
vars: { a: a very long text }
```

Shorten the value."#,
    },
    CodeInfo {
        code: "R019",
        title: "recipes extend each other in a circle",
        explanation: r#"A recipe extends another that, directly or not, extends it.

```yaml
extends: [self.yaml]
```

Remove one of the `extends`; put what both need in a third file."#,
    },
    CodeInfo {
        code: "R020",
        title: "an extended recipe is outside of what may be read",
        explanation: r#"A recipe reads its own directory and the directories that the command line allows, and nothing else: it may come from someone else.

```yaml
extends: [../../elsewhere/base.yaml]
```

Move the file beside the recipe, or allow its directory with `--root`."#,
    },
    CodeInfo {
        code: "R021",
        title: "an extended recipe is missing",
        explanation: r#"Paths in `extends` are relative to the file they stand in. One recipe extends at most 64 files.

```yaml
extends: [bsae.yaml]
```

Check the path."#,
    },
    CodeInfo {
        code: "R022",
        title: "a map with the wrong number of keys",
        explanation: r#"A model has one key, `load` or a family; an export has one, its format; a gate has at least one bound.

```yaml
model: { load: a, mlp: {} }
```

Keep one key."#,
    },
    CodeInfo {
        code: "R024",
        title: "the split of the data does not add up",
        explanation: r#"Rows are divided by fractions that sum to at most 1, or into folds, never both, and some rows must be left to train on.

```yaml
split: { train: 0.9, test: 0.2 }
```

Lower a fraction, or keep only `folds`."#,
    },
    CodeInfo {
        code: "R025",
        title: "the space of a sweep does not fit its stages",
        explanation: r#"Every name in `space` is used by a nested stage, and the choices are few enough to check each.

```yaml
sweep/grid: { space: { lr: { choice: [0.1] } } }
stages:
  - train/fit: {}
```

Use the variable as `$lr`, or remove it."#,
    },
    CodeInfo {
        code: "R026",
        title: "a variable is never used",
        explanation: r#"A variable that nothing uses is most often a misspelt one.

```yaml
vars: { sparsity: 0.5 }
```

Use it as `$sparsity`, or remove it."#,
    },
    CodeInfo {
        code: "R027",
        title: "a gate that can never be met",
        explanation: r#"Its smallest allowed value is above its largest.

```yaml
accuracy: { min: 0.9, max: 0.5 }
```

Swap the bounds, or remove one."#,
    },
    CodeInfo {
        code: "R028",
        title: "a unit that the measure does not have",
        explanation: r#"Sizes are in bytes (`20MB`), durations in time (`5ms`), shares have no unit.

```yaml
size: { max: 5ms }
```

Write the bound in the unit of the measure."#,
    },
    CodeInfo {
        code: "R030",
        title: "a recipe or a schema that cannot be used",
        explanation: r#"The JSON Schema of a pass, family or export is not valid, or a value passes the schema and is refused all the same. It is a fault of the pass or of this program.

```text
a pass from a plugin
```

Update the plugin, or report it."#,
    },
];

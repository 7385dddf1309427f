//! Codes of the text: `Y`.

use super::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "Y001",
        title: "the recipe file cannot be read",
        explanation: r#"The file is missing, is not a regular file, is larger than 1 MiB, or reading it failed. A recipe is a small text: data and models are named in it by their path.

```sh
paring check recipes/qiuckstart.yaml
```

Check the path. If the file is large, move its data to a file of its own."#,
    },
    CodeInfo {
        code: "Y002",
        title: "the recipe file is not UTF-8",
        explanation: r#"Recipes are UTF-8 text, with or without a byte order mark. The message names the first byte that is not.

```text
name: caf\xe9
```

Save the file as UTF-8."#,
    },
    CodeInfo {
        code: "Y003",
        title: "the recipe holds an unprintable character",
        explanation: r#"Control characters and characters that change the direction of text can make a recipe read as something that it is not.

```yaml
name: a<U+202E>b
```

Remove the character, or write it as an escape in a double-quoted text."#,
    },
    CodeInfo {
        code: "Y004",
        title: "the text is not YAML",
        explanation: r#"The text cannot be read as YAML at the marked place. Often the cause is the line before: its indentation, a quote that is not closed, or a `: ` inside an unquoted text.

```yaml
description: tiny: the small one
```

Quote the text, close the bracket, or line the key up with the keys beside it."#,
    },
    CodeInfo {
        code: "Y005",
        title: "a tab indents a line",
        explanation: r#"YAML is indented with spaces; a tab has no agreed width.

```text
data:
	train: { path: a.csv }
```

Replace the tab by spaces, and let the editor do so."#,
    },
    CodeInfo {
        code: "Y006",
        title: "the file holds a second YAML document",
        explanation: r#"A line with `---` begins a new document. A recipe is exactly one.

```yaml
paring: 1
---
paring: 1
```

Put the second document in a file of its own."#,
    },
    CodeInfo {
        code: "Y007",
        title: "the recipe nests too deep",
        explanation: r#"Lists and maps nest at most 64 levels, aliases followed.

```yaml
[[[[[[[[ ... ]]]]]]]]
```

Write the value flat."#,
    },
    CodeInfo {
        code: "Y008",
        title: "the recipe is too large once its aliases are followed",
        explanation: r#"Each alias repeats the whole value of its anchor, and a few of them can stand for a value that fills the memory. There is a limit on the values of a recipe.

```yaml
a: &a [x, x]
b: &b [*a, *a]
c: [*b, *b]
```

Use fewer aliases, or `vars`."#,
    },
    CodeInfo {
        code: "Y009",
        title: "an alias names no anchor",
        explanation: r#"`*name` stands for the value that `&name` marked before it. Here nothing did, or the alias is inside its own value.

```yaml
require: *gates
```

Mark a value with `&gates` before this line."#,
    },
    CodeInfo {
        code: "Y010",
        title: "a number is not finite",
        explanation: r#"`.inf`, `.nan` and numbers too large for a 64-bit float are no setting.

```yaml
learning_rate: .inf
```

Write a finite number."#,
    },
    CodeInfo {
        code: "Y011",
        title: "the recipe uses a YAML tag",
        explanation: r#"Tags such as `!include` mean something else to each program. Only `!!str` is read.

```yaml
seed: !env SEED
```

Remove the tag. `--set name=value` gives a value from outside."#,
    },
    CodeInfo {
        code: "Y012",
        title: "a key stands twice in a map",
        explanation: r#"Programs differ in which of the two they take, so neither is taken.

```yaml
seed: 1
seed: 2
```

Remove one of them."#,
    },
    CodeInfo {
        code: "Y013",
        title: "`<<` merges something that is not a map",
        explanation: r#"`<<: *name` merges the map that `&name` marks, or each of a list of maps. A key of the map itself wins, then the first map in the list.

```yaml
<<: 3
```

Name an anchor that marks a map."#,
    },
    CodeInfo {
        code: "Y014",
        title: "a key is not a text",
        explanation: r#"`1`, `true` and an empty key are read as other values by other programs; a list or a map cannot be a key.

```yaml
vars: { 1: 0.5 }
```

Quote the key, or give it a name."#,
    },
];

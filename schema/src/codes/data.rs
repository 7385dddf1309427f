//! Codes of data and of files that a recipe names: `D`.

use super::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "D001",
        title: "data that cannot be used",
        explanation: r#"A file that is empty, damaged, of an unknown format, or holds cells that its columns cannot be read from: the message names the file, the column and the row, counted from 1.

```csv
length,label
4.5,short
n/a,long
```

Repair the file; or say in the recipe how its cells are meant (`missing_values`, `missing`, `categorical`)."#,
    },
    CodeInfo {
        code: "D002",
        title: "a column that does not exist",
        explanation: r#"A recipe names columns as the first line of the file does. A CSV file without such a line has columns `c0`, `c1`, ... and says `header: false`.

```yaml
train: { path: digits.csv, label: digt }
```

Write the name that the message offers."#,
    },
    CodeInfo {
        code: "D003",
        title: "a split that the rows do not allow",
        explanation: r#"A share that comes to no row at all, a class with fewer rows than there are parts, or parts that add up to more than everything.

```yaml
split: { train: 0.9, test: 0.1, stratify: true }    # of three rows
```

Give the part a larger share, bring more rows, or set `stratify: false`."#,
    },
    CodeInfo {
        code: "D004",
        title: "a model of texts, and no column of texts",
        explanation: r#"A model that reads text must know which column holds it. Other columns are not read.

```yaml
model: { load: all-MiniLM-L6-v2 }
data: { train: { path: reviews.csv, label: stars } }
```

Add `text: NAME` beside the path, and `pair: NAME` where the model reads pairs."#,
    },
    CodeInfo {
        code: "D005",
        title: "a file that is not there",
        explanation: r#"Relative paths are looked up in the recipe's own directory, then in each `--root`.

```yaml
train: { path: digit.csv, label: digit }
```

Write the name that the message offers, or add the directory of the file with `--root DIR`."#,
    },
    CodeInfo {
        code: "D006",
        title: "a file outside the directories that a recipe may read",
        explanation: r#"A recipe may come from somebody else, so it reads its own directory and those that the command line allows. Links count as what they lead to.

```yaml
train: { path: ../../payroll.csv, label: salary }
```

Allow the directory on the command line: `--root DIR`."#,
    },
];

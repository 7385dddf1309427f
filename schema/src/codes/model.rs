//! Codes of models: `M`.

use super::CodeInfo;

pub(super) const CODES: &[CodeInfo] = &[
    CodeInfo {
        code: "M001",
        title: "a model that cannot be used",
        explanation: r#"A file that is truncated or does not hold what its header says, settings that do not fit the tensors, or layers that do not fit each other.

```yaml
model: { convnet: { layers: [max_pool: { size: 64 }] } }    # on images of 28 x 28
```

Follow the message. `paring inspect MODEL` shows what a file holds."#,
    },
    CodeInfo {
        code: "M002",
        title: "a model from nothing without data",
        explanation: r#"Its input and output widths come from the rows, so it cannot be made without them.

```yaml
model: { mlp: { hidden: [32] } }
stages:
  - train/fit: {}
```

Add a `data` block with a `label`."#,
    },
];

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
    CodeInfo {
        code: "M003",
        title: "a model of a hub that cannot be fetched",
        explanation: r#"`hf://org/name@revision` names a model of a Hugging Face hub. The revision is required, because a name alone means another model tomorrow; a commit is best, for branches and tags can move. Files are fetched once and kept in the hub's usual cache (`HF_HOME`); `HF_ENDPOINT` names another hub.

```yaml
model: { load: hf://sentence-transformers/all-MiniLM-L6-v2 }
```

Add the revision; or follow the message where the hub could not be reached or holds no such model."#,
    },
];

//! A recipe as it is written, for the JSON Schema only. `Model`, `Stage`, `Measure`, `Gates` and `Export` depend on
//! what exists, so the generator fills them in from the catalog.

use std::borrow::Cow;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{DataSpec, OnFail, Task};

/// A recipe: where the model comes from, what it must keep, and the stages that change it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, title = "Paring recipe")]
#[allow(dead_code, reason = "read by the schema generator alone")]
pub(crate) struct RecipeShape {
    /// Version of the recipe language.
    #[schemars(extend("enum" = [1], "examples" = [1]))]
    paring: u32,
    /// Name of the recipe: lower-case letters, digits and hyphens.
    #[schemars(regex(pattern = "^[a-z0-9-]+$"), extend("examples" = ["digits-tiny"]))]
    name: String,
    /// What the recipe is for, in a sentence.
    #[schemars(extend("examples" = ["A digits classifier, 20x smaller, less than one point of accuracy lost."]))]
    description: Option<String>,
    /// Recipes that this one builds on, relative to this file. They are merged in order, this file last: maps merge,
    /// lists replace, stages merge by id.
    #[schemars(default, extend("examples" = [["org/base.yaml"]]))]
    extends: Vec<String>,
    /// Variables: `$name` stands for the value of `name` wherever a whole value may stand, `${name}` inside a longer
    /// text. `--set name=value` overrides.
    #[schemars(default, extend("examples" = [{ "sparsity": 0.7 }], "propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }))]
    vars: IndexMap<String, Scalar>,
    /// Seed of all randomness: the same seed gives the same bytes.
    #[schemars(default, extend("examples" = [7]))]
    seed: u64,
    /// Where the model comes from: a file or directory, or a family to build from nothing.
    model: Model,
    /// What the model is for.
    #[schemars(extend("examples" = ["classify"]))]
    task: Task,
    /// The rows that train, calibrate and measure the model.
    data: Option<DataSpec>,
    /// What every stage is measured by, before and after. When not given: `accuracy` or `rmse` by the task where `data`
    /// is given, `size`, and whatever a gate names.
    #[schemars(extend("examples" = [["accuracy", "size", "latency"]], "uniqueItems" = true))]
    measure: Option<Vec<Measure>>,
    /// What happens to the model, in order. A stage has exactly one pass.
    stages: Vec<Stage>,
    /// Gates on the finished model, against the model the recipe started from. They decide the exit code.
    #[schemars(extend("examples" = [{ "accuracy": { "max_drop": 0.01 } }]))]
    require: Option<Gates>,
    /// What to do when a stage fails or a gate is not met.
    #[schemars(default, extend("examples" = ["keep_best"]))]
    on_fail: OnFail,
    /// What to write when all is done.
    #[schemars(default, extend("examples" = [[{ "safetensors": {} }]]))]
    export: Vec<Export>,
}

/// What a stage may hold besides its pass.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "read by the schema generator alone")]
pub(crate) struct StageShape {
    /// Name of the stage, unique in the recipe. When not given: the pass's name with a hyphen, `prune-magnitude`.
    #[schemars(regex(pattern = "^[a-z0-9-]+$"), extend("examples" = ["sparsify"]))]
    id: Option<String>,
    /// The sites that the pass may change: globs over site names, or `re:` and a regular expression. All sites when
    /// not given.
    #[schemars(length(min = 1), extend("examples" = [["layers.*"], ["re:^layers\\.[0-3]$"]]))]
    targets: Option<Vec<String>>,
    /// Sites to leave alone, written like `targets`.
    #[schemars(default, extend("examples" = [["head"]]))]
    ignore: Vec<String>,
    /// Gates on this stage, against the model before it.
    #[schemars(extend("examples" = [{ "accuracy": { "max_drop": 0.02 } }]))]
    require: Option<Gates>,
    /// Stages that a sweep runs in each trial. The names in its `space` are variables here.
    #[schemars(extend("examples" = [[{ "train/fit": { "learning_rate": "$lr" } }]]))]
    stages: Option<Vec<Stage>>,
}

/// A value of a variable.
pub(crate) struct Scalar;

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "number" }, { "type": "boolean" }, { "type": "string" }] })
    }
}

/// A definition that the generator fills in.
macro_rules! filled_in {
    ($($name:ident),*) => {$(
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({})
            }
        }
    )*};
}

filled_in!(Model, Stage, Measure, Gates, Export);

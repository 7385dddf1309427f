//! The passes a run can use, and the catalog that recipes are checked against.

use paring_model::families;
use paring_passes::registry::builtin;
use paring_passes::{Needs, Pass};
use paring_schema::{Catalog, Described};
use paring_train::measure::{MEASURES, MeasureInfo};
use serde_json::json;

use crate::export::{GgufSettings, SafetensorsSettings};

/// The passes a run can use.
pub struct Registry {
    passes: Vec<Box<dyn Pass>>,
}

impl Registry {
    /// The built-in passes.
    pub fn builtin() -> Self {
        Self { passes: builtin() }
    }

    /// Any passes (for tests, and for programs that bring their own).
    pub fn new(passes: Vec<Box<dyn Pass>>) -> Self {
        Self { passes }
    }

    /// The pass of that id.
    pub fn find(&self, id: &str) -> Option<&dyn Pass> {
        self.passes.iter().map(AsRef::as_ref).find(|pass| pass.info().id == id)
    }

    /// What recipes may name.
    pub fn catalog(&self) -> Catalog {
        Catalog {
            passes: self.passes.iter().map(|pass| describe_pass(pass.as_ref())).collect(),
            families: families::described().into_iter().map(describe_family).collect(),
            measures: MEASURES.iter().map(describe_measure).collect(),
            exports: vec![
                Described {
                    schema: schemars::schema_for!(SafetensorsSettings).to_value(),
                    ..plain(
                        "safetensors",
                        "A directory with config.json, \
                model.safetensors and paring.json, which Paring and stock safetensors readers open.",
                    )
                },
                Described {
                    schema: schemars::schema_for!(GgufSettings).to_value(),
                    ..plain(
                        "gguf",
                        "A directory with one file, model.gguf: settings, tokenizer and weights of a decoder, \
                which llama.cpp's tools, candle and Paring open.",
                    )
                },
            ],
        }
    }
}

/// What recipes may name with the built-in passes.
pub fn catalog() -> Catalog {
    Registry::builtin().catalog()
}

fn describe_pass(pass: &dyn Pass) -> Described {
    let info = pass.info();
    let nests = info.needs.contains(&Needs::NestedStages);
    Described { name: info.id.to_owned(), summary: info.summary.to_owned(), schema: pass.schema(), nests }
}

fn describe_family(family: families::FamilyInfo) -> Described {
    Described { name: family.name.to_owned(), summary: family.summary.to_owned(), schema: family.schema, nests: false }
}

fn describe_measure(measure: &MeasureInfo) -> Described {
    // Gates take no other unit.
    Described { schema: json!({ "unit": measure.unit }), ..plain(measure.name, measure.summary) }
}

fn plain(name: &str, summary: &str) -> Described {
    Described { name: name.to_owned(), summary: summary.to_owned(), schema: json!({}), nests: false }
}

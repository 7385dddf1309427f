//! What exists: passes, model families, measures, exporters, as plain data. The language is checked against it.

use serde_json::Value;

/// Everything a recipe may name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Passes: `kind/name`.
    pub passes: Vec<Described>,
    /// Model families: the keys of `model: { mlp: ... }`.
    pub families: Vec<Described>,
    /// Measures: entries of `measure`, keys of `require`. Their schema is unused.
    pub measures: Vec<Described>,
    /// Export formats: the keys of `export` entries.
    pub exports: Vec<Described>,
}

/// One thing a recipe may name.
#[derive(Debug, Clone)]
pub struct Described {
    /// Its name as written in a recipe.
    pub name: String,
    /// One line.
    pub summary: String,
    /// JSON Schema (draft 2020-12) of its parameter block, self-contained (`$defs` inside).
    pub schema: Value,
    /// A pass that runs nested `stages`.
    pub nests: bool,
}

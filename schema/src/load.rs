//! Loading a recipe: text, `extends`, variables, validation, types. All independent problems at once.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use crate::catalog::Catalog;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::language::{Recipe, Stage};
use crate::node::Node;
use crate::source::{Sources, Span};

/// What the command line adds to a recipe.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// `--set name=value`, as written.
    pub set: Vec<String>,
    /// Directories that `extends`, `model.load` and `data` may read besides the recipe's own.
    pub roots: Vec<PathBuf>,
}

/// A recipe that fits the language, with the places of everything in it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The typed recipe.
    pub recipe: Recipe,
    /// The recipe's file and everything it extends, in the order read.
    pub files: Vec<PathBuf>,
    /// The texts.
    pub sources: Sources,
    /// The merged recipe with spans, variables substituted (those that a sweep binds are not).
    pub root: Node,
}

/// Loads a recipe file.
///
/// # Errors
/// Every problem found in the recipe and the files it extends.
pub fn load(path: &Path, catalog: &Catalog, options: &LoadOptions) -> Result<Loaded, Diagnostics> {
    let _ = (path, catalog, options);
    todo!()
}

/// Loads a recipe from text; relative paths are relative to `directory`.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    name: &str,
    text: &str,
    directory: &Path,
    catalog: &Catalog,
    options: &LoadOptions,
) -> Result<Loaded, Diagnostics> {
    let _ = (name, text, directory, catalog, options);
    todo!()
}

impl Loaded {
    /// The span of the value at a JSON pointer, or of its nearest parent.
    pub fn span(&self, pointer: &str) -> Span {
        let _ = pointer;
        todo!()
    }

    /// The span of the key at a JSON pointer, or of its nearest parent.
    pub fn key_span(&self, pointer: &str) -> Span {
        let _ = pointer;
        todo!()
    }

    /// The stages nested in `stage`, with the sweep's variables bound.
    ///
    /// # Errors
    /// When a bound value does not fit where it is used.
    pub fn bind(
        &self,
        stage: &Stage,
        bindings: &IndexMap<String, Value>,
        catalog: &Catalog,
    ) -> Result<Vec<Stage>, Vec<Diagnostic>> {
        let _ = (stage, bindings, catalog);
        todo!()
    }
}

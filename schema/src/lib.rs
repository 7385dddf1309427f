//! The recipe language: YAML text to a value with source spans, to a validated and typed recipe; its JSON Schema; and
//! diagnostics. Knows no tensor, and which passes exist only as data handed to it.

pub mod catalog;
pub mod codes;
pub mod diagnostic;
pub mod generate;
pub mod language;
pub mod load;
pub mod node;
pub mod source;
pub mod suggest;
#[cfg(test)]
mod testing;
pub mod units;
pub mod validate;
pub mod yaml;

pub use catalog::{Catalog, Described};
pub use diagnostic::{Diagnostic, Diagnostics, Label};
pub use language::{Recipe, Stage};
pub use load::{LoadOptions, Loaded};
pub use source::{SourceId, Sources, Span};

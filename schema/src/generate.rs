//! The JSON Schema of whole recipes, from the types and the catalog: strict for checking, lenient (with `$name`) for editors.

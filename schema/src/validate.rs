//! Checking a recipe value against the JSON Schema, and turning violations into diagnostics.

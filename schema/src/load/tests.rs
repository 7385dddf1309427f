//! Tests of whole recipes: what loads, and every message.

mod resolving;
mod rules;
mod values;

use std::path::Path;

use super::{LoadOptions, Loaded, load_text};
use crate::diagnostic::{Diagnostics, render};
use crate::testing::catalog;

const HEAD: &str = "paring: 1\nname: tiny\nmodel: { load: a }\ntask: classify\n";

fn loaded(text: &str, set: &[&str]) -> Result<Loaded, Diagnostics> {
    let options = LoadOptions { set: set.iter().map(|argument| (*argument).to_owned()).collect(), roots: Vec::new() };
    load_text("a.yaml", text, Path::new("."), &catalog(), &options)
}

/// The rendering of everything wrong with the common head and `rest`.
fn wrong(rest: &str) -> String {
    wrong_with(rest, &[])
}

fn wrong_with(rest: &str, set: &[&str]) -> String {
    match loaded(&format!("{HEAD}{rest}"), set) {
        Ok(_) => "nothing is wrong".to_owned(),
        Err(diagnostics) => render(&diagnostics, false, false, 100),
    }
}

//! Every diagnostic code is explained and in use, and a recipe of `tests/bad` shows it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::collections::BTreeSet;
use std::path::Path;

use paring_engine::schema::codes::CODES;
use paring_tests::workspace;

/// Codes that no recipe alone can bring about, and what does.
const NOT_BY_A_RECIPE: &[(&str, &str)] = &[
    ("E001", "an output directory that cannot be written"),
    ("E003", "a pass that does nothing"),
    ("E004", "a pass that breaks the model"),
    ("E006", "a model that stops running after it was planned"),
    ("E007", "two runs at once"),
    ("E008", "a full disk"),
    ("E009", "a cache directory that cannot be written"),
    ("E010", "the command line"),
    ("R015", "the command line"),
    ("R018", "a text of many lines"),
    ("R030", "a plugin whose schema is not valid"),
    ("Y001", "a path that leads to no recipe"),
];

/// Texts in the sources that look like a code: `"P001"`.
fn written(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["codes", "tests", "target"].contains(&name) {
                written(&path, found);
            }
        } else if name.ends_with(".rs") && !["codes.rs", "tests.rs"].contains(&name) {
            found.extend(codes_in(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn codes_in(text: &str) -> impl Iterator<Item = String> {
    let quoted = text.split('"').filter(|part| part.len() == 4 && part.starts_with(['Y', 'R', 'P', 'D', 'M', 'E']));
    quoted.filter(|part| part.bytes().skip(1).all(|byte| byte.is_ascii_digit())).map(str::to_owned)
}

fn explained() -> BTreeSet<String> {
    CODES.iter().map(|info| info.code.to_owned()).collect()
}

#[test]
fn every_code_in_use_is_explained_and_every_explained_code_is_in_use() {
    let mut found = BTreeSet::new();
    for room in ["schema/src", "engine", "passes/src"] {
        written(&workspace().join(room), &mut found);
    }
    assert_eq!(found, explained());
}

#[test]
fn a_bad_recipe_shows_every_code_that_a_recipe_can_bring_about() {
    let mut shown = BTreeSet::new();
    for entry in std::fs::read_dir(workspace().join("tests/snapshots")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let codes = text.split("error[").skip(1).filter_map(|rest| rest.split(']').next());
        shown.extend(codes.map(str::to_owned));
    }
    let others: BTreeSet<String> = NOT_BY_A_RECIPE.iter().map(|(code, _)| (*code).to_owned()).collect();
    assert_eq!(shown.intersection(&others).next(), None, "a recipe does bring it about");
    assert_eq!(shown.union(&others).cloned().collect::<BTreeSet<_>>(), explained());
}

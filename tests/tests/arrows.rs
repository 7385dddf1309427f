//! Holds the crate arrows: which crate of the workspace may depend on which. Anything else fails here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crate -> the crates of this workspace that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("paring-schema", &[]),
    ("paring-model", &[]),
    ("paring-data", &["paring-model"]),
    ("paring-train", &["paring-model", "paring-data"]),
    ("paring-statistics", &[]),
    ("paring-search", &[]),
    (
        "paring-passes",
        &["paring-schema", "paring-train", "paring-model", "paring-data", "paring-statistics", "paring-search"],
    ),
    ("paring-plugin-abi", &[]),
    ("paring-plugin-host", &["paring-plugin-abi", "paring-passes"]),
    (
        "paring-engine",
        &["paring-passes", "paring-plugin-host", "paring-schema", "paring-model", "paring-data", "paring-train"],
    ),
    ("paring", &["paring-engine"]),
];

fn workspace_dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    metadata
        .packages
        .iter()
        .map(|package| {
            let depends = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.path.is_some() && dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .collect();
            (package.name.to_string(), depends)
        })
        .collect()
}

#[test]
fn every_dependency_between_crates_is_an_arrow_of_the_architecture() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (package, depends) in workspace_dependencies() {
        if package == "paring-tests" {
            continue;
        }
        let Some(arrows) = allowed.get(package.as_str()) else {
            wrong.push(format!("{package} has no entry in ARROWS"));
            continue;
        };
        wrong.extend(
            depends.iter().filter(|name| !arrows.contains(&name.as_str())).map(|name| format!("{package} -> {name}")),
        );
    }
    assert!(wrong.is_empty(), "arrows that the architecture does not have: {wrong:#?}");
}

#[test]
fn every_crate_of_the_architecture_exists() {
    let present = workspace_dependencies();
    let missing: Vec<_> = ARROWS.iter().filter(|(name, _)| !present.contains_key(*name)).collect();
    assert!(missing.is_empty(), "crates that are gone: {missing:?}");
}

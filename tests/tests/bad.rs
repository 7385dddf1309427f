//! Recipes with one fault each: exit code and standard error of every one, whole, as a snapshot; and nothing left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use paring_tests::{Scratch, bad_arguments, outcome};

#[test]
fn every_bad_recipe_says_what_is_wrong_and_leaves_nothing() {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false }, {
        insta::glob!("../bad", "*.yaml", |path| {
            let scratch = Scratch::new();
            let name = path.file_name().unwrap().to_str().unwrap();
            let mut command = scratch.paring();
            command.arg("run").arg(format!("tests/bad/{name}")).args(bad_arguments());
            let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
            assert_ne!(output.status.code(), Some(0), "{name} has a fault and ran all the same");
            assert!(!scratch.path("out").join("model").exists(), "{name} left a model behind");
            insta::assert_snapshot!(outcome(&output, &scratch));
        });
    });
}

#[test]
fn there_are_at_least_forty_bad_recipes_of_under_fifteen_lines() {
    let directory = paring_tests::workspace().join("tests/bad");
    let texts: Vec<Vec<u8>> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    assert!(texts.len() >= 40, "{} bad recipes", texts.len());
    assert!(texts.iter().all(|text| text.split(|&byte| byte == b'\n').count() <= 15));
}

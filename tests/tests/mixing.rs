//! Files that are mixed into the training rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::process::Output;

use paring_tests::Scratch;
use serde_json::Value;

/// Four rows of one file, split in halves, and six of another.
fn plan(scratch: &Scratch, mix: &str) -> Output {
    let recipe = format!(
        "paring: 1
name: mixing
model: {{ mlp: {{ hidden: [2] }} }}
task: classify
data:
  train: {{ path: few.csv, label: kind }}
  mix: [{mix}]
  split: {{ train: 0.5, test: 0.5 }}
measure: [accuracy]
stages:
  - train/fit: {{ epochs: 1 }}
"
    );
    std::fs::write(scratch.path("recipe.yaml"), recipe).unwrap();
    std::fs::write(scratch.path("few.csv"), "x,kind\n1,a\n2,b\n3,a\n4,b\n").unwrap();
    std::fs::write(scratch.path("more.csv"), "x,kind\n5,a\n6,b\n7,a\n8,b\n9,a\n10,b\n").unwrap();
    std::fs::write(scratch.path("other.csv"), "y,kind\n5,a\n").unwrap();
    scratch.paring().args(["plan", "--json"]).arg(scratch.path("recipe.yaml")).output().unwrap()
}

fn rows(mix: &str) -> Value {
    let output = plan(&Scratch::new(), mix);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["rows"].clone()
}

fn refused(mix: &str) -> String {
    let output = plan(&Scratch::new(), mix);
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn rows_of_other_files_are_training_rows_by_their_weight() {
    assert_eq!(rows(""), serde_json::json!([2, 0, 0, 2]));
    assert_eq!(rows("{ path: more.csv }"), serde_json::json!([8, 0, 0, 2]));
    assert_eq!(rows("{ path: more.csv, weight: 1.5 }, { path: few.csv, weight: 2 }"), serde_json::json!([19, 0, 0, 2]));
    assert_eq!(rows("{ path: more.csv, rows: 2 }"), serde_json::json!([4, 0, 0, 2]));
}

#[test]
fn files_that_cannot_be_mixed_in_are_named() {
    let nothing = refused("{ path: more.csv, weight: 0.01 }");
    assert!(nothing.contains("D003") && nothing.contains("takes none of"), "{nothing}");
    let other = refused("{ path: more.csv }, { path: other.csv }");
    assert!(other.contains("D002") && other.contains("column `y`"), "{other}");
    let missing = refused("{ path: none.csv }");
    assert!(missing.contains("none.csv"), "{missing}");
}

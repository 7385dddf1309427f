//! Files that parameters name, and files that stages leave: looked up, checked before any work, part of cache keys.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::path::PathBuf;

use paring_tests::Scratch;

/// With the last stage as given.
fn recipe(scratch: &Scratch, last: &str) -> PathBuf {
    let text = format!(
        "paring: 1
name: files
model: {{ mlp: {{ hidden: [16] }} }}
task: classify
measure: [accuracy]
data: {{ train: {{ path: data/digits.csv, label: digit }} }}
stages:
  - {{ id: train, train/fit: {{ epochs: 1, learning_rate: 0.01 }} }}
  - {last}
"
    );
    let path = scratch.path("recipe.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

fn paring(scratch: &Scratch, command: &str, last: &str) -> std::process::Output {
    let mut paring = scratch.paring();
    paring.arg(command).arg(recipe(scratch, last)).args(["--root", "recipes"]);
    if command == "run" {
        paring.arg("--out").arg(scratch.path("out"));
    }
    paring.output().unwrap()
}

fn succeeds(scratch: &Scratch, command: &str, last: &str) -> String {
    let output = paring(scratch, command, last);
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    told
}

fn refused(scratch: &Scratch, last: &str) -> String {
    let output = paring(scratch, "plan", last);
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const SEEN: &str = "{ id: round, quantize/gguf: { types: q4_0, fallback: true, importance: true } }";
const LOADED: &str = "{ id: again, quantize/gguf: { types: q4_0, fallback: true, importance: { load: seen.gguf } } }";
const SWEPT: &str =
    "{ id: swept, sweep/grid: { objectives: { accuracy: maximize }, space: { share: { choice: [0.25, 0.5] } } },
      stages: [
        { id: prune, prune/magnitude: { sparsity: $share } },
        { id: again, quantize/gguf: { types: q4_0, fallback: true, importance: { load: seen.gguf } } }] }";

#[test]
fn a_stage_leaves_a_file_that_another_run_takes() {
    let scratch = Scratch::new();
    let left = scratch.path("out").join("round.imatrix.gguf");
    assert!(succeeds(&scratch, "run", SEEN).contains("round.imatrix.gguf: "));
    let first = std::fs::read(&left).unwrap();
    // From the cache too.
    std::fs::remove_file(&left).unwrap();
    succeeds(&scratch, "run", SEEN);
    assert_eq!(std::fs::read(&left).unwrap(), first);

    let missing = refused(&scratch, LOADED);
    assert!(missing.contains("D005") && missing.contains("there is no file `seen.gguf`"), "{missing}");
    std::fs::write(scratch.path("seen.gguf"), &first[..40]).unwrap();
    let broken = refused(&scratch, LOADED);
    let said = "stage `again`: `load` of `quantize/gguf` is no importance matrix that can be read";
    assert!(broken.contains("P006") && broken.contains(said), "{broken}");

    std::fs::write(scratch.path("seen.gguf"), &first).unwrap();
    let plan = succeeds(&scratch, "plan", LOADED);
    assert!(plan.contains("the importance of inputs comes from `seen.gguf`"), "{plan}");
    succeeds(&scratch, "run", LOADED);
}

#[test]
fn a_file_that_no_run_wrote_is_not_replaced() {
    let scratch = Scratch::new();
    let mine = scratch.path("out").join("round.imatrix.gguf");
    std::fs::create_dir(scratch.path("out")).unwrap();
    std::fs::write(&mine, "mine").unwrap();
    let told = paring(&scratch, "run", SEEN);
    assert!(!told.status.success() && String::from_utf8_lossy(&told.stderr).contains("was not written by a run"));
    assert_eq!(std::fs::read(&mine).unwrap(), b"mine");
}

/// Whether the last stage's result is in the cache, and whether the plan says that the file changed.
fn cached(scratch: &Scratch, last: &str) -> [bool; 2] {
    let recipe = recipe(scratch, last);
    let output = scratch.paring().arg("plan").arg(recipe).args(["--root", "recipes", "--why", "--json"]).output();
    let plan: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let cache = &plan["stages"][1]["cache"];
    [cache["hit"] == true, cache["why"].as_str().unwrap().contains("the file `seen.gguf` changed")]
}

#[test]
fn another_content_of_a_file_is_another_result() {
    let scratch = Scratch::new();
    succeeds(&scratch, "run", SEEN);
    let mut bytes = std::fs::read(scratch.path("out").join("round.imatrix.gguf")).unwrap();
    for last in [LOADED, SWEPT] {
        std::fs::write(scratch.path("seen.gguf"), &bytes).unwrap();
        assert_eq!(cached(&scratch, last), [false, false]);
        succeeds(&scratch, "run", last);
        assert_eq!(cached(&scratch, last), [true, false]);
        // The lowest bit of the last sum of squares.
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() & !3;
        bytes[end] ^= 1;
        std::fs::write(scratch.path("seen.gguf"), &bytes).unwrap();
        assert_eq!(cached(&scratch, last), [false, true]);
    }
}

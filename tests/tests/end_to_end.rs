//! What a run promises: the same bytes whatever the threads and the directory, a cache that works, a clean state after
//! every ending.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use paring_tests::{Scratch, workspace};

const RECIPE: &str = "paring: 1
name: small
model: { mlp: { hidden: [16] } }
task: classify
data: { train: { path: data/digits.csv, label: digit } }
measure: [accuracy, size, latency]
vars: { bits: 8 }
stages:
  - { id: train, train/fit: { epochs: 4, learning_rate: 0.01 } }
  - { id: half, prune/neurons: { ratio: 0.5 } }
  - { id: round, quantize/rtn: { bits: $bits } }
export: [{ safetensors: {} }]
";

fn recipe(scratch: &Scratch, text: &str) -> PathBuf {
    let path = scratch.path("recipe with é.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

fn run(scratch: &Scratch, recipe: &Path, out: &str, threads: &str, extra: &[&str]) -> std::process::Output {
    let mut command = scratch.paring();
    command.env("RAYON_NUM_THREADS", threads).arg("run").arg(recipe).args(["--root", "recipes"]);
    command.arg("--out").arg(scratch.path(out)).args(extra).output().unwrap()
}

fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

fn results(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(directory).into_iter().filter(|(path, _)| !path.ends_with("timings.json")).collect()
}

fn succeeded(output: &std::process::Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn results_are_the_same_bytes_for_any_threads_and_any_directory() {
    let (one, two) = (Scratch::new(), Scratch::new());
    succeeded(&run(&one, &recipe(&one, RECIPE), "out", "1", &[]));
    succeeded(&run(&two, &recipe(&two, RECIPE), "elsewhere", "2", &[]));
    let (first, second) = (results(&one.path("out")), results(&two.path("elsewhere")));
    assert!(first.contains_key(Path::new("model/model.safetensors")) && first.contains_key(Path::new("report.json")));
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (path, bytes) in &first {
        assert!(bytes == &second[path], "{} differs", path.display());
    }
}

fn cached(scratch: &Scratch, recipe: &Path, extra: &[&str]) -> Vec<bool> {
    let output = scratch
        .paring()
        .arg("plan")
        .arg(recipe)
        .args(["--root", "recipes", "--why", "--json"])
        .args(extra)
        .output()
        .unwrap();
    succeeded(&output);
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    plan["stages"].as_array().unwrap().iter().map(|stage| stage["cache"]["hit"] == true).collect()
}

#[test]
fn a_changed_stage_runs_again_with_those_after_it_and_no_other() {
    let scratch = Scratch::new();
    let recipe = recipe(&scratch, RECIPE);
    assert_eq!(cached(&scratch, &recipe, &[]), [false, false, false]);
    succeeded(&run(&scratch, &recipe, "out", "2", &[]));
    assert_eq!(cached(&scratch, &recipe, &[]), [true, true, true]);
    assert_eq!(cached(&scratch, &recipe, &["--set", "bits=4"]), [true, true, false]);
    let before = results(&scratch.path("out"));
    succeeded(&run(&scratch, &recipe, "out", "2", &[]));
    assert!(before == results(&scratch.path("out")), "a run from the cache gives the same bytes");
}

#[test]
fn the_exported_model_takes_raw_rows() {
    let scratch = Scratch::new();
    succeeded(&run(&scratch, &recipe(&scratch, RECIPE), "out", "2", &[]));
    let mut command = scratch.paring();
    command.arg("eval").arg(scratch.path("out/model")).args(["--data", "recipes/data/digits.csv", "--json"]);
    let output = command.output().unwrap();
    succeeded(&output);
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["rows"], 1797);
    let accuracy = figures["measures"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.6, "accuracy {accuracy}");
}

#[test]
fn a_gate_that_is_not_met_is_exit_code_3_and_exports_nothing() {
    let scratch = Scratch::new();
    let strict = RECIPE.replace("export:", "require: { accuracy: { min: 0.9999 } }\nexport:");
    let output = run(&scratch, &recipe(&scratch, &strict), "out", "2", &[]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!scratch.path("out/model").exists());
}

#[test]
fn a_corrupt_cache_entry_is_computed_again() {
    let scratch = Scratch::new();
    let recipe = recipe(&scratch, RECIPE);
    succeeded(&run(&scratch, &recipe, "out", "2", &[]));
    let before = results(&scratch.path("out"));
    for (path, bytes) in files(&scratch.path("cache")) {
        if path.ends_with("model.safetensors") {
            std::fs::write(scratch.path("cache").join(path), &bytes[..bytes.len() / 2]).unwrap();
        }
    }
    succeeded(&run(&scratch, &recipe, "out", "2", &[]));
    assert!(before == results(&scratch.path("out")));
}

#[test]
fn a_file_where_the_output_directory_should_be_is_refused() {
    let scratch = Scratch::new();
    let recipe = recipe(&scratch, RECIPE);
    std::fs::write(scratch.path("taken"), "somebody's file").unwrap();
    let output = run(&scratch, &recipe, "taken", "2", &[]);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(scratch.path("taken")).unwrap(), b"somebody's file");
}

#[test]
#[cfg(unix)]
fn an_interrupt_leaves_a_clean_state_and_the_next_run_goes_on() {
    let scratch = Scratch::new();
    let long = RECIPE.replace("epochs: 4", "epochs: 100000");
    let path = recipe(&scratch, &long);
    let mut child = scratch
        .paring()
        .arg("run")
        .arg(&path)
        .args(["--root", "recipes"])
        .arg("--out")
        .arg(scratch.path("out"))
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(files_or_none(&scratch.path("out")).is_empty());
    succeeded(&run(&scratch, &recipe(&scratch, RECIPE), "out", "2", &[]));
}

/// Killed within the training, which has its journal then.
#[test]
#[cfg(unix)]
fn a_killed_training_goes_on_to_the_same_bytes() {
    let long = RECIPE.replace("epochs: 4", "epochs: 400, checkpoint_steps: 7, ema_decay: 0.99, early_stopping: 400");
    let (whole, killed) = (Scratch::new(), Scratch::new());
    let path = recipe(&killed, &long);
    let mut command = killed.paring();
    command.arg("run").arg(&path).args(["--root", "recipes"]).arg("--out").arg(killed.path("out"));
    let mut child = command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).spawn().unwrap();
    let unit = || is_below(&killed.path("cache"), "unit.json");
    while !unit() {
        assert_eq!(child.try_wait().unwrap(), None, "the training was over before it was saved");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(unit() && files_or_none(&killed.path("out")).is_empty());
    succeeded(&run(&killed, &path, "out", "2", &[]));
    succeeded(&run(&whole, &recipe(&whole, &long), "out", "1", &[]));
    assert!(results(&killed.path("out")) == results(&whole.path("out")));
    assert!(!unit(), "the journal of a stage that is done stays");
}

/// Whether a file of that name lies somewhere below a directory that changes meanwhile.
fn is_below(directory: &Path, name: &str) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.ends_with(name) || is_below(&path, name))
}

fn files_or_none(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    if directory.exists() { files(directory) } else { BTreeMap::new() }
}

#[test]
fn the_binary_names_itself_and_its_commands() {
    let scratch = Scratch::new();
    let output = scratch.paring().arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for command in ["run", "check", "plan", "passes", "explain", "schema", "inspect", "eval", "new", "cache"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in the help");
    }
    assert!(workspace().join("README.md").is_file());
}

#[test]
fn weights_of_an_unknown_family_are_pruned_rounded_and_saved() {
    let scratch = Scratch::new();
    let text = "paring: 1
name: weights-only
model: { load: unknown.safetensors }
task: classify
measure: [size, nonzeros]
stages:
  - prune/magnitude: { sparsity: 0.5 }
  - quantize/rtn: { bits: 4, group_size: 4 }
export: [{ safetensors: {} }]
";
    let recipe = recipe(&scratch, text);
    succeeded(&run(&scratch, &recipe, "out", "2", &["--root", "tests/bad/files"]));
    let output = scratch.paring().arg("inspect").arg(scratch.path("out/model")).arg("--json").output().unwrap();
    succeeded(&output);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["sites"][0]["name"], "encoder.dense", "{found}");
    assert_eq!(found["tensors"][1]["storage"], "int4 group 4", "{found}");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scratch.path("out/report.json")).unwrap()).unwrap();
    assert_eq!(report["stages"][1]["after"]["nonzeros"], 32.0, "16 of 32 weights, 8 biases and 8 of the norm are left");
}

//! Suites over downloaded data: `tests/assets/fetch`, then `cargo test --features paring-tests/assets --test assets`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

mod minilm;
mod smollm2;
mod tables;

use std::path::PathBuf;

use paring_data::read::{ReadOptions, read};
use paring_tests::Scratch;
use serde_json::Value;

fn asset(name: &str) -> PathBuf {
    let path = paring_tests::workspace().join("tests/assets/files").join(name);
    assert!(path.exists(), "`{}` is missing: run tests/assets/fetch", path.display());
    path
}

/// Runs a recipe over the assets into `out`; its report.
fn run(scratch: &Scratch, recipe: &str) -> Value {
    std::fs::write(scratch.path("recipe.yaml"), recipe).unwrap();
    let mut command = scratch.paring();
    command.arg("run").arg(scratch.path("recipe.yaml")).args(["--root", "tests/assets/files"]);
    let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(scratch.path("out/report.json")).unwrap()).unwrap()
}

fn figure(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap()
}

#[test]
fn fashion_mnist_reads_as_images_with_labels() {
    let options =
        ReadOptions { labels: Some(asset("fashion-mnist/t10k-labels-idx1-ubyte.gz")), ..ReadOptions::default() };
    let data = read(&asset("fashion-mnist/t10k-images-idx3-ubyte.gz"), &options).unwrap();
    assert_eq!((data.rows(), data.image), (10_000, Some([1, 28, 28])));
    assert_eq!(data.columns(), ["features", "label"]);
}

/// Too long to run here.
#[test]
fn a_recipe_of_minutes_over_downloads_plans() {
    asset("minilm/model.safetensors");
    let scratch = Scratch::new();
    let mut command = scratch.paring();
    let output =
        command.args(["plan", "recipes/sentiment-student.yaml", "--root", "tests/assets/files"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(plan.contains("distill/features") && plan.contains("69.6 MB"), "{plan}");
}

#[rstest::rstest]
#[case("fashion-mnist", "fashion-mnist/train-images-idx3-ubyte.gz")]
#[case("distill-attention", "minilm/model.safetensors")]
#[case("distill-embeddings", "minilm/model.safetensors")]
#[case("distill-features", "minilm/model.safetensors")]
#[case("prune-heads", "minilm/model.safetensors")]
#[case("prune-layers", "smollm2/smollm2.gguf")]
#[case("prune-width", "smollm2/smollm2.gguf")]
fn recipes_over_downloads_run_and_meet_their_gates(#[case] recipe: &str, #[case] needed: &str) {
    asset(needed);
    let scratch = Scratch::new();
    let mut command = scratch.paring();
    command.arg("run").arg(format!("recipes/{recipe}.yaml")).args(["--root", "tests/assets/files"]);
    let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scratch.path("out/model/model.safetensors").is_file());
}

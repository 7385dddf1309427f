//! Suites over downloaded data: `tests/assets/fetch`, then `cargo test --features paring-tests/assets --test assets`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use std::path::PathBuf;

use paring_data::read::{ReadOptions, read};
use paring_engine::model::inputs::{ColumnEncoding, Encoding};
use paring_engine::model::{Checkpoint, Column, Inputs, Table, Values};
use paring_tests::Scratch;

fn asset(name: &str) -> PathBuf {
    let path = paring_tests::workspace().join("tests/assets/files").join(name);
    assert!(path.exists(), "`{}` is missing: run tests/assets/fetch", path.display());
    path
}

#[test]
fn fashion_mnist_reads_as_images_with_labels() {
    let options =
        ReadOptions { labels: Some(asset("fashion-mnist/t10k-labels-idx1-ubyte.gz")), ..ReadOptions::default() };
    let data = read(&asset("fashion-mnist/t10k-images-idx3-ubyte.gz"), &options).unwrap();
    assert_eq!((data.rows(), data.image), (10_000, Some([1, 28, 28])));
    assert_eq!(data.columns(), ["features", "label"]);
}

#[test]
fn the_fashion_mnist_recipe_meets_its_gates() {
    asset("fashion-mnist/train-images-idx3-ubyte.gz");
    let scratch = Scratch::new();
    let mut command = scratch.paring();
    command.args(["run", "recipes/fashion-mnist.yaml", "--root", "tests/assets/files"]);
    let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scratch.path("out/model/model.safetensors").is_file());
}

/// The cosines that the model's card publishes for its first sentence and the three others.
#[test]
fn minilm_finds_the_published_similarities() {
    let mut model = Checkpoint::open(&asset("minilm")).unwrap();
    let encoding = Encoding::Text { max_length: 128 };
    let columns = vec![ColumnEncoding { name: "text".to_owned(), encoding }];
    model.set_inputs(Inputs { columns, steps: Vec::new(), shape: vec![128] });
    let sentences =
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let cells = sentences.iter().map(|&sentence| Some(sentence.to_owned())).collect();
    let table = Table { columns: vec![Column { name: "text".to_owned(), values: Values::Text(cells) }], rows: 4 };
    let vectors = model.predict(&model.read(&table).unwrap(), 4).unwrap().to_vec2::<f32>().unwrap();
    let cosine = |other: &[f32]| vectors[0].iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
    for (found, expected) in vectors[1..].iter().map(|vector| cosine(vector)).zip([0.695, 0.943, 0.257]) {
        assert!((found - expected).abs() < 0.0005, "found {found}, expected {expected}");
    }
}

#[test]
fn minilm_is_rounded_pruned_and_opened_again() {
    asset("minilm/model.safetensors");
    let scratch = Scratch::new();
    let text = "paring: 1
name: minilm
model: { load: minilm }
task: embed
data: { train: { path: movies.csv, text: text }, split: { train: 0.5, test: 0.5 } }
measure: [cosine_min, size, nonzeros]
stages:
  - prune/magnitude: { sparsity: 0.2, scope: per_site }
    targets: [\"encoder.*\"]
  - quantize/rtn: { bits: 8 }
    targets: [\"encoder.*\"]
require: { cosine_min: { min: 0.95 }, size: { max_ratio: 0.7 } }
export: [{ safetensors: {} }]
";
    let rows: String = (0..24).map(|row| format!("A film of {row} stars that nobody left early\n")).collect();
    std::fs::write(scratch.path("movies.csv"), format!("text\n{rows}")).unwrap();
    std::fs::write(scratch.path("recipe.yaml"), text).unwrap();
    let mut command = scratch.paring();
    command.arg("run").arg(scratch.path("recipe.yaml")).args(["--root", "tests/assets/files"]);
    let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(scratch.path("out/model/1_Pooling/config.json").is_file());
    let mut command = scratch.paring();
    command.arg("eval").arg(scratch.path("out/model")).arg("--data").arg(scratch.path("movies.csv"));
    let output = command.arg("--predictions").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 24);
}

/// What transformers 5.17 answers, greedily, to a question written as the model's template has it.
#[test]
fn smollm_names_the_capital_of_france() {
    let scratch = Scratch::new();
    let mut command = scratch.paring();
    let prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n";
    command.arg("generate").arg(asset("smollm2/smollm2.gguf")).arg(prompt);
    let output = command.args(["--tokens", "16"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("The capital of France is Paris."), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// The first 8 windows of 512 tokens in the last fifth of Moby-Dick. transformers 5.17 finds a perplexity of 45.829, and
/// llm-compressor 0.14 a divergence of .0037 when it rounds the 210 layers of the blocks to 8 bits.
#[test]
fn smollm_is_as_perplexed_as_elsewhere() {
    let text = std::fs::read_to_string(asset("smollm2/moby-dick.txt")).unwrap();
    let from = text.chars().count() * 4 / 5;
    let scratch = Scratch::new();
    let tail: String = text.chars().skip(from).take(16_420).collect();
    std::fs::write(scratch.path("tail.txt"), tail).unwrap();
    std::fs::write(scratch.path("head.txt"), text.chars().take(20_000).collect::<String>()).unwrap();
    let recipe = "paring: 1
name: smollm2
model: { load: smollm2/smollm2.gguf }
task: generate
data: { train: { path: head.txt }, test: { path: tail.txt }, window: 512 }
measure: [perplexity, kl_divergence, size]
stages:
  - quantize/rtn: { bits: 8 }
    targets: [\"model.layers.*\"]
";
    std::fs::write(scratch.path("recipe.yaml"), recipe).unwrap();
    let mut command = scratch.paring();
    command.arg("run").arg(scratch.path("recipe.yaml")).args(["--root", "tests/assets/files"]);
    let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(scratch.path("out/report.json")).unwrap()).unwrap();
    let figure = |figures: &serde_json::Value, name: &str| figures[name].as_f64().unwrap();
    let perplexity = figure(&report["baseline"], "perplexity");
    assert!((perplexity / 45.829 - 1.0).abs() < 1e-3, "{perplexity}");
    let divergence = figure(&report["stages"][0]["after"], "kl_divergence");
    assert!((divergence - 0.0037).abs() < 1e-4, "{divergence}");
}

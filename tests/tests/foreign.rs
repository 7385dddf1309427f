//! Models in files that others wrote, through the binary.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, where a failure is a panic")]

use paring_model::Checkpoint;
use paring_tests::{Scratch, workspace};
use rstest::rstest;

#[test]
fn inspect_shows_the_types_of_a_gguf_file() {
    let scratch = Scratch::new();
    let file = workspace().join("engine/model/tests/gguf/fixtures/types.gguf");
    let output = scratch.paring().arg("inspect").arg(file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let line = said.lines().find(|line| line.trim_start().starts_with("Q4_K")).unwrap();
    assert_eq!(
        line.split_whitespace().collect::<Vec<_>>(),
        "Q4_K 2 x 256 Q4_K, read as F32".split(' ').collect::<Vec<_>>()
    );
}

/// A recipe without rows: the model is measured by its size.
#[rstest]
#[case::gguf("gguf/fixtures/llama.gguf", "generate", "model.layers.0.mlp.up_proj.weight")]
#[case::archive("pickles/fixtures/training.pt", "classify", "first.weight")]
fn weights_are_rounded_without_rows(#[case] file: &str, #[case] task: &str, #[case] weight: &str) {
    let scratch = Scratch::new();
    let file = workspace().join("engine/model/tests").join(file);
    let local = scratch.path(file.file_name().unwrap().to_str().unwrap());
    std::fs::copy(&file, &local).unwrap();
    let text = format!(
        "paring: 1\nname: foreign\nmodel: {{ load: \"{}\" }}\ntask: {task}\nstages:\n  - quantize/rtn: {{}}\nexport: \
         [{{ safetensors: {{}} }}]\n",
        local.file_name().unwrap().display()
    );
    std::fs::write(scratch.path("recipe.yaml"), text).unwrap();
    let recipe = scratch.path("recipe.yaml");
    let output = scratch.paring().arg("run").arg(recipe).arg("--out").arg(scratch.path("out")).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (before, after) = (Checkpoint::open(&file).unwrap(), Checkpoint::open(&scratch.path("out/model")).unwrap());
    assert_eq!(before.names(), after.names());
    let numbers = |model: &Checkpoint| -> Vec<f32> {
        let tensor = model.tensor(weight).unwrap().to_dtype(candle_core::DType::F32).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    let (before, after) = (numbers(&before), numbers(&after));
    let largest = before.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let far = before.iter().zip(&after).fold(0.0_f32, |far, (one, other)| far.max((one - other).abs()));
    assert!(far > 0.0 && far <= largest / 127.0, "{far} of {largest}");
}

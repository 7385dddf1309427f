//! A causal language model: SmolLM2-135M-Instruct.

use paring_tests::Scratch;

use super::{asset, figure, run};

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
    let report = run(&scratch, recipe);
    let perplexity = figure(&report["baseline"], "perplexity");
    assert!((perplexity / 45.829 - 1.0).abs() < 1e-3, "{perplexity}");
    let divergence = figure(&report["stages"][0]["after"], "kl_divergence");
    assert!((divergence - 0.0037).abs() < 1e-4, "{divergence}");
}

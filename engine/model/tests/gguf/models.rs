//! Models whose logits transformers computed, written with the names and the order of rows that llama.cpp has.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use paring_model::{Checkpoint, Forward, Input, Tokens};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{fixture, told};

/// The logits after the last token, of the first 40 tokens of the vocabulary.
fn logits(model: &Checkpoint) -> Vec<f32> {
    let input: Vec<u32> = serde_json::from_value(told()["input"].clone()).unwrap();
    let ids = Tensor::new(input.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
    let network = model.network().unwrap();
    let all = network.forward(&Input::Tokens(Tokens::new(ids)), &mut Forward::inference()).unwrap();
    let last = all.squeeze(0).unwrap().get(input.len() - 1).unwrap();
    last.to_vec1::<f32>().unwrap()[..40].to_vec()
}

#[rstest]
fn logits_are_those_of_transformers(#[values("llama", "qwen2", "qwen3")] name: &str) {
    let path = fixture(&format!("{name}.gguf"));
    let model = Checkpoint::open(&path).unwrap();
    let expected: Vec<f32> = serde_json::from_value(told()["logits"][name].clone()).unwrap();
    let found = logits(&model);
    let worst = found.iter().zip(&expected).fold(0.0_f32, |worst, (one, other)| worst.max((one - other).abs()));
    assert!(worst < 2e-5, "{worst}: {found:?}");
    // A directory that was saved is the same model.
    let directory = TempDir::new().unwrap();
    model.save(directory.path()).unwrap();
    assert_eq!(logits(&Checkpoint::open(directory.path()).unwrap()), found);
}

#[test]
fn settings_and_names_are_those_of_hugging_face() {
    let directory = TempDir::new().unwrap();
    let model = Checkpoint::open(&fixture("llama.gguf")).unwrap();
    model.save(directory.path()).unwrap();
    let config: Value = serde_json::from_slice(&fs::read(directory.path().join("config.json")).unwrap()).unwrap();
    let expected = json!({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
        "intermediate_size": 48, "max_position_embeddings": 64, "vocab_size": 300, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "attention_bias": false, "rope_theta": 5000.0,
        "bos_token_id": 0, "eos_token_id": 1});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&config[key], value, "{key}");
    }
    let names = model.names();
    assert_eq!(names.len(), 2 + 2 * 9);
    assert!(names.contains(&"model.layers.1.self_attn.o_proj.weight".to_owned()), "{names:?}");
    let made: Vec<&Path> = model.carried_files().collect();
    assert_eq!(made, [Path::new("tokenizer.json"), Path::new("tokenizer_config.json")]);
    let written: Value =
        serde_json::from_slice(&fs::read(directory.path().join("tokenizer_config.json")).unwrap()).unwrap();
    assert_eq!(written["chat_template"], "{{ messages }}");
    assert_eq!(written["eos_token"], "</s>");
}

/// A directory that holds one GGUF file and a licence.
#[test]
fn a_directory_of_one_file_opens() {
    let directory = TempDir::new().unwrap();
    fs::copy(fixture("qwen2.gguf"), directory.path().join("weights.gguf")).unwrap();
    fs::write(directory.path().join("LICENSE"), "free").unwrap();
    fs::write(directory.path().join("tf_model.h5"), "old weights").unwrap();
    let model = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(model.carried_files().collect::<Vec<_>>(), [Path::new("LICENSE")]);
    fs::copy(fixture("qwen2.gguf"), directory.path().join("again.gguf")).unwrap();
    let message = Checkpoint::open(directory.path()).unwrap_err().to_string();
    assert!(
        message.ends_with("it holds several GGUF files, `again.gguf` and `weights.gguf` among them: name one of them"),
        "{message}"
    );
}

#[test]
fn another_architecture_opens_as_tensors() {
    let model = Checkpoint::open(&fixture("types.gguf")).unwrap();
    assert!(model.config().is_none() && model.is_built());
    assert_eq!(model.setting("model_type"), Some(&json!("novel")));
}

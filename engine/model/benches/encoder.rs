//! An encoder of MiniLM's shape against the stock one of candle-transformers on the same weights, 32 texts of 64 tokens:
//! `RAYON_NUM_THREADS=1 cargo bench -p paring-model --bench encoder`.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use divan::Bencher;
use paring_model::{Checkpoint, Forward, Input, Tokens};
use serde_json::{Value, json};

const HIDDEN: usize = 384;
const LAYERS: usize = 6;
const ROWS: usize = 32;
const LENGTH: usize = 64;

fn main() {
    divan::main();
}

fn config() -> Value {
    json!({ "model_type": "bert", "vocab_size": 1000, "hidden_size": HIDDEN, "num_hidden_layers": LAYERS,
        "num_attention_heads": 12, "intermediate_size": 4 * HIDDEN, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 512, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "pad_token_id": 0, "position_embedding_type": "absolute" })
}

fn tensors() -> candle_core::Result<HashMap<String, Tensor>> {
    let mut all = HashMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let numbers = Tensor::rand(-0.05_f32, 0.05, shape, &Device::Cpu);
        numbers.map(|numbers| drop(all.insert(name, numbers)))
    };
    for (name, rows) in [("word", 1000), ("position", 512), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, HIDDEN])?;
    }
    let mut pairs = vec![("embeddings.LayerNorm".to_owned(), vec![HIDDEN])];
    for layer in 0..LAYERS {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            pairs.push((at(part), vec![HIDDEN, HIDDEN]));
        }
        pairs.push((at("attention.output.LayerNorm"), vec![HIDDEN]));
        pairs.push((at("intermediate.dense"), vec![4 * HIDDEN, HIDDEN]));
        pairs.push((at("output.dense"), vec![HIDDEN, 4 * HIDDEN]));
        pairs.push((at("output.LayerNorm"), vec![HIDDEN]));
    }
    for (name, shape) in pairs {
        add(format!("{name}.weight"), &shape)?;
        add(format!("{name}.bias"), &shape[..1])?;
    }
    Ok(all)
}

fn tokens() -> candle_core::Result<Tensor> {
    let ids: Vec<u32> = (0..ROWS * LENGTH).map(|place| (place * 31 % 1000) as u32).collect();
    Tensor::from_vec(ids, (ROWS, LENGTH), &Device::Cpu)
}

#[divan::bench(sample_count = 10)]
fn stock(bencher: Bencher) {
    let (Ok(tensors), Ok(ids)) = (tensors(), tokens()) else { return };
    let Ok(config) = serde_json::from_value::<Config>(config()) else { return };
    let Ok(model) = BertModel::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), &config) else {
        return;
    };
    let (Ok(types), Ok(mask)) = (ids.zeros_like(), ids.ones_like()) else { return };
    bencher.bench(|| model.forward(divan::black_box(&ids), &types, Some(&mask)));
}

#[divan::bench(sample_count = 10)]
fn own(bencher: Bencher) {
    let (Ok(tensors), Ok(ids), Ok(directory)) = (tensors(), tokens(), tempfile::tempdir()) else { return };
    let written = std::fs::write(directory.path().join("config.json"), config().to_string());
    let saved = candle_core::safetensors::save(&tensors, directory.path().join("model.safetensors"));
    let (Ok(()), Ok(()), Ok(model)) = (written, saved, Checkpoint::open(directory.path())) else { return };
    let Ok(network) = model.network() else { return };
    let input = Input::Tokens(Tokens::new(ids));
    bencher.bench(|| network.forward(divan::black_box(&input), &mut Forward::inference()));
}

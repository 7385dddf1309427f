//! An encoder of MiniLM's shape, in floats and in integers, against the stock one of candle-transformers on the same
//! weights: 32 texts of 64 tokens, and queries of 64 and 16.
//! `RAYON_NUM_THREADS=1 cargo bench -p paring-model --bench encoder`.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use divan::Bencher;
use paring_model::{
    ActivationScheme, Checkpoint, Forward, Granularity, Input, QuantizedWeight, Result, SiteKind, Tokens, Weight,
    WeightScheme,
};
use serde_json::{Value, json};

const HIDDEN: usize = 384;
const LAYERS: usize = 6;

/// Texts and tokens of each.
const BATCHES: [(usize, usize); 3] = [(32, 64), (1, 64), (1, 16)];

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

fn tokens((rows, length): (usize, usize)) -> candle_core::Result<Tensor> {
    let ids: Vec<u32> = (0..rows * length).map(|place| (place * 31 % 1000) as u32).collect();
    Tensor::from_vec(ids, (rows, length), &Device::Cpu)
}

#[divan::bench(sample_count = 10, args = BATCHES)]
fn stock(bencher: Bencher, batch: (usize, usize)) {
    let (Ok(tensors), Ok(ids)) = (tensors(), tokens(batch)) else { return };
    let Ok(config) = serde_json::from_value::<Config>(config()) else { return };
    let Ok(model) = BertModel::load(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), &config) else {
        return;
    };
    let (Ok(types), Ok(mask)) = (ids.zeros_like(), ids.ones_like()) else { return };
    bencher.bench(|| model.forward(divan::black_box(&ids), &types, Some(&mask)));
}

#[divan::bench(sample_count = 10, args = BATCHES)]
fn own(bencher: Bencher, batch: (usize, usize)) {
    if let Some(model) = model() {
        run(bencher, &model, batch);
    }
}

#[divan::bench(sample_count = 10, args = BATCHES)]
fn integers(bencher: Bencher, batch: (usize, usize)) {
    rounded(bencher, batch, 8, 12);
}

/// Weights of 7 bits, so that bytes are multiplied exactly without VNNI too.
#[divan::bench(sample_count = 10, args = BATCHES)]
fn bytes(bencher: Bencher, batch: (usize, usize)) {
    rounded(bencher, batch, 7, 8);
}

fn rounded(bencher: Bencher, batch: (usize, usize), bits: u8, input_bits: u8) {
    let Some(mut model) = model() else { return };
    if quantize(&mut model, bits, input_bits).is_ok() {
        run(bencher, &model, batch);
    }
}

fn model() -> Option<Checkpoint> {
    let directory = tempfile::tempdir().ok()?;
    std::fs::write(directory.path().join("config.json"), config().to_string()).ok()?;
    candle_core::safetensors::save(&tensors().ok()?, directory.path().join("model.safetensors")).ok()?;
    Checkpoint::open(directory.path()).ok()
}

fn run(bencher: Bencher, model: &Checkpoint, batch: (usize, usize)) {
    let (Ok(network), Ok(ids)) = (model.network(), tokens(batch)) else { return };
    let input = Input::Tokens(Tokens::new(ids));
    bencher.bench(|| network.forward(divan::black_box(&input), &mut Forward::inference()));
}

/// Weights with a scale an output channel, inputs row by row.
fn quantize(model: &mut Checkpoint, bits: u8, input_bits: u8) -> Result<()> {
    let highest = f64::from((1_u32 << bits) - 1) / 2.0;
    let scheme = WeightScheme { bits, symmetric: true, granularity: Granularity::Channel };
    for site in model.outline().sites()?.iter().filter(|site| site.kind == SiteKind::Linear) {
        let weight = model.tensor(&site.weight())?;
        let scales = (weight.abs()?.max(1)? / highest)?.to_vec1::<f32>()?;
        let rounded = QuantizedWeight::round(&weight, scheme, &scales, &[])?;
        let activation = Some(ActivationScheme::ByRow { bits: input_bits });
        model.set_weight(&site.weight(), Weight::Quantized(QuantizedWeight { activation, ..rounded }));
    }
    Ok(())
}

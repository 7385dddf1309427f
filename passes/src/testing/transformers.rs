//! Transformers of a few numbers, as others write them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use candle_core::{Device, Tensor};
use paring_data::Dataset;
use paring_data::windows::{TOKENS, window_rows};
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Checkpoint, Forward, Input, Inputs, Outputs, Tokens};
use paring_train::Stream;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::Bench;

/// A checkpoint as others write it, of tensors that follow from their names.
fn foreign(config: &Value, shapes: &[(String, Vec<usize>)]) -> Checkpoint {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    let stream = Stream::new(11);
    let tensor = |(name, shape): &(String, Vec<usize>)| {
        let mut rng = stream.split(name).rng();
        let numbers = (0..shape.iter().product()).map(|_| rng.random_range(-0.5_f32..0.5)).collect();
        (name.clone(), Tensor::from_vec(numbers, shape.as_slice(), &Device::Cpu).unwrap())
    };
    let tensors: HashMap<String, Tensor> = shapes.iter().map(tensor).collect();
    candle_core::safetensors::save(&tensors, directory.path().join("model.safetensors")).unwrap();
    Checkpoint::open(directory.path()).unwrap()
}

/// A decoder of two layers, whose norms have no bias.
pub(crate) fn decoder() -> Checkpoint {
    decoder_of(8)
}

/// The same of another width, a multiple of 8; it has as many heads.
pub(crate) fn decoder_of(width: usize) -> Checkpoint {
    let config = json!({"model_type": "llama", "vocab_size": 20, "hidden_size": width, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 12, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 32, "tie_word_embeddings": false});
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![20, width])];
    for layer in 0..2 {
        let at = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for (part, shape) in [
            ("self_attn.q_proj", vec![width, width]),
            ("self_attn.k_proj", vec![width / 2, width]),
            ("self_attn.v_proj", vec![width / 2, width]),
            ("self_attn.o_proj", vec![width, width]),
            ("mlp.gate_proj", vec![12, width]),
            ("mlp.up_proj", vec![12, width]),
            ("mlp.down_proj", vec![width, 12]),
            ("input_layernorm", vec![width]),
            ("post_attention_layernorm", vec![width]),
        ] {
            shapes.push((at(part), shape));
        }
    }
    shapes.push(("model.norm.weight".to_owned(), vec![width]));
    shapes.push(("lm_head.weight".to_owned(), vec![20, width]));
    foreign(&config, &shapes)
}

/// An encoder that labels tokens: the norms of its layers are added to, the last one feeds the classifier alone.
pub(crate) fn encoder() -> Checkpoint {
    let config = json!({"model_type": "bert", "architectures": ["BertForTokenClassification"], "vocab_size": 20,
        "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
        "hidden_act": "gelu", "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "pad_token_id": 0, "position_embedding_type": "absolute", "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "id2label": {"0": "a", "1": "b", "2": "c"}});
    let mut shapes = Vec::new();
    for (name, rows) in [("word", 20), ("position", 16), ("token_type", 2)] {
        shapes.push((format!("bert.embeddings.{name}_embeddings.weight"), vec![rows, 8]));
    }
    let mut pairs = vec![("bert.embeddings.LayerNorm".to_owned(), vec![8]), ("classifier".to_owned(), vec![3, 8])];
    let at = |part: &str| format!("bert.encoder.layer.0.{part}");
    for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        pairs.push((at(part), vec![8, 8]));
    }
    pairs.push((at("intermediate.dense"), vec![12, 8]));
    pairs.push((at("output.dense"), vec![8, 12]));
    pairs.push((at("attention.output.LayerNorm"), vec![8]));
    pairs.push((at("output.LayerNorm"), vec![8]));
    for (name, shape) in pairs {
        shapes.push((format!("{name}.bias"), shape[..1].to_vec()));
        shapes.push((format!("{name}.weight"), shape));
    }
    foreign(&config, &shapes)
}

/// What it answers to two rows of five tokens.
pub(crate) fn of_tokens(model: &Checkpoint) -> Vec<f32> {
    let ids = Tensor::new(&[[1_u32, 5, 9, 2, 17], [3, 3, 8, 19, 0]], &Device::Cpu).unwrap();
    let network = model.network().unwrap();
    let output = network.forward(&Input::Tokens(Tokens::new(ids)), &mut Forward::inference()).unwrap();
    output.flatten_all().unwrap().to_vec1().unwrap()
}

/// A decoder that continues windows of six tokens, and a bench of eight such windows.
pub(crate) fn continuing(mut model: Checkpoint) -> (Checkpoint, Bench) {
    let encoding = Encoding::Tokens { length: 6 };
    let columns = vec![ColumnEncoding { name: TOKENS.to_owned(), encoding }];
    model.set_inputs(Inputs { columns, steps: Vec::new(), shape: vec![6] });
    model.set_outputs(Outputs::Generate { vocabulary: 20 });
    let text: ArrayRef = Arc::new(StringArray::from(vec!["the quick brown fox jumps over the lazy dog, and so on"]));
    let batch = RecordBatch::try_from_iter([("text", text)]).unwrap();
    let text = Dataset { batch, image: None, paths: vec!["text".into()], digest: String::new() };
    let encode = |text: &str| Ok(text.bytes().map(|byte| u32::from(byte % 20)).collect());
    let (dataset, parts) = window_rows(&text, None, "text", [1.0, 0.0, 0.0, 0.0], 6, &encode).unwrap();
    (model, Bench { data: Some((dataset, parts)), ..Bench::empty() })
}

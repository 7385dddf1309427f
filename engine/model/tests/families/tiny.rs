//! Tiny checkpoints as others write them: a config.json, tensors of fixed seeds, and files beside them.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use paring_model::{Checkpoint, Forward, Input, Tokens};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::random;

/// Widths of all tiny models.
pub const HIDDEN: usize = 16;
pub const HEADS: usize = 4;
pub const FFN: usize = 24;
pub const LAYERS: usize = 2;
pub const VOCABULARY: usize = 30;
pub const POSITIONS: usize = 20;

/// A model directory that is not written yet.
#[derive(Clone)]
pub struct Tiny {
    pub config: Value,
    pub tensors: BTreeMap<String, Tensor>,
    pub files: Vec<(&'static str, Value)>,
}

/// Numbers that depend on the tensor's name alone; small enough that activations stay near 1.
fn numbers(name: &str, shape: &[usize]) -> Tensor {
    let seed = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let (low, high) = match shape {
        [_] if name.ends_with("weight") || name.ends_with("gamma") => (0.8, 1.2),
        [_] => (-0.3, 0.3),
        _ if name.contains("embed") || name.contains("relative") => (-1.0, 1.0),
        [.., inputs] => (-(3.0 / *inputs as f64).sqrt(), (3.0 / *inputs as f64).sqrt()),
        [] => (0.0, 1.0),
    };
    random(shape, low, high, seed)
}

impl Tiny {
    pub fn new(config: Value) -> Self {
        Self { config, tensors: BTreeMap::new(), files: Vec::new() }
    }

    pub fn tensor(mut self, name: &str, shape: &[usize]) -> Self {
        self.tensors.insert(name.to_owned(), numbers(name, shape));
        self
    }

    /// Weight and bias.
    pub fn linear(self, name: &str, output: usize, input: usize) -> Self {
        self.tensor(&format!("{name}.weight"), &[output, input]).tensor(&format!("{name}.bias"), &[output])
    }

    pub fn norm(self, name: &str) -> Self {
        self.tensor(&format!("{name}.weight"), &[HIDDEN]).tensor(&format!("{name}.bias"), &[HIDDEN])
    }

    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    pub fn file(mut self, path: &'static str, content: Value) -> Self {
        self.files.push((path, content));
        self
    }

    pub fn write(&self, directory: &Path) {
        fs::write(directory.join("config.json"), serde_json::to_vec_pretty(&self.config).unwrap()).unwrap();
        let tensors: HashMap<&str, Tensor> =
            self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.clone())).collect();
        candle_core::safetensors::save(&tensors, directory.join("model.safetensors")).unwrap();
        for (path, content) in &self.files {
            fs::create_dir_all(directory.join(path).parent().unwrap()).unwrap();
            fs::write(directory.join(path), content.to_string()).unwrap();
        }
    }

    /// Opened from a directory, which the model outlives.
    pub fn open(&self) -> Checkpoint {
        let directory = TempDir::new().unwrap();
        self.write(directory.path());
        Checkpoint::open(directory.path()).unwrap()
    }

    /// What opening says.
    pub fn refused(&self) -> String {
        let directory = TempDir::new().unwrap();
        self.write(directory.path());
        let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
        error.replace(&format!("{}/", directory.path().display()), "")
    }

    /// The same tensors for a stock model.
    pub fn stock(&self) -> VarBuilder<'static> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)
    }

    /// The stock model's settings.
    pub fn stock_config<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_value(self.config.clone()).unwrap()
    }
}

pub fn bert(prefix: &str) -> Tiny {
    let config = json!({"model_type": "bert", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": FFN, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
        "position_embedding_type": "absolute"});
    let mut tiny = Tiny::new(config)
        .tensor(&format!("{prefix}embeddings.word_embeddings.weight"), &[VOCABULARY, HIDDEN])
        .tensor(&format!("{prefix}embeddings.position_embeddings.weight"), &[POSITIONS, HIDDEN])
        .tensor(&format!("{prefix}embeddings.token_type_embeddings.weight"), &[2, HIDDEN])
        .norm(&format!("{prefix}embeddings.LayerNorm"));
    for layer in 0..LAYERS {
        let at = |part: &str| format!("{prefix}encoder.layer.{layer}.{part}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            tiny = tiny.linear(&at(&format!("attention.{part}")), HIDDEN, HIDDEN);
        }
        tiny = tiny.norm(&at("attention.output.LayerNorm")).norm(&at("output.LayerNorm"));
        tiny = tiny.linear(&at("intermediate.dense"), FFN, HIDDEN).linear(&at("output.dense"), HIDDEN, FFN);
    }
    tiny
}

/// RoBERTa and XLM-R: padding is token 1.
pub fn roberta(prefix: &str) -> Tiny {
    let tiny = bert(prefix).with("model_type", json!("xlm-roberta")).with("pad_token_id", json!(1));
    tiny.with("layer_norm_eps", json!(1e-5))
}

pub fn distilbert(prefix: &str) -> Tiny {
    let config = json!({"model_type": "distilbert", "vocab_size": VOCABULARY, "dim": HIDDEN, "n_layers": LAYERS,
        "n_heads": HEADS, "hidden_dim": FFN, "activation": "gelu", "max_position_embeddings": POSITIONS,
        "initializer_range": 0.02, "pad_token_id": 0, "dropout": 0.1, "attention_dropout": 0.1,
        "seq_classif_dropout": 0.2});
    let mut tiny = Tiny::new(config)
        .tensor(&format!("{prefix}embeddings.word_embeddings.weight"), &[VOCABULARY, HIDDEN])
        .tensor(&format!("{prefix}embeddings.position_embeddings.weight"), &[POSITIONS, HIDDEN])
        .norm(&format!("{prefix}embeddings.LayerNorm"));
    for layer in 0..LAYERS {
        let at = |part: &str| format!("{prefix}transformer.layer.{layer}.{part}");
        for part in ["q_lin", "k_lin", "v_lin", "out_lin"] {
            tiny = tiny.linear(&at(&format!("attention.{part}")), HIDDEN, HIDDEN);
        }
        tiny = tiny.norm(&at("sa_layer_norm")).norm(&at("output_layer_norm"));
        tiny = tiny.linear(&at("ffn.lin1"), FFN, HIDDEN).linear(&at("ffn.lin2"), HIDDEN, FFN);
    }
    tiny
}

pub fn mpnet() -> Tiny {
    let config = json!({"model_type": "mpnet", "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": FFN, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "max_position_embeddings": POSITIONS,
        "layer_norm_eps": 1e-5, "pad_token_id": 1, "relative_attention_num_buckets": 32});
    let mut tiny = Tiny::new(config)
        .tensor("embeddings.word_embeddings.weight", &[VOCABULARY, HIDDEN])
        .tensor("embeddings.position_embeddings.weight", &[POSITIONS, HIDDEN])
        .tensor("encoder.relative_attention_bias.weight", &[32, HEADS])
        .norm("embeddings.LayerNorm");
    for layer in 0..LAYERS {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in ["q", "k", "v", "o"] {
            tiny = tiny.linear(&at(&format!("attention.attn.{part}")), HIDDEN, HIDDEN);
        }
        tiny = tiny.norm(&at("attention.LayerNorm")).norm(&at("output.LayerNorm"));
        tiny = tiny.linear(&at("intermediate.dense"), FFN, HIDDEN).linear(&at("output.dense"), HIDDEN, FFN);
    }
    tiny
}

/// Llama and its kin: four query heads, two of keys, of this width.
fn decoder(model_type: &str, width: usize, biased: bool) -> Tiny {
    let config = json!({"model_type": model_type, "vocab_size": VOCABULARY, "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": 2, "head_dim": width,
        "intermediate_size": FFN, "hidden_act": "silu", "max_position_embeddings": 64, "rms_norm_eps": 1e-5,
        "rope_theta": 100.0, "tie_word_embeddings": false});
    let mut tiny = Tiny::new(config)
        .tensor("model.embed_tokens.weight", &[VOCABULARY, HIDDEN])
        .tensor("model.norm.weight", &[HIDDEN])
        .tensor("lm_head.weight", &[VOCABULARY, HIDDEN]);
    for layer in 0..LAYERS {
        let at = |part: &str| format!("model.layers.{layer}.{part}");
        for (part, heads) in [("q_proj", HEADS), ("k_proj", 2), ("v_proj", 2)] {
            let name = at(&format!("self_attn.{part}"));
            tiny = tiny.tensor(&format!("{name}.weight"), &[heads * width, HIDDEN]);
            if biased {
                tiny = tiny.tensor(&format!("{name}.bias"), &[heads * width]);
            }
        }
        tiny = tiny
            .tensor(&at("self_attn.o_proj.weight"), &[HIDDEN, HEADS * width])
            .tensor(&at("mlp.gate_proj.weight"), &[FFN, HIDDEN])
            .tensor(&at("mlp.up_proj.weight"), &[FFN, HIDDEN])
            .tensor(&at("mlp.down_proj.weight"), &[HIDDEN, FFN])
            .tensor(&at("input_layernorm.weight"), &[HIDDEN])
            .tensor(&at("post_attention_layernorm.weight"), &[HIDDEN]);
    }
    tiny
}

pub fn llama() -> Tiny {
    decoder("llama", HIDDEN / HEADS, false)
}

/// The output layer is the table of tokens; frequencies are stretched as in Llama 3.
pub fn tied_llama() -> Tiny {
    let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32});
    let mut tiny = llama().with("tie_word_embeddings", json!(true)).with("rope_scaling", scaling);
    tiny.tensors.remove("lm_head.weight");
    tiny
}

pub fn mistral(window: usize) -> Tiny {
    decoder("mistral", HIDDEN / HEADS, false).with("sliding_window", json!(window))
}

pub fn qwen2() -> Tiny {
    decoder("qwen2", HIDDEN / HEADS, true)
        .with("use_sliding_window", json!(false))
        .with("sliding_window", json!(64))
        .with("max_window_layers", json!(1))
}

/// Heads are wider than the stream over their number, and have norms.
pub fn qwen3() -> Tiny {
    let mut tiny = decoder("qwen3", 6, false).with("attention_bias", json!(false));
    tiny = tiny.with("use_sliding_window", json!(false)).with("sliding_window", json!(null));
    tiny = tiny.with("max_window_layers", json!(2));
    for layer in 0..LAYERS {
        for part in ["q_norm", "k_norm"] {
            tiny = tiny.tensor(&format!("model.layers.{layer}.self_attn.{part}.weight"), &[6]);
        }
    }
    tiny
}

/// Every architecture, by its name in a test.
pub fn all() -> Vec<(&'static str, Tiny)> {
    vec![
        ("bert", bert("bert.")),
        ("minilm", bert("")),
        ("roberta", roberta("roberta.").with("model_type", json!("roberta"))),
        ("xlm-roberta", roberta("")),
        ("distilbert", distilbert("distilbert.")),
        ("mpnet", mpnet()),
        ("llama", llama()),
        ("tied llama", tied_llama()),
        ("mistral", mistral(3)),
        ("qwen2", qwen2()),
        ("qwen3", qwen3()),
    ]
}

/// Two rows of token numbers; the second has two places of padding (token 1) where `padded`.
pub fn tokens(length: usize, padded: bool) -> Tokens {
    let id = |place: usize| (place * 7 + place / length * 3) as u32 % (VOCABULARY as u32 - 3) + 3;
    let is_padding = |place: usize| padded && place >= 2 * length - 2;
    let ids: Vec<u32> = (0..2 * length).map(|place| if is_padding(place) { 1 } else { id(place) }).collect();
    let mask: Vec<u32> = (0..2 * length).map(|place| u32::from(!is_padding(place))).collect();
    let types: Vec<u32> = (0..2 * length).map(|place| u32::from(place % length > length / 2)).collect();
    let tensor = |numbers| Tensor::from_vec(numbers, (2, length), &Device::Cpu).unwrap();
    Tokens { ids: tensor(ids), mask: padded.then(|| tensor(mask)), types: Some(tensor(types)) }
}

/// What the network gives before its head, [rows, length, hidden].
pub fn hidden(model: &Checkpoint, tokens: &Tokens, cx: &mut Forward<'_>) -> Tensor {
    let network = model.network().unwrap();
    let (mut x, shared) = network.enter(&Input::Tokens(tokens.clone())).unwrap();
    for block in 0..network.blocks() - 1 {
        x = network.block(block, &x, &shared, cx).unwrap();
    }
    x
}

/// What the network gives.
pub fn outputs(model: &Checkpoint, tokens: &Tokens, cx: &mut Forward<'_>) -> Tensor {
    model.network().unwrap().forward(&Input::Tokens(tokens.clone()), cx).unwrap()
}

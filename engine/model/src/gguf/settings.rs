//! Settings: keys of a GGUF file's metadata become those of config.json.

use serde_json::{Map, Value as Json, json};

use super::header::{Entry, Header};
use super::value::Value;
use crate::families::{Rope, Scaling};

/// The tensor that says how frequencies are stretched, where they are.
pub(super) const ROPE_FACTORS: &str = "rope_freqs.weight";

/// The `model_type` of the architecture; `None` when it is not known.
pub(super) fn model_type<'a>(header: &Header<'a>) -> Option<&'a str> {
    let known = ["llama", "qwen2", "qwen3"];
    architecture(header).filter(|found| known.contains(found))
}

fn architecture<'a>(header: &Header<'a>) -> Option<&'a str> {
    header.metadata.get("general.architecture").and_then(Value::text)
}

/// The keys of config.json.
///
/// # Errors
/// Says which key is missing or wrong.
pub(super) fn config(header: &Header<'_>, file: &[u8]) -> Result<Map<String, Json>, String> {
    let mut config = Map::new();
    let Some(architecture) = architecture(header) else { return Ok(config) };
    config.insert("model_type".to_owned(), Json::from(architecture));
    if model_type(header).is_none() {
        return Ok(config);
    }
    let keys = Keys { header, architecture };
    keys.refuse_experts()?;
    config.insert("architectures".to_owned(), json!([class(architecture)]));
    let heads = keys.largest("attention.head_count")?.ok_or_else(|| keys.missing("attention.head_count"))?;
    let hidden = keys.required("embedding_length")?;
    let width = keys.count("attention.key_length")?.unwrap_or(hidden / heads.max(1));
    let tied = !header.tensors.contains_key("output.weight");
    let numbers = [
        ("hidden_size", Some(hidden)),
        ("num_hidden_layers", Some(keys.required("block_count")?)),
        ("num_attention_heads", Some(heads)),
        ("num_key_value_heads", Some(keys.largest("attention.head_count_kv")?.unwrap_or(heads))),
        ("head_dim", Some(width)),
        ("intermediate_size", keys.largest("feed_forward_length")?),
        ("max_position_embeddings", keys.count("context_length")?),
        ("vocab_size", header.tensors.get("token_embd.weight").and_then(|it| Some(*it.shape.first()? as u64))),
        ("bos_token_id", keys.token("bos")),
        ("eos_token_id", keys.token("eos")),
        ("pad_token_id", keys.token("padding")),
    ];
    for (key, number) in numbers {
        config.extend(number.map(|number| (key.to_owned(), Json::from(number))));
    }
    keys.refuse_partial_rope(width)?;
    config.insert("hidden_act".to_owned(), json!("silu"));
    config.insert("rms_norm_eps".to_owned(), json!(keys.number("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6)));
    config.insert("tie_word_embeddings".to_owned(), json!(tied));
    if architecture == "llama" {
        config.insert("attention_bias".to_owned(), json!(header.tensors.contains_key("blk.0.attn_q.bias")));
    }
    let theta = keys.number("rope.freq_base")?.unwrap_or(10_000.0);
    config.insert("rope_theta".to_owned(), json!(theta));
    config.extend(keys.scaling(theta, width, file)?.map(|scaling| ("rope_scaling".to_owned(), scaling)));
    Ok(config)
}

/// The class that transformers runs such a model with.
fn class(architecture: &str) -> &'static str {
    match architecture {
        "qwen2" => "Qwen2ForCausalLM",
        "qwen3" => "Qwen3ForCausalLM",
        _ => "LlamaForCausalLM",
    }
}

/// How many heads a tensor's rows belong to in which rows that turn together are neighbours: queries and keys of
/// `llama`.
///
/// # Errors
/// When the number of heads is missing or wrong.
pub(super) fn interleaved_heads(header: &Header<'_>, name: &str) -> Result<Option<usize>, String> {
    let (Some("llama"), Some(rest)) = (model_type(header), name.strip_prefix("blk.")) else { return Ok(None) };
    let Some((layer, part)) = rest.split_once('.') else { return Ok(None) };
    let keys = Keys { header, architecture: "llama" };
    let heads = match part {
        "attn_q.weight" | "attn_q.bias" => keys.of_layer("attention.head_count", layer)?,
        "attn_k.weight" | "attn_k.bias" => match keys.of_layer("attention.head_count_kv", layer)? {
            Some(heads) => Some(heads),
            None => keys.of_layer("attention.head_count", layer)?,
        },
        _ => return Ok(None),
    };
    let heads = heads.ok_or_else(|| keys.missing("attention.head_count"))?;
    Ok(Some(usize::try_from(heads).unwrap_or(usize::MAX)))
}

/// The keys of one architecture.
struct Keys<'h, 'a> {
    header: &'h Header<'a>,
    architecture: &'a str,
}

impl<'a> Keys<'_, 'a> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.header.metadata.get(self.key(name).as_str())
    }

    fn missing(&self, name: &str) -> String {
        format!("key `{}` is missing", self.key(name))
    }

    fn wrong(&self, name: &str, expected: &str) -> String {
        format!("key `{}` is wrong, expected {expected}", self.key(name))
    }

    fn count(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        value.count().map(Some).ok_or_else(|| self.wrong(name, "a whole number"))
    }

    fn required(&self, name: &str) -> Result<u64, String> {
        self.count(name)?.ok_or_else(|| self.missing(name))
    }

    fn number(&self, name: &str) -> Result<Option<f64>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        // Files hold 32-bit numbers; their shortest decimal form is what config.json had.
        let shortest = |number: f64| (number as f32).to_string().parse().unwrap_or(number);
        value.number().map(shortest).map(Some).ok_or_else(|| self.wrong(name, "a number"))
    }

    /// A number, or one for each layer.
    fn counts(&self, name: &str) -> Result<Option<Vec<u64>>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = || self.wrong(name, "a whole number, or one for each layer");
        let counts: Option<Vec<u64>> = match value.list() {
            Some(list) => list.iter().map(|value| value.count()).collect(),
            None => value.count().map(|count| vec![count]),
        };
        counts.filter(|counts| !counts.is_empty()).map(Some).ok_or_else(wrong)
    }

    fn largest(&self, name: &str) -> Result<Option<u64>, String> {
        Ok(self.counts(name)?.and_then(|counts| counts.into_iter().max()))
    }

    fn of_layer(&self, name: &str, layer: &str) -> Result<Option<u64>, String> {
        let Some(counts) = self.counts(name)? else { return Ok(None) };
        if let [same] = counts.as_slice() {
            return Ok(Some(*same));
        }
        let index: Option<usize> = layer.parse().ok();
        let count = index.and_then(|index| counts.get(index)).copied();
        count.map(Some).ok_or_else(|| self.wrong(name, "a number for each layer"))
    }

    fn token(&self, name: &str) -> Option<u64> {
        self.header.metadata.get(format!("tokenizer.ggml.{name}_token_id").as_str())?.count()
    }

    fn refuse_experts(&self) -> Result<(), String> {
        match self.count("expert_count")? {
            Some(experts) if experts > 0 => Err(format!("the model has {experts} experts, which are not read")),
            _ => Ok(()),
        }
    }

    fn refuse_partial_rope(&self, width: u64) -> Result<(), String> {
        match self.count("rope.dimension_count")? {
            Some(turned) if turned != width => {
                Err(format!("{turned} of the {width} numbers in a head turn, expected all of them"))
            }
            _ => Ok(()),
        }
    }

    /// `rope_scaling`, if frequencies are stretched.
    fn scaling(&self, theta: f64, width: u64, file: &[u8]) -> Result<Option<Json>, String> {
        if let Some(entry) = self.header.tensors.get(ROPE_FACTORS) {
            return llama3(entry, theta, width as usize, file).map(Some);
        }
        let kind = self.get("rope.scaling.type").and_then(Value::text).unwrap_or("none");
        if kind != "none" {
            let factor = self.number("rope.scaling.factor")?.unwrap_or(1.0);
            return Ok(Some(json!({ "rope_type": kind, "factor": factor })));
        }
        let linear = self.number("rope.scale_linear")?.filter(|&factor| factor != 1.0);
        Ok(linear.map(|factor| json!({ "rope_type": "linear", "factor": factor })))
    }
}

/// The settings of Llama 3 that give the factors of a file, which has the factors alone.
fn llama3(entry: &Entry, theta: f64, width: usize, file: &[u8]) -> Result<Json, String> {
    let numbers = entry.kind.decode(file.get(entry.bytes.clone()).unwrap_or_default())?;
    let found: Vec<f32> = numbers.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let factor = f64::from(found.iter().copied().fold(1.0_f32, f32::max));
    let (low, high, original) = (1.0, 4.0, 8192.0);
    let plain = Rope { theta, scaling: Scaling::None };
    let scaled = Rope { theta, scaling: Scaling::Llama3 { factor, low, high, original } };
    let expected = (0..width / 2).map(|pair| plain.frequency(pair, width) / scaled.frequency(pair, width));
    let same = |(found, expected): (&f32, f32)| (found / expected - 1.0).abs() < 1e-3;
    if entry.kind.name() == "F32" && found.len() == width / 2 && found.iter().zip(expected).all(same) {
        return Ok(json!({ "rope_type": "llama3", "factor": factor, "low_freq_factor": low,
            "high_freq_factor": high, "original_max_position_embeddings": original as u64 }));
    }
    Err(format!("the factors in `{ROPE_FACTORS}` are not those of Llama 3, which alone are read"))
}

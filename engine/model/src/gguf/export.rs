//! A model as a GGUF file would hold it: which tensors under which names, and the metadata; or why no file can hold it.

mod vocabulary;

use serde_json::Value as Json;

use super::names;
use super::settings::ROPE_FACTORS;
use super::types::Type;
use super::write::{ALIGNMENT, Listed, Value, head, write};
use crate::checkpoint::Checkpoint;
use crate::config::Spec;
use crate::error::{ModelError, Result};
use crate::families::{LlamaSpec, Nonlinearity, Rope, Scaling};
use crate::outline::{Outline, WeightOutline};

/// Why a model cannot be a GGUF file that others load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is in the way.
    pub reason: String,
    /// What would help.
    pub help: String,
}

/// A file that is not written yet.
#[derive(Debug)]
pub(crate) struct Export {
    head: Vec<u8>,
    listed: Vec<Listed>,
    sources: Vec<Source>,
}

/// Where the numbers of a tensor come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Source {
    /// A weight of the model; with `heads`, its rows are put in the order that llama.cpp has.
    Weight {
        /// Its name.
        name: String,
        /// Heads whose rows are to be neighbours that turn together.
        heads: Option<usize>,
    },
    /// These numbers.
    Numbers(Vec<f32>),
}

impl Export {
    /// What a model is as a file. `outline` may be that of a later stage; settings and tokenizer are those of `model`.
    ///
    /// # Errors
    /// Everything that is in the way.
    pub(crate) fn plan(model: &Checkpoint, outline: &Outline, name: &str) -> Result<Self, Vec<Refusal>> {
        let plan = Plan::new(model, outline).map_err(|refusal| vec![refusal])?;
        let (tensors, mut refusals) = plan.tensors();
        refusals.extend(plan.refusals());
        let mut metadata = plan.metadata(name, &tensors);
        match vocabulary::metadata(model, plan.vocabulary) {
            Ok(found) => metadata.extend(found),
            Err(reason) => {
                let help = "export to safetensors, which carries the tokenizer's own file".to_owned();
                refusals.push(Refusal { reason, help });
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let (listed, sources): (Vec<Listed>, Vec<Source>) = tensors.into_iter().unzip();
        Ok(Self { head: head(&metadata, &listed), listed, sources })
    }

    /// Bytes of the file.
    pub(crate) fn size(&self) -> u64 {
        let tensors = self.listed.iter().map(|listed| listed.size().next_multiple_of(ALIGNMENT));
        self.head.len() as u64 + tensors.sum::<u64>()
    }

    /// How many tensors the file has.
    pub(crate) fn tensors(&self) -> usize {
        self.listed.len()
    }

    /// Writes the file; `content` gives the bytes of a weight in the named type.
    ///
    /// # Errors
    /// When a weight cannot be read or a byte cannot be written.
    pub(crate) fn write(
        &self,
        content: &dyn Fn(&str, &'static str) -> Result<Vec<u8>>,
        out: &mut dyn std::io::Write,
        unwritable: &dyn Fn(std::io::Error) -> ModelError,
    ) -> Result<()> {
        let bytes = |index: usize| match (self.sources.get(index), self.listed.get(index)) {
            (Some(Source::Weight { name, heads }), Some(listed)) => {
                let bytes = content(name, listed.kind.name())?;
                let rows = listed.shape.first().copied().unwrap_or(0);
                Ok(heads.map(|heads| super::Interleaved { rows, heads }.together(&bytes)).unwrap_or(bytes))
            }
            (Some(Source::Numbers(numbers)), _) => Ok(numbers.iter().flat_map(|number| number.to_le_bytes()).collect()),
            _ => Ok(Vec::new()),
        };
        write(&self.head, &self.listed, &bytes, out, unwritable)
    }
}

/// What a file is planned from.
struct Plan<'a> {
    model: &'a Checkpoint,
    outline: &'a Outline,
    spec: &'a LlamaSpec,
    architecture: &'static str,
    /// Rows of the table of tokens, and numbers in one.
    vocabulary: usize,
    hidden: usize,
    /// Heads of queries and of keys in each layer.
    heads: Vec<[usize; 2]>,
    /// Width of the feed-forward part of each layer.
    widths: Vec<usize>,
}

impl<'a> Plan<'a> {
    fn new(model: &'a Checkpoint, outline: &'a Outline) -> Result<Self, Refusal> {
        let other = |found: &str| Refusal {
            reason: format!("GGUF loaders know no model of the family `{found}`, expected `llama`"),
            help: "export to safetensors".to_owned(),
        };
        let config = outline.config.as_ref().ok_or_else(|| other("unknown"))?;
        let Spec::Llama(spec) = &config.spec else { return Err(other(config.spec.family())) };
        let architecture = match spec.keys.get("model_type").and_then(Json::as_str) {
            Some("qwen2") => "qwen2",
            Some("qwen3") => "qwen3",
            _ => "llama",
        };
        let shape = |name: &str, place: usize| {
            outline.weights.get(&format!("{name}.weight")).and_then(|weight| weight.shape().get(place)).copied()
        };
        let rows = |name: &str| shape(name, 0).unwrap_or(0);
        let layers: Vec<_> = (0..spec.layers).map(|layer| spec.layer(layer)).collect();
        let heads = |name: &str| rows(name) / spec.head_width.max(1);
        Ok(Self {
            model,
            outline,
            spec,
            architecture,
            vocabulary: rows(&spec.words()),
            hidden: shape(&spec.words(), 1).unwrap_or(0),
            heads: layers.iter().map(|names| [heads(&names.query), heads(&names.key)]).collect(),
            widths: layers.iter().map(|names| rows(&names.gate)).collect(),
        })
    }

    fn first_heads(&self) -> [usize; 2] {
        self.heads.first().copied().unwrap_or([1, 1])
    }

    /// What loaders would refuse, or compute something else from.
    fn refusals(&self) -> Vec<Refusal> {
        let spec = self.spec;
        let [queries, _] = self.first_heads();
        let width = spec.head_width * queries;
        let named = |part: &str| self.outline.weights.contains_key(&format!("{}.{part}", spec.layer(0).query));
        let scaled_otherwise = match spec.rope.scaling {
            Scaling::Llama3 { low, high, original, .. } => (low, high, original) != (1.0, 4.0, 8192.0),
            Scaling::None | Scaling::Linear { .. } => false,
        };
        let problems = [
            (
                self.heads.iter().any(|heads| *heads != self.first_heads()),
                "layers have different numbers of heads, which GGUF loaders do not read".to_owned(),
                "leave attention heads out of pruning, or remove as many in each layer",
            ),
            (
                self.architecture != "qwen3" && width != self.hidden,
                format!(
                    "its {queries} heads of {} are not {} numbers wide in all, as loaders of `{}` take for granted",
                    spec.head_width, self.hidden, self.architecture
                ),
                "remove as large a part of the attention heads as of the width, or export to safetensors",
            ),
            (
                spec.activation != Nonlinearity::Silu,
                "its feed-forward parts have another activation than SiLU, which loaders take for granted".to_owned(),
                "export to safetensors",
            ),
            (
                spec.window.is_some(),
                "its layers look back over a window, which loaders take no notice of".to_owned(),
                "export to safetensors",
            ),
            (
                self.architecture == "llama" && named("bias"),
                "its queries have biases, which loaders of `llama` take no notice of".to_owned(),
                "export to safetensors",
            ),
            (
                scaled_otherwise,
                "its frequencies are stretched with other settings than those of Llama 3".to_owned(),
                "export to safetensors",
            ),
        ];
        let found = problems.into_iter().filter(|(there, ..)| *there);
        found.map(|(_, reason, help)| Refusal { reason, help: help.to_owned() }).collect()
    }

    /// Every tensor in the order of the file, and what is in the way of some.
    fn tensors(&self) -> (Vec<(Listed, Source)>, Vec<Refusal>) {
        let (mut tensors, mut refusals) = (Vec::new(), Vec::new());
        for (name, weight) in &self.outline.weights {
            if (self.spec.tied && name == "lm_head.weight") || name.ends_with("rotary_emb.inv_freq") {
                continue;
            }
            match self.tensor(name, weight) {
                Ok(tensor) => tensors.push(tensor),
                Err(refusal) => refusals.push(refusal),
            }
        }
        tensors.sort_by_key(|(listed, _)| names::place(&listed.name));
        tensors.extend(self.rope_factors());
        (tensors, refusals)
    }

    fn tensor(&self, name: &str, weight: &WeightOutline) -> Result<(Listed, Source), Refusal> {
        let unknown = || Refusal {
            reason: format!("tensor `{name}` has no name in GGUF files"),
            help: "export to safetensors".to_owned(),
        };
        let own = names::own(self.spec.prefix.as_str(), name).ok_or_else(unknown)?;
        let kind = type_of(name, weight)?;
        let heads = self.interleaved(&own);
        let listed = Listed { name: own, shape: weight.shape().to_vec(), kind };
        Ok((listed, Source::Weight { name: name.to_owned(), heads }))
    }

    /// The heads of queries and keys of `llama`, whose rows have another order in GGUF files.
    fn interleaved(&self, own: &str) -> Option<usize> {
        let (layer, part) = own.strip_prefix("blk.")?.split_once('.')?;
        let [queries, keys] = *self.heads.get(layer.parse::<usize>().ok()?)?;
        match part.split_once('.')?.0 {
            "attn_q" if self.architecture == "llama" => Some(queries),
            "attn_k" if self.architecture == "llama" => Some(keys),
            _ => None,
        }
    }

    /// How frequencies are stretched, where Llama 3's way is.
    fn rope_factors(&self) -> Option<(Listed, Source)> {
        let (Scaling::Llama3 { .. }, kind) = (self.spec.rope.scaling, Type::named("F32")?) else { return None };
        let (scaled, width) = (self.spec.rope, self.spec.head_width);
        let plain = Rope { scaling: Scaling::None, ..scaled };
        let factors = (0..width / 2).map(|pair| plain.frequency(pair, width) / scaled.frequency(pair, width));
        let listed = Listed { name: ROPE_FACTORS.to_owned(), shape: vec![width / 2], kind };
        Some((listed, Source::Numbers(factors.collect())))
    }

    fn metadata(&self, name: &str, tensors: &[(Listed, Source)]) -> Vec<(String, Value)> {
        let spec = self.spec;
        let [queries, keys] = self.first_heads();
        let number = |number: usize| Value::Number(u32::try_from(number).unwrap_or(u32::MAX));
        let all = |value: &str| value.to_owned();
        let own = |key: &str| format!("{}.{key}", self.architecture);
        let widths = match self.widths.split_first() {
            Some((first, rest)) if rest.iter().all(|width| width == first) => number(*first),
            _ => Value::Numbers(self.widths.iter().map(|&width| u32::try_from(width).unwrap_or(u32::MAX)).collect()),
        };
        let mut metadata = vec![
            (all("general.architecture"), Value::Text(self.architecture.to_owned())),
            (all("general.type"), Value::Text("model".to_owned())),
            (all("general.name"), Value::Text(name.to_owned())),
            (all("general.alignment"), Value::Number(ALIGNMENT as u32)),
            (all("general.file_type"), Value::Number(file_type(tensors))),
            (all("general.quantization_version"), Value::Number(2)),
            (own("vocab_size"), number(self.vocabulary)),
            (own("context_length"), number(self.context())),
            (own("embedding_length"), number(self.hidden)),
            (own("block_count"), number(spec.layers)),
            (own("feed_forward_length"), widths),
            (own("attention.head_count"), number(queries)),
            (own("attention.head_count_kv"), number(keys)),
            (own("attention.layer_norm_rms_epsilon"), Value::Float(spec.epsilon as f32)),
            (own("rope.freq_base"), Value::Float(spec.rope.theta as f32)),
            (own("rope.dimension_count"), number(spec.head_width)),
        ];
        if self.architecture == "qwen3" || spec.head_width * queries != self.hidden {
            metadata.push((own("attention.key_length"), number(spec.head_width)));
            metadata.push((own("attention.value_length"), number(spec.head_width)));
        }
        if let Scaling::Linear { factor } = spec.rope.scaling {
            metadata.push((own("rope.scaling.type"), Value::Text("linear".to_owned())));
            metadata.push((own("rope.scaling.factor"), Value::Float(factor as f32)));
        }
        metadata
    }

    /// Most tokens of a text.
    fn context(&self) -> usize {
        let key = "max_position_embeddings";
        let said = self.spec.keys.get(key).or_else(|| self.model.setting(key)).and_then(Json::as_u64);
        said.map_or(2048, |length| length as usize)
    }
}

/// The type of a tensor in the file: blocks and float matrices as they are, all else in 32 bits.
fn type_of(name: &str, weight: &WeightOutline) -> Result<Type, Refusal> {
    let kind = match weight {
        WeightOutline::Blocks { kind, .. } => kind.name(),
        WeightOutline::Dense { dtype, shape, .. } => match dtype.as_str() {
            "F16" | "BF16" if shape.len() < 2 => "F32",
            "F16" => "F16",
            "BF16" => "BF16",
            "F32" | "F64" => "F32",
            found => {
                let reason = format!("tensor `{name}` is {found}, expected floats or blocks");
                return Err(Refusal { reason, help: "export to safetensors".to_owned() });
            }
        },
        WeightOutline::Quantized { scheme, .. } => {
            let reason = format!("tensor `{name}` is int{}, which GGUF files do not hold", scheme.bits);
            let help = "quantize with `quantize/gguf` instead, or export to safetensors".to_owned();
            return Err(Refusal { reason, help });
        }
    };
    let missing = || Refusal { reason: format!("GGUF files hold no {kind}"), help: String::new() };
    Type::named(kind).ok_or_else(missing)
}

/// llama.cpp's number for what most matrices are.
fn file_type(tensors: &[(Listed, Source)]) -> u32 {
    let mut counts: Vec<(&'static str, u64)> = Vec::new();
    for (listed, _) in tensors.iter().filter(|(listed, _)| listed.shape.len() > 1 && listed.name.starts_with("blk.")) {
        let numbers = listed.shape.iter().map(|&length| length as u64).product::<u64>();
        match counts.iter_mut().find(|(name, _)| *name == listed.kind.name()) {
            Some((_, count)) => *count += numbers,
            None => counts.push((listed.kind.name(), numbers)),
        }
    }
    match counts.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name) {
        Some("F16") => 1,
        Some("Q4_0") => 2,
        Some("Q4_1") => 3,
        Some("Q8_0") => 7,
        Some("Q5_0") => 8,
        Some("Q5_1") => 9,
        Some("Q2_K") => 10,
        Some("Q3_K") => 12,
        Some("Q4_K") => 15,
        Some("Q5_K") => 17,
        Some("Q6_K") => 18,
        Some("BF16") => 32,
        _ => 0,
    }
}

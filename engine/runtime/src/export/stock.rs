//! candle's own loaders of GGUF files, and what they make of a prompt.

use std::fs::File;
use std::path::Path;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{DType, Device, Result, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2, quantized_qwen3};

/// A model of one of the loaders.
pub(super) enum Stock {
    Llama(quantized_llama::ModelWeights),
    Qwen2(quantized_qwen2::ModelWeights),
    Qwen3(quantized_qwen3::ModelWeights),
}

impl Stock {
    /// Opens a file with the loader of its architecture.
    ///
    /// # Errors
    /// What the loader says.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path)?;
        let mut content = Content::read(&mut file)?;
        let architecture = content.metadata.get("general.architecture").and_then(|it| it.to_string().ok()).cloned();
        // A key that is candle's own: the loader of qwen3 computes in half precision unless it says 32 bits.
        content.metadata.insert("general.dtype".to_owned(), Value::U32(0));
        let cpu = Device::Cpu;
        Ok(match architecture.as_deref() {
            Some("qwen2") => Self::Qwen2(quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &cpu)?),
            Some("qwen3") => Self::Qwen3(quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &cpu)?),
            _ => Self::Llama(quantized_llama::ModelWeights::from_gguf(content, &mut file, &cpu)?),
        })
    }

    /// The logits after the last token of a prompt.
    ///
    /// # Errors
    /// What the model says.
    pub(super) fn logits(&mut self, prompt: &[u32]) -> Result<Vec<f32>> {
        let ids = Tensor::new(prompt, &Device::Cpu)?.unsqueeze(0)?;
        let logits = match self {
            Self::Llama(model) => model.forward(&ids, 0)?,
            Self::Qwen2(model) => model.forward(&ids, 0)?,
            Self::Qwen3(model) => {
                model.clear_kv_cache();
                model.forward(&ids, 0)?
            }
        };
        logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
    }
}

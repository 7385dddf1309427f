//! `llama`: decoders of text with a root mean square norm before each part, as others trained them: Llama, Mistral,
//! SmolLM2, Qwen2 and Qwen3.

mod layer;
mod network;
mod settings;
mod spec;
mod survey;

pub use spec::{LlamaSpec, Windowed};

pub(crate) use network::build;
pub(crate) use spec::{beyond_transformers, settle};
pub(crate) use survey::survey;

/// The family's name.
pub(crate) const NAME: &str = "llama";

//! A look at a model by eye: texts side by side, and a text continued.

use std::path::{Path, PathBuf};
use std::time::Instant;

use candle_core::{Device, Tensor};
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Checkpoint, Column, Forward, Inputs, ModelError, Table, Tokens, Values};
use paring_train::metrics::cosines;
use serde::Serialize;
use serde_json::Value;

use crate::resolve::hub::{self, HubError};

/// Tokens of a text where the model does not say how many it reads.
const MAX_LENGTH: usize = 512;

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// The model cannot be read or does not run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The model cannot be fetched.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// Vectors that cannot be compared.
    #[error(transparent)]
    Train(#[from] paring_train::TrainError),
    /// The prompt has no token.
    #[error("the prompt has no token")]
    EmptyPrompt,
}

/// Texts as vectors.
#[derive(Debug, Clone, Serialize)]
pub struct Embeddings {
    /// A vector a text.
    pub vectors: Vec<Vec<f32>>,
    /// Cosine of each text with each.
    pub cosines: Vec<Vec<f64>>,
}

/// How a text goes on.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Continuation {
    /// The text after the prompt.
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens after it.
    pub tokens: usize,
    /// Seconds that reading the prompt took.
    pub prefill_seconds: f64,
    /// Seconds that all tokens after the first took.
    pub decode_seconds: f64,
}

/// Opens a model: a path, or an address of a hub.
///
/// # Errors
/// When it cannot be fetched or read.
pub fn open(model: &Path) -> Result<Checkpoint, LookError> {
    let address = model.to_str().filter(|text| hub::is_address(text));
    let path = address.map_or_else(|| Ok(PathBuf::from(model)), hub::fetch)?;
    Ok(Checkpoint::open(&path)?)
}

/// The vectors of texts, and how close they are.
///
/// # Errors
/// When the model does not read texts, or gives no vector a text.
pub fn embed(model: &Checkpoint, texts: &[String]) -> Result<Embeddings, LookError> {
    let mut model = model.clone();
    let own = model.inputs().and_then(|inputs| Some(inputs.text()?.column));
    let column = own.unwrap_or_else(|| "text".to_owned());
    if model.inputs().is_none() {
        let max_length = model.outline().most_tokens().map_or(MAX_LENGTH, |most| most.min(MAX_LENGTH));
        let encoding = ColumnEncoding { name: column.clone(), encoding: Encoding::Text { max_length } };
        model.set_inputs(Inputs { columns: vec![encoding], steps: Vec::new(), shape: vec![max_length] });
    }
    let cells = texts.iter().cloned().map(Some).collect();
    let table = Table { columns: vec![Column { name: column, values: Values::Text(cells) }], rows: texts.len() };
    let outputs = model.predict(&model.read(&table)?, 32)?;
    let vectors = outputs.to_vec2::<f32>().map_err(ModelError::from)?;
    let with =
        |one: &Vec<f32>| vectors.iter().map(|other| Ok(cosines(one, other, one.len())?.into_iter().sum())).collect();
    let cosines = vectors.iter().map(with).collect::<Result<Vec<Vec<f64>>, LookError>>()?;
    Ok(Embeddings { vectors, cosines })
}

/// Continues a prompt with the most likely token, again and again, until the model ends the text or `limit` tokens are
/// there. Each piece of text is shown as it comes.
///
/// # Errors
/// When the model does not continue texts.
pub fn generate(
    model: &Checkpoint,
    prompt: &str,
    limit: usize,
    show: &mut dyn FnMut(&str),
) -> Result<Continuation, LookError> {
    let (network, tokenizer, ends) = (model.network()?, model.tokenizer()?, ends(model));
    let mut generation = network.generation()?;
    let prompt = tokenizer.prompt(prompt)?;
    if prompt.is_empty() {
        return Err(LookError::EmptyPrompt);
    }
    let mut found = Continuation { prompt_tokens: prompt.len(), ..Continuation::default() };
    let start = Instant::now();
    let ids = Tensor::from_slice(&prompt, (1, prompt.len()), &Device::Cpu).map_err(ModelError::from)?;
    let mut logits = generation.prefill(&Tokens::new(ids), &mut Forward::inference())?;
    found.prefill_seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let mut tokens = Vec::new();
    while tokens.len() < limit {
        let token = likeliest(&logits)?;
        if ends.contains(&token) {
            break;
        }
        tokens.push(token);
        let text = tokenizer.decode(&tokens)?;
        // A character may need several tokens: it is shown once it is whole.
        if let Some(more) = text.strip_prefix(found.text.as_str()).filter(|more| !more.ends_with('\u{fffd}')) {
            show(more);
            found.text = text;
        }
        let next = Tensor::new(&[token], &Device::Cpu).map_err(ModelError::from)?;
        logits = generation.step(&next, &mut Forward::inference())?;
    }
    found.tokens = tokens.len();
    found.decode_seconds = start.elapsed().as_secs_f64();
    Ok(found)
}

fn likeliest(logits: &Tensor) -> Result<u32, LookError> {
    let best = logits.squeeze(0).and_then(|row| row.argmax(0)?.to_scalar::<u32>());
    Ok(best.map_err(ModelError::from)?)
}

/// Tokens that end a text.
fn ends(model: &Checkpoint) -> Vec<u32> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    match model.setting("eos_token_id") {
        Some(Value::Array(list)) => list.iter().filter_map(number).collect(),
        Some(value) => number(value).into_iter().collect(),
        None => Vec::new(),
    }
}

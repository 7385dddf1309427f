//! Whether a model that continues texts still says something: a few tokens after every stage.

use candle_core::{D, Device, Tensor};
use paring_model::{Checkpoint, Forward, ModelError, Outputs, Rows, Task, Tokens};

/// Tokens of the prompt.
const PROMPT: usize = 16;

/// Tokens that the model goes on for.
const CONTINUATION: usize = 16;

/// What is wrong with the most likely continuation of the first probe row: the same score for every token, or one token
/// again and again. `None` for a model that does not continue texts, or one that says something.
///
/// # Errors
/// When the model does not run.
pub(super) fn look(model: &Checkpoint, probe: Option<&Rows>) -> Result<Option<String>, ModelError> {
    let continues = model.outputs().map(Outputs::task) == Some(Task::Generate);
    let Some(Rows::Tokens(rows)) = probe.filter(|_| continues) else { return Ok(None) };
    let prompt: Vec<u32> = rows.iter().flat_map(|row| row.ids.iter().copied()).take(PROMPT).collect();
    if prompt.is_empty() {
        return Ok(None);
    }
    let network = model.network()?;
    let mut generation = network.generation()?;
    let ids = Tensor::from_slice(&prompt, (1, prompt.len()), &Device::Cpu)?;
    let mut logits = generation.prefill(&Tokens::new(ids), &mut Forward::inference())?;
    let mut tokens = Vec::new();
    while tokens.len() < CONTINUATION {
        let spread = (logits.max(D::Minus1)? - logits.min(D::Minus1)?)?.squeeze(0)?.to_scalar::<f32>()?;
        if spread == 0.0 {
            return Ok(Some("gives every token the same score".to_owned()));
        }
        let token = logits.argmax(D::Minus1)?.squeeze(0)?.to_scalar::<u32>()?;
        tokens.push(token);
        logits = generation.step(&Tensor::new(&[token], &Device::Cpu)?, &mut Forward::inference())?;
    }
    let first = tokens.first().copied().unwrap_or_default();
    Ok(tokens.iter().all(|&token| token == first).then(|| format!("repeats {} without end", shown(model, first))))
}

fn shown(model: &Checkpoint, token: u32) -> String {
    let text = model.tokenizer().and_then(|tokenizer| tokenizer.decode(&[token])).unwrap_or_default();
    if text.is_empty() { format!("token {token}") } else { format!("`{text}`") }
}

//! How fast a model reads and continues a text: tokens a second, warm, one text at a time.

use std::time::Instant;

use candle_core::{D, Device, Tensor};
use paring_data::Examples;
use paring_model::{Checkpoint, Forward, Rows, Tokens};

use crate::error::Result;
use crate::metrics::quantile;

/// Tokens of the text that is read: the first of the rows', repeated where there are fewer.
const PROMPT: usize = 128;

/// Tokens that are written after it.
const WRITTEN: usize = 16;

/// Timed runs after a warm one; the median counts.
const RUNS: usize = 5;

/// Tokens a second while a text is read (prefill) and while it is continued (decode).
pub(super) fn speeds(model: &Checkpoint, rows: Option<&Examples>) -> Result<[f64; 2]> {
    let ids: Vec<u32> = match rows.map(|rows| &rows.inputs) {
        Some(Rows::Tokens(rows)) => rows.iter().flat_map(|row| row.ids.iter().copied()).take(PROMPT).collect(),
        _ => Vec::new(),
    };
    let ids: Vec<u32> = if ids.is_empty() { vec![0; PROMPT] } else { ids.into_iter().cycle().take(PROMPT).collect() };
    let prompt = Tokens::new(Tensor::from_vec(ids, (1, PROMPT), &Device::Cpu)?);
    let network = model.network()?;
    let (mut reading, mut writing) = (Vec::new(), Vec::new());
    for _ in 0..=RUNS {
        let mut generation = network.generation()?;
        let start = Instant::now();
        let mut logits = generation.prefill(&prompt, &mut Forward::inference())?;
        reading.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        for _ in 0..WRITTEN {
            logits = generation.step(&logits.argmax(D::Minus1)?, &mut Forward::inference())?;
        }
        writing.push(start.elapsed().as_secs_f64());
    }
    Ok([rate(&reading, PROMPT)?, rate(&writing, WRITTEN)?])
}

/// By the median of all runs but the first.
fn rate(seconds: &[f64], tokens: usize) -> Result<f64> {
    Ok(tokens as f64 / quantile(seconds.get(1..).unwrap_or_default(), 0.5)?)
}

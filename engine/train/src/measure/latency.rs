//! How long one forward pass takes, warm: the network is built once, runs a few times untimed, then timed one by one.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use paring_data::Examples;
use paring_model::{Checkpoint, Forward, Input, Network, Rows, TokenRow};

use super::LatencySettings;
use crate::error::{Result, TrainError};
use crate::metrics::quantile;

/// Tokens in a row where neither rows nor the model say how many.
const LENGTH: usize = 128;

/// Median and 95th percentile of one forward pass, in ms.
pub(super) fn latency(model: &Checkpoint, rows: Option<&Examples>, settings: &LatencySettings) -> Result<[f64; 2]> {
    let network = model.network()?;
    let input = batch(model, rows, settings.batch)?;
    for _ in 0..settings.warmup {
        run(network.as_ref(), &input)?;
    }
    let begin = Instant::now();
    let mut times = Vec::with_capacity(settings.runs);
    while times.len() < settings.runs.max(1) && (times.len() < 5 || begin.elapsed() < settings.limit) {
        let start = Instant::now();
        run(network.as_ref(), &input)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok([quantile(&times, 0.5)?, quantile(&times, 0.95)?])
}

/// Rows in a batch where it is the speed of many rows that counts.
const MANY: usize = 64;

/// Rows a second in batches of [`MANY`], by the median time of one.
pub(super) fn throughput(model: &Checkpoint, rows: Option<&Examples>, settings: &LatencySettings) -> Result<f64> {
    let settings = LatencySettings { batch: MANY, warmup: settings.warmup.min(2), ..*settings };
    let [median, _] = latency(model, rows, &settings)?;
    Ok(rows_a_second(MANY, median))
}

/// The speed of that many rows in so many ms.
fn rows_a_second(rows: usize, milliseconds: f64) -> f64 {
    rows as f64 * 1e3 / milliseconds
}

/// One forward pass; waits until the device is done.
pub(super) fn run(network: &dyn Network, input: &Input) -> Result<()> {
    let output = network.forward(input, &mut Forward::inference())?;
    output.device().synchronize()?;
    Ok(())
}

/// `size` rows for the network: the first of `rows`, repeated where there are fewer, or zeros where there are none.
pub(super) fn batch(model: &Checkpoint, rows: Option<&Examples>, size: usize) -> Result<Input> {
    let Some(rows) = rows.filter(|rows| !rows.inputs.is_empty()) else {
        let config = model.config();
        let config = config.ok_or_else(|| TrainError::Mismatch("the model has no known family to run".to_owned()))?;
        if config.spec.reads_tokens() {
            return tokens(model, size);
        }
        let shape = [&[size], config.input.as_slice()].concat();
        return Ok(Input::Features(Tensor::zeros(shape, DType::F32, &Device::Cpu)?));
    };
    Ok(rows.inputs.batch(&(0..rows.inputs.len()).cycle().take(size).collect::<Vec<_>>())?)
}

/// Rows of the first token, as long as the model's rows may be.
fn tokens(model: &Checkpoint, size: usize) -> Result<Input> {
    let inputs = model.inputs();
    let text = inputs.and_then(|inputs| Some(inputs.text()?.max_length));
    let window = inputs.and_then(|inputs| Some(inputs.windows()?.1));
    let length = text.or(window).unwrap_or(LENGTH);
    let row = TokenRow { ids: vec![0; length], types: vec![0; length] };
    Ok(Rows::Tokens(vec![row; size]).batch(&(0..size).collect::<Vec<_>>())?)
}

#[cfg(test)]
mod tests {
    use super::{MANY, rows_a_second};

    #[test]
    fn a_batch_in_two_milliseconds() {
        assert_eq!(rows_a_second(MANY, 2.0), 32_000.0);
    }
}

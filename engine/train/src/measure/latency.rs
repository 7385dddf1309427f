//! How long one forward pass takes, warm: the network is built once, runs a few times untimed, then timed one by one.

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use paring_data::Examples;
use paring_model::{Checkpoint, Forward, Input, Network};

use super::LatencySettings;
use crate::error::{Result, TrainError};

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
    times.sort_by(f64::total_cmp);
    Ok([percentile(&times, 0.5), percentile(&times, 0.95)])
}

/// One forward pass; waits until the device is done.
pub(super) fn run(network: &dyn Network, input: &Input) -> Result<()> {
    let output = network.forward(input, &mut Forward::inference())?;
    output.device().synchronize()?;
    Ok(())
}

/// `size` rows for the network: the first of `rows`, repeated where there are fewer, or zeros where there are none.
pub(super) fn batch(model: &Checkpoint, rows: Option<&Examples>, size: usize) -> Result<Input> {
    let Some(rows) = rows.filter(|rows| rows.inputs.rows > 0) else {
        let config = model.config();
        let config = config.ok_or_else(|| TrainError::Mismatch("the model has no known family to run".to_owned()))?;
        let shape = [&[size], config.input.as_slice()].concat();
        return Ok(Input::Features(Tensor::zeros(shape, DType::F32, &Device::Cpu)?));
    };
    let width = rows.inputs.columns;
    let numbers: Vec<f32> = rows.inputs.data.iter().copied().cycle().take(size * width).collect();
    Ok(Input::Features(Tensor::from_vec(numbers, (size, width), &Device::Cpu)?))
}

/// Linear between the two nearest of sorted values, as numpy's default.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * sorted.len().saturating_sub(1) as f64;
    let at = |index: f64| sorted.get(index as usize).copied().unwrap_or(f64::NAN);
    at(place.floor()) + (at(place.ceil()) - at(place.floor())) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert_eq!(percentile(&[1.0, 2.0, 4.0], 0.5), 2.0);
        assert_eq!(percentile(&[1.0, 2.0], 0.5), 1.5);
        assert!((percentile(&[1.0, 2.0, 4.0], 0.95) - 3.8).abs() < 1e-12);
        assert_eq!(percentile(&[7.0], 0.95), 7.0);
    }
}

//! What a model costs, from its weights alone.

use candle_core::{DType, Tensor};
use paring_model::{Checkpoint, QuantizedWeight, Weight};

use crate::error::{Result, TrainError};

/// The cost of that name.
pub(super) fn cost(name: &str, model: &Checkpoint) -> Result<f64> {
    let outline = model.outline();
    match name {
        "size" => Ok(outline.file_size() as f64),
        "params" => Ok(outline.parameters() as f64),
        "macs" => Ok(outline.macs()? as f64),
        "nonzeros" => nonzeros(model),
        "bits_per_weight" => Ok(outline.weight_bytes() as f64 * 8.0 / outline.parameters() as f64),
        _ => Err(TrainError::Mismatch(format!("measure `{name}` is not a cost"))),
    }
}

/// Numbers in all weights that are not zero. A quantized one is zero when its integer stands for 0.0.
pub(super) fn nonzeros(model: &Checkpoint) -> Result<f64> {
    let mut count = 0.0;
    for name in model.names() {
        count += match model.weight(&name)? {
            Weight::Dense { tensor, .. } => dense_nonzeros(&tensor)?,
            Weight::Quantized(weight) => quantized_nonzeros(&weight) as f64,
            Weight::Blocks(weight) => dense_nonzeros(&weight.dequantize()?)?,
        };
    }
    Ok(count)
}

fn dense_nonzeros(tensor: &Tensor) -> Result<f64> {
    let numbers = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    Ok(numbers.iter().filter(|&&number| number != 0.0).count() as f64)
}

fn quantized_nonzeros(weight: &QuantizedWeight) -> usize {
    let share = weight.values.len().checked_div(weight.scales.len()).unwrap_or(0).max(1);
    let zero = |group: usize| weight.zero_points.get(group).copied().unwrap_or(0);
    weight
        .values
        .chunks(share)
        .enumerate()
        .map(|(group, values)| values.iter().filter(|&&value| value != zero(group)).count())
        .sum()
}

//! The engine's own receipt: what differs between the model before a stage and the one after.

use candle_core::DType;
use paring_model::{Checkpoint, ModelError, Weight};

use crate::report::{EngineReceipt, TensorReport};

/// Compares the model before with the model after.
pub(super) fn compare(before: &Checkpoint, after: &Checkpoint) -> Result<EngineReceipt, ModelError> {
    let names = after.names();
    let size = |model: &Checkpoint| if model.is_built() { model.outline().file_size() } else { 0 };
    let gone = |name: &String| names.binary_search(name).is_err();
    Ok(EngineReceipt {
        changed: changed(before, after)?,
        removed: before.names().into_iter().filter(gone).collect(),
        inputs_changed: before.inputs() != after.inputs(),
        size_before: size(before),
        size_after: size(after),
        degenerate: None,
        tensors: names.iter().map(|name| tensor_report(after, name)).collect::<Result<_, _>>()?,
    })
}

fn changed(before: &Checkpoint, after: &Checkpoint) -> Result<Vec<String>, ModelError> {
    let mut found = before.changed_tensors(after)?;
    found.retain(|name| after.names().binary_search(name).is_ok());
    Ok(found)
}

fn tensor_report(model: &Checkpoint, name: &str) -> Result<TensorReport, ModelError> {
    let tensor = model.tensor(name)?;
    let values = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    Ok(TensorReport {
        name: name.to_owned(),
        shape: tensor.dims().to_vec(),
        storage: storage(&model.weight(name)?, tensor.dtype()),
        zeros: values.iter().filter(|value| **value == 0.0).count() as u64,
        // An empty tensor has neither; infinity is no number that a report can hold.
        min: values.iter().copied().reduce(f32::min).unwrap_or(0.0),
        max: values.iter().copied().reduce(f32::max).unwrap_or(0.0),
    })
}

fn storage(weight: &Weight, dtype: DType) -> String {
    let dense = dtype.as_str().to_uppercase();
    match weight {
        Weight::Quantized(quantized) => format!("int{}", quantized.scheme.bits),
        Weight::Blocks(blocks) => blocks.kind.name().to_owned(),
        Weight::Dense { masked: true, .. } => format!("{dense} masked"),
        _ => dense,
    }
}

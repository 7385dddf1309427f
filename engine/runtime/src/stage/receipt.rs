//! The engine's own receipt: what differs between the model before a stage and the one after.

use paring_model::{Checkpoint, ModelError, WeightOutline};

use crate::report::{EngineReceipt, TensorReport};

/// Numbers that are looked at side by side.
const LANES: usize = 16;

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
    let mut zeros = 0;
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    model.in_parts(name, &mut |numbers| {
        zeros += numbers.iter().filter(|number| **number == 0.0).count() as u64;
        let (least, most) = extent(numbers);
        (min, max) = (min.min(least), max.max(most));
    })?;
    // An empty tensor has neither; infinity is no number that a report can hold.
    let (min, max) = if min <= max { (min, max) } else { (0.0, 0.0) };
    let outline = model.weight_outline(name).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })?;
    Ok(TensorReport {
        name: name.to_owned(),
        shape: outline.shape().to_vec(),
        storage: storage(&outline),
        zeros,
        min,
        max,
    })
}

/// The least and the largest number, many at a time; infinity the wrong way round where there is none.
fn extent(numbers: &[f32]) -> (f32, f32) {
    let (mut least, mut most) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let (chunks, rest) = numbers.as_chunks::<LANES>();
    for chunk in chunks.iter().map(<[f32; LANES]>::as_slice).chain([rest]) {
        for ((least, most), number) in least.iter_mut().zip(&mut most).zip(chunk) {
            *least = least.min(*number);
            *most = most.max(*number);
        }
    }
    (least.into_iter().fold(f32::INFINITY, f32::min), most.into_iter().fold(f32::NEG_INFINITY, f32::max))
}

fn storage(weight: &WeightOutline) -> String {
    match weight {
        WeightOutline::Quantized { scheme, .. } => format!("int{}", scheme.bits),
        WeightOutline::Blocks { kind, .. } => kind.name().to_owned(),
        WeightOutline::Dense { dtype, masked: true, .. } => format!("{dtype} masked"),
        WeightOutline::Dense { dtype, .. } => dtype.clone(),
    }
}

//! A directory with config.json, model.safetensors and paring.json.

use std::path::Path;

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device};
use paring_model::families::beyond_transformers;
use paring_model::{Checkpoint, ModelError, Rows, Weight};

use super::{ExportError, FloatType, Place, SafetensorsSettings};
use crate::report::ExportReport;

/// See [`super::export`].
pub(super) fn write(
    settings: &SafetensorsSettings,
    model: &Checkpoint,
    probe: Option<&Rows>,
    place: &Place<'_>,
) -> Result<ExportReport, ExportError> {
    let converted = settings.dtype.map(|dtype| converted(model, dtype)).transpose()?;
    let model = converted.as_ref().unwrap_or(model);
    let unfinished = place.output.unfinished()?;
    match settings.layout {
        Some(layout) => model.save_sparse(unfinished.path(), layout)?,
        None => model.save(unfinished.path())?,
    }
    let (tensors, opened_by) = open_with_stock_loaders(&unfinished.path().join("model.safetensors"))?;
    let reopened = Checkpoint::open(unfinished.path())?;
    let (parity_rows, parity_difference) = parity(model, &reopened, probe)?;
    if parity_difference != 0.0 {
        return Err(ExportError::Parity(parity_difference));
    }
    let dense = model.outline().file_size();
    let (mut bytes, mut notes) = (dense, Vec::new());
    if let Some(layout) = settings.layout {
        same_weights(model, &reopened)?;
        bytes = file_size(&unfinished.path().join("model.safetensors"))?;
        let share = 100.0 * bytes as f64 / dense.max(1) as f64;
        notes.push(format!(
            "in `{}` the weights take {share:.1}% of the bytes that they take with all zeros",
            layout.name()
        ));
    }
    notes.extend(beyond_transformers(&model.outline()));
    place.output.publish(unfinished, place.directory)?;
    Ok(ExportReport {
        format: "safetensors".to_owned(),
        path: place.directory.to_owned(),
        bytes,
        opened_by,
        tensors,
        parity_rows,
        parity_difference,
        notes,
    })
}

/// Sparse weights are read back bit for bit, and their masks with them.
fn same_weights(model: &Checkpoint, reopened: &Checkpoint) -> Result<(), ExportError> {
    match model.changed_tensors(reopened)?.first() {
        None => Ok(()),
        Some(name) => {
            let found = format!("tensor `{name}` is another one");
            Err(ExportError::Differs { loader: "paring".to_owned(), found })
        }
    }
}

fn file_size(file: &Path) -> Result<u64, ExportError> {
    let unreadable = |source| ModelError::Io { action: "read", path: file.to_owned(), source };
    Ok(file.metadata().map_err(unreadable)?.len())
}

/// The model with float weights in another type.
fn converted(model: &Checkpoint, dtype: FloatType) -> Result<Checkpoint, ExportError> {
    let dtype = match dtype {
        FloatType::F16 => DType::F16,
        FloatType::Bf16 => DType::BF16,
        FloatType::F32 => DType::F32,
    };
    let mut converted = model.clone();
    for name in model.names() {
        let Weight::Dense { tensor, masked } = model.weight(&name)? else { continue };
        if tensor.dtype().is_float() && tensor.dtype() != dtype {
            let tensor = tensor.to_dtype(dtype).map_err(ModelError::from)?;
            converted.set_weight(&name, Weight::Dense { tensor, masked });
        }
    }
    Ok(converted)
}

/// Opens the file with the reference reader, and its tensors with candle's own where that knows every storage type in it
/// (it does not know 8-bit integers). How many tensors there are, and who opened the file.
fn open_with_stock_loaders(file: &Path) -> Result<(usize, Vec<String>), ExportError> {
    let read = mapped(file)?;
    let tensors = read.tensors();
    let mut opened_by = vec!["paring".to_owned(), "safetensors".to_owned()];
    if tensors.iter().all(|(_, tensor)| DType::try_from(tensor.dtype()).is_ok()) {
        let mut opened = mapped(file)?;
        let mut touched = 0;
        for (name, tensor) in &tensors {
            opened.load(name, &Device::Cpu).map_err(refused)?;
            touched += tensor.data().len();
            if touched > TOUCHED {
                // A new map lets the memory of the old one go.
                (opened, touched) = (mapped(file)?, 0);
            }
        }
        opened_by.push("candle-core".to_owned());
    }
    Ok((tensors.len(), opened_by))
}

/// Bytes of a mapped file that may lie in memory.
const TOUCHED: usize = 1 << 27;

/// The file as candle maps it: its header is read by the reference reader.
#[allow(unsafe_code, reason = "candle's loader maps files, and a large file is not read as a whole")]
fn mapped(file: &Path) -> Result<MmapedSafetensors, ExportError> {
    // SAFETY: The file lies in a new directory of this run, which nobody else writes to.
    unsafe { MmapedSafetensors::new(file) }.map_err(refused)
}

fn refused(error: candle_core::Error) -> ExportError {
    ExportError::Stock(error.to_string())
}

/// Rows compared and the largest difference; no rows where the model cannot run (a file of tensors).
fn parity(model: &Checkpoint, reopened: &Checkpoint, probe: Option<&Rows>) -> Result<(usize, f64), ExportError> {
    let Some(probe) = probe.filter(|_| model.config().is_some()) else { return Ok((0, 0.0)) };
    let values = |model: &Checkpoint| -> Result<Vec<f32>, ExportError> {
        let outputs = model.predict(probe, probe.len().max(1))?;
        let flat = outputs.flatten_all().and_then(|outputs| outputs.to_dtype(DType::F32)?.to_vec1::<f32>());
        Ok(flat.map_err(ModelError::from)?)
    };
    let (ours, theirs) = (values(model)?, values(reopened)?);
    let differences = ours.iter().zip(&theirs).map(|(a, b)| f64::from((a - b).abs()));
    // Total order puts NaN last: it must not pass for "no difference".
    Ok((probe.len(), differences.max_by(f64::total_cmp).unwrap_or(0.0)))
}

//! Exports: written aside, opened again by stock loaders and by Paring, compared, and only then put in place.

use std::path::Path;

use candle_core::{DType, Device};
use paring_model::{Checkpoint, Rows};

use crate::output::{OutputDirectory, OutputError};
use crate::report::ExportReport;

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The output directory.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The model cannot be saved or opened again.
    #[error(transparent)]
    Model(#[from] paring_model::ModelError),
    /// A stock loader refuses the file.
    #[error("a stock loader does not open the exported file: {0}")]
    Stock(String),
    /// The reopened model says something else.
    #[error("the reopened export differs from the model by up to {0:e} on the probe rows")]
    Parity(f64),
}

/// Writes a safetensors directory `name`, proves that it opens and predicts the same, and puts it in place.
///
/// # Errors
/// When it cannot be written, opened, or predicts anything else; nothing is put in place then.
pub fn safetensors(
    model: &Checkpoint,
    probe: Option<&Rows>,
    output: &OutputDirectory,
    name: &str,
) -> Result<ExportReport, ExportError> {
    let unfinished = output.unfinished()?;
    model.save(unfinished.path())?;
    let (tensors, opened_by) = open_with_stock_loaders(&unfinished.path().join("model.safetensors"))?;
    let reopened = Checkpoint::open(unfinished.path())?;
    let (parity_rows, parity_difference) = parity(model, &reopened, probe)?;
    if parity_difference != 0.0 {
        return Err(ExportError::Parity(parity_difference));
    }
    let bytes = model.outline().file_size();
    output.publish(unfinished, name)?;
    Ok(ExportReport {
        format: "safetensors".to_owned(),
        path: name.to_owned(),
        bytes,
        opened_by,
        tensors,
        parity_rows,
        parity_difference,
    })
}

/// Opens the file with the reference reader, and with candle's own where that knows every storage type in it (it does
/// not know 8-bit integers). How many tensors there are, and who opened the file.
fn open_with_stock_loaders(file: &Path) -> Result<(usize, Vec<String>), ExportError> {
    let refused = |error: safetensors::SafeTensorError| ExportError::Stock(error.to_string());
    let bytes = std::fs::read(file).map_err(|error| ExportError::Stock(error.to_string()))?;
    let read = safetensors::SafeTensors::deserialize(&bytes).map_err(refused)?;
    let mut opened_by = vec!["paring".to_owned(), "safetensors".to_owned()];
    if read.iter().all(|(_, tensor)| candle_core::DType::try_from(tensor.dtype()).is_ok()) {
        candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
            .map_err(|error| ExportError::Stock(error.to_string()))?;
        opened_by.push("candle-core".to_owned());
    }
    Ok((read.len(), opened_by))
}

/// Rows compared and the largest difference; no rows where the model cannot run (a file of tensors).
fn parity(model: &Checkpoint, reopened: &Checkpoint, probe: Option<&Rows>) -> Result<(usize, f64), ExportError> {
    let Some(probe) = probe.filter(|_| model.config().is_some()) else { return Ok((0, 0.0)) };
    let values = |model: &Checkpoint| -> Result<Vec<f32>, ExportError> {
        let outputs = model.predict(probe, probe.len().max(1))?;
        let flat = outputs.flatten_all().and_then(|outputs| outputs.to_dtype(DType::F32)?.to_vec1::<f32>());
        Ok(flat.map_err(paring_model::ModelError::from)?)
    };
    let (ours, theirs) = (values(model)?, values(reopened)?);
    let differences = ours.iter().zip(&theirs).map(|(a, b)| f64::from((a - b).abs()));
    // Total order puts NaN last: it must not pass for "no difference".
    Ok((probe.len(), differences.max_by(f64::total_cmp).unwrap_or(0.0)))
}

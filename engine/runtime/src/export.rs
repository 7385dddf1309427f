//! Exports: written aside, opened again by stock loaders and by Paring, compared, and only then put in place.

mod check;
mod gguf;
mod safetensors;
mod stock;

use paring_model::{Checkpoint, Rows, SparseLayout};
use paring_schema::language::Export;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::{OutputDirectory, OutputError};
use crate::report::ExportReport;

pub(crate) use check::{notes, problems};

/// Settings of a safetensors directory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SafetensorsSettings {
    /// The type that float weights are written in; as they are where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dtype: Option<FloatType>,
    /// How matrices with a mask are written without their zeros; with them where it is not given. compressed-tensors
    /// 0.14 reads these files (with transformers 4 `sparse-24-bitmask` alone), and Paring; later versions do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) layout: Option<SparseLayout>,
}

/// Settings of a GGUF file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GgufSettings {
    /// What the file calls the model; the recipe's name where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) name: Option<String>,
}

/// A type of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FloatType {
    /// 16 bits, 5 of them for the exponent.
    F16,
    /// 16 bits, 8 of them for the exponent.
    Bf16,
    /// 32 bits.
    F32,
}

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
    /// Another loader makes something else of the file.
    #[error("`{loader}` makes something else of the exported file: {found}")]
    Differs {
        /// Who read it.
        loader: String,
        /// How far it is off.
        found: String,
    },
    /// The settings are not those of the format.
    #[error("the settings of the export: {0}")]
    Settings(String),
}

/// Where an export goes, and what it is called.
pub(crate) struct Place<'a> {
    /// The output directory.
    pub(crate) output: &'a OutputDirectory,
    /// Its directory below that.
    pub(crate) directory: &'a str,
    /// The recipe's name.
    pub(crate) recipe: &'a str,
}

/// Writes one export, proves that it opens and predicts the same, and puts it in place.
///
/// # Errors
/// When it cannot be written, opened, or predicts anything else; nothing is put in place then.
pub(crate) fn export(
    export: &Export,
    model: &Checkpoint,
    probe: Option<&Rows>,
    place: &Place<'_>,
) -> Result<ExportReport, ExportError> {
    match export.format.as_str() {
        "gguf" => gguf::write(&settings(&export.settings)?, model, probe, place),
        _ => safetensors::write(&settings(&export.settings)?, model, probe, place),
    }
}

fn settings<T: serde::de::DeserializeOwned>(settings: &Value) -> Result<T, ExportError> {
    serde_json::from_value(settings.clone()).map_err(|error| ExportError::Settings(error.to_string()))
}

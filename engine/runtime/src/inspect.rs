//! What a model is made of, from its headers: family, sites, units, tensors, sizes.

use std::path::Path;

use paring_model::{Checkpoint, Outline, Site, UnitGroup, WeightOutline};
use serde::Serialize;

use crate::quicklook::{LookError, open};

/// A model as data.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// The family's name; `None` for tensors of no known family.
    pub family: Option<String>,
    /// `classify`, `regress`, ...
    pub task: Option<paring_model::Task>,
    /// Shape of one input row as the network sees it.
    pub input: Vec<usize>,
    /// Raw columns that the model reads.
    pub columns: Vec<String>,
    /// Class names, for a classifier.
    pub labels: Vec<String>,
    /// Numbers in all weights.
    pub parameters: u64,
    /// Bytes of the weights file.
    pub file_size: u64,
    /// Multiply-accumulate operations for one row; `None` when the family is unknown.
    pub macs: Option<u64>,
    /// Linear and convolution layers, in forward order: what `targets` and `ignore` match.
    pub sites: Vec<Site>,
    /// Structures that can be removed whole.
    pub units: Vec<UnitGroup>,
    /// Every tensor.
    pub tensors: Vec<TensorLine>,
}

/// One tensor as data.
#[derive(Debug, Clone, Serialize)]
pub struct TensorLine {
    /// Its name.
    pub name: String,
    /// The float tensor's shape.
    pub shape: Vec<usize>,
    /// Its storage: `F32`, `F32 masked`, `int4 group 32`, `int8, inputs int8 fixed`, `Q4_K, read as F32`.
    pub storage: String,
}

/// Reads the headers of a model: a directory, a file, or an address of a hub.
///
/// # Errors
/// When it cannot be read or its tensors do not fit its configuration.
pub fn inspect(path: &Path) -> Result<Inspection, LookError> {
    let model = open(path)?;
    let outline = model.outline();
    let known = outline.config.is_some();
    Ok(Inspection {
        family: outline.config.as_ref().map(|config| config.spec.family().to_owned()),
        task: outline.outputs.as_ref().map(paring_model::Outputs::task),
        input: outline.inputs.as_ref().map(|inputs| inputs.shape.clone()).unwrap_or_default(),
        columns: columns(&outline),
        labels: labels(&outline),
        parameters: outline.parameters(),
        file_size: outline.file_size(),
        macs: if known { Some(outline.macs()?) } else { None },
        sites: outline.sites()?,
        units: outline.units()?,
        tensors: outline.weights.iter().map(|(name, weight)| tensor_line(&model, name, weight)).collect(),
    })
}

fn columns(outline: &Outline) -> Vec<String> {
    let inputs = outline.inputs.as_ref();
    inputs.map(|inputs| inputs.columns.iter().map(|column| column.name.clone()).collect()).unwrap_or_default()
}

fn labels(outline: &Outline) -> Vec<String> {
    match &outline.outputs {
        Some(paring_model::Outputs::Classify { labels, .. }) => labels.clone(),
        _ => Vec::new(),
    }
}

fn tensor_line(model: &Checkpoint, name: &str, weight: &WeightOutline) -> TensorLine {
    let stored = model.stored_type(name);
    let storage = match weight {
        WeightOutline::Dense { dtype, .. } if stored.is_some() => {
            format!("{}, read as {dtype}", stored.unwrap_or_default())
        }
        WeightOutline::Dense { dtype, masked: false, .. } => dtype.clone(),
        WeightOutline::Dense { dtype, masked: true, .. } => format!("{dtype} masked"),
        WeightOutline::Quantized { scheme, activation: Some(input), .. } => {
            let range = match input.range {
                paring_model::InputRange::Fixed => "fixed",
                paring_model::InputRange::ByRow => "by row",
            };
            format!("int{}, inputs int{} {range}", scheme.bits, input.bits)
        }
        WeightOutline::Quantized { scheme, activation: None, .. } => {
            let shared = match scheme.granularity {
                paring_model::Granularity::Tensor => "per tensor".to_owned(),
                paring_model::Granularity::Channel => "per channel".to_owned(),
                paring_model::Granularity::Group(size) => format!("group {size}"),
            };
            format!("int{} {shared}", scheme.bits)
        }
    };
    TensorLine { name: name.to_owned(), shape: weight.shape().to_vec(), storage }
}

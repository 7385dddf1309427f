//! Units: structures that can be removed whole (neurons, channels), as a table of slices. Structured pruning is one
//! generic function over this table.

use candle_core::Tensor;
use serde::Serialize;

use crate::checkpoint::{Checkpoint, Weight};
use crate::error::{ModelError, Result};
use crate::families::settle;
use crate::outline::{Outline, WeightOutline};

/// A group of units of one kind that are removed one by one: the neurons of a hidden layer, the channels of a
/// convolution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnitGroup {
    /// The site whose outputs these are: `layers.0`.
    pub site: String,
    /// "neurons" or "channels".
    pub kind: &'static str,
    /// How many units there are.
    pub count: usize,
    /// Which parts of which tensors belong to a unit; the first is the producing weight (axis 0).
    pub slices: Vec<Slice>,
}

/// Unit i owns `width` entries from `i * width` on `axis` of `tensor`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    /// The tensor's name.
    pub tensor: String,
    /// The dimension.
    pub axis: usize,
    /// Entries a unit on that dimension (more than one where a flattened image follows a convolution).
    pub width: usize,
}

/// Removes all units of `group` but `keep` (ascending indices) and rewrites the configuration.
///
/// # Errors
/// When a tensor is quantized, or `keep` is empty, unsorted or out of range.
pub fn keep_units(model: &mut Checkpoint, group: &UnitGroup, keep: &[usize]) -> Result<()> {
    check_keep(group, keep)?;
    let mut kept = Vec::with_capacity(group.slices.len());
    for slice in &group.slices {
        let Weight::Dense { tensor, masked } = model.weight(&slice.tensor)? else {
            return Err(ModelError::Quantized { name: slice.tensor.clone() });
        };
        check_slice(group, slice, tensor.dims())?;
        kept.push(Weight::Dense { tensor: keep_entries(&tensor, slice, keep)?, masked });
    }
    for (slice, weight) in group.slices.iter().zip(kept) {
        model.set_weight(&slice.tensor, weight);
    }
    if let Some(mut config) = model.config().cloned() {
        settle(&mut config, &model.outline().weights);
        model.set_config(config);
    }
    Ok(())
}

/// The same on an outline: what [`keep_units`] will do to names, shapes and configuration when it keeps `kept` units.
///
/// # Errors
/// When a tensor is quantized or `kept` is zero or more than there are.
pub fn keep_units_outline(outline: &mut Outline, group: &UnitGroup, kept: usize) -> Result<()> {
    if kept == 0 || kept > group.count {
        return Err(refuse(group, &format!("{kept} units were to be kept, expected 1 to {}", group.count)));
    }
    let mut weights = outline.weights.clone();
    for slice in &group.slices {
        let missing = || ModelError::MissingTensor { name: slice.tensor.clone() };
        let WeightOutline::Dense { shape, .. } = weights.get_mut(&slice.tensor).ok_or_else(missing)? else {
            return Err(ModelError::Quantized { name: slice.tensor.clone() });
        };
        check_slice(group, slice, shape)?;
        if let Some(length) = shape.get_mut(slice.axis) {
            *length = kept * slice.width;
        }
    }
    outline.weights = weights;
    if let Some(config) = &mut outline.config {
        settle(config, &outline.weights);
    }
    Ok(())
}

/// The entries of the kept units, in their order.
fn keep_entries(tensor: &Tensor, slice: &Slice, keep: &[usize]) -> Result<Tensor> {
    let entries = keep.iter().flat_map(|unit| unit * slice.width..(unit + 1) * slice.width);
    let entries: Vec<u32> = entries.map(|entry| entry as u32).collect();
    let entries = Tensor::new(entries, tensor.device())?;
    Ok(tensor.contiguous()?.index_select(&entries, slice.axis)?)
}

fn check_keep(group: &UnitGroup, keep: &[usize]) -> Result<()> {
    let ascending = keep.is_sorted_by(|one, next| one < next);
    match keep.last() {
        None => Err(refuse(group, "no units were to be kept, expected at least 1")),
        Some(_) if !ascending => Err(refuse(group, "the units to keep are not in ascending order")),
        Some(&last) if last >= group.count => {
            Err(refuse(group, &format!("unit {last} was to be kept, but there are {}", group.count)))
        }
        Some(_) => Ok(()),
    }
}

/// A tensor holds exactly the group's units on the slice's axis.
fn check_slice(group: &UnitGroup, slice: &Slice, shape: &[usize]) -> Result<()> {
    let expected = group.count * slice.width;
    if shape.get(slice.axis) == Some(&expected) {
        return Ok(());
    }
    let mut wanted = shape.to_vec();
    if let Some(length) = wanted.get_mut(slice.axis) {
        *length = expected;
    }
    Err(ModelError::Shape { name: slice.tensor.clone(), found: shape.to_vec(), expected: wanted })
}

fn refuse(group: &UnitGroup, reason: &str) -> ModelError {
    ModelError::Unsupported(format!("cannot remove {} of `{}`: {reason}", group.kind, group.site))
}

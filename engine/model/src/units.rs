//! Units: structures that can be removed whole (neurons, channels, heads), as a table of slices. Structured pruning is one
//! generic function over this table.

use std::collections::BTreeMap;

use candle_core::Tensor;
use serde::Serialize;

use crate::checkpoint::{Checkpoint, Weight};
use crate::error::{ModelError, Result};
use crate::families::settle;
use crate::outline::{Outline, WeightOutline};
use crate::outputs::Outputs;

/// A group of units of one kind that are removed one by one: the neurons of a hidden layer, the channels of a
/// convolution, the heads of an attention, the numbers of the stream between layers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnitGroup {
    /// The site whose outputs these are: `layers.0`.
    pub site: String,
    /// "neurons", "channels", "heads", "kv_groups" (a key-value head with the query heads that share it) or "dimensions"
    /// (of the stream).
    pub kind: &'static str,
    /// How many units there are.
    pub count: usize,
    /// Which parts of which tensors belong to a unit; the first is the producing weight (axis 0; for dimensions a table,
    /// axis 1).
    pub slices: Vec<Slice>,
}

/// Unit i owns `width` entries from `offset + i * width` on `axis` of `tensor`. Where one tensor holds several matrices
/// side by side (query, key and value in one), each has a slice of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slice {
    /// The tensor's name.
    pub tensor: String,
    /// The dimension.
    pub axis: usize,
    /// Entries a unit on that dimension (more than one where a flattened image follows a convolution).
    pub width: usize,
    /// Entries before those of the first unit.
    pub offset: usize,
}

/// Removes all units of `group` but `keep` (ascending indices) and rewrites the configuration.
///
/// # Errors
/// When a tensor is quantized, or `keep` is empty, unsorted or out of range.
pub fn keep_units(model: &mut Checkpoint, group: &UnitGroup, keep: &[usize]) -> Result<()> {
    check_keep(group, keep)?;
    let mut kept: BTreeMap<&str, (Tensor, bool)> = BTreeMap::new();
    for (name, axis) in places(group) {
        let (tensor, masked) = match kept.get(name) {
            Some((tensor, masked)) => (tensor.clone(), *masked),
            None => dense(model, name)?,
        };
        let entries = remaining(group, name, axis, tensor.dims(), &|unit| keep.binary_search(&unit).is_ok())?;
        let entries = Tensor::new(entries, tensor.device())?;
        kept.insert(name, (tensor.contiguous()?.index_select(&entries, axis)?, masked));
    }
    for (name, (tensor, masked)) in kept {
        model.set_weight(name, Weight::Dense { tensor, masked });
    }
    if let Some(mut config) = model.config().cloned() {
        let mut outputs = model.outputs().cloned();
        settle(&mut config, &model.outline().weights);
        settle_outputs(&mut outputs, config.output);
        model.set_config(config);
        outputs.into_iter().for_each(|outputs| model.set_outputs(outputs));
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
    for (name, axis) in places(group) {
        let missing = || ModelError::MissingTensor { name: name.to_owned() };
        let WeightOutline::Dense { shape, .. } = weights.get_mut(name).ok_or_else(missing)? else {
            return Err(ModelError::Quantized { name: name.to_owned() });
        };
        let entries = remaining(group, name, axis, shape, &|unit| unit < kept)?;
        if let Some(length) = shape.get_mut(axis) {
            *length = entries.len();
        }
    }
    outline.weights = weights;
    if let Some(config) = &mut outline.config {
        settle(config, &outline.weights);
        settle_outputs(&mut outline.outputs, config.output);
    }
    Ok(())
}

/// An embedding has as many numbers as the head gives.
fn settle_outputs(outputs: &mut Option<Outputs>, output: usize) {
    if let Some(Outputs::Embed { width, .. }) = outputs {
        *width = output;
    }
}

/// The tensors and dimensions that the group's slices lie on, each once, in their order.
fn places(group: &UnitGroup) -> Vec<(&str, usize)> {
    let mut places: Vec<(&str, usize)> = Vec::new();
    for slice in &group.slices {
        let place = (slice.tensor.as_str(), slice.axis);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

fn dense(model: &Checkpoint, name: &str) -> Result<(Tensor, bool)> {
    match model.weight(name)? {
        Weight::Dense { tensor, masked } => Ok((tensor, masked)),
        Weight::Quantized(_) | Weight::Blocks(_) => Err(ModelError::Quantized { name: name.to_owned() }),
    }
}

/// The entries on one dimension of a tensor that belong to no unit, or to one that stays.
fn remaining(
    group: &UnitGroup,
    tensor: &str,
    axis: usize,
    shape: &[usize],
    stays: &dyn Fn(usize) -> bool,
) -> Result<Vec<u32>> {
    let slices: Vec<&Slice> =
        group.slices.iter().filter(|slice| slice.tensor == tensor && slice.axis == axis).collect();
    let length = check_slices(group, &slices, tensor, axis, shape)?;
    let goes = |entry: usize| {
        let owned = |slice: &Slice| entry.checked_sub(slice.offset)?.checked_div(slice.width);
        let mut units = slices.iter().filter_map(|slice| owned(slice)).filter(|&unit| unit < group.count);
        units.any(|unit| !stays(unit))
    };
    Ok((0..length).filter(|&entry| !goes(entry)).map(|entry| entry as u32).collect())
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

/// The dimension is as long as the slices that lie on it say: exactly so where one slice covers it, at least so where
/// a tensor holds more than the units. Gives its length.
fn check_slices(group: &UnitGroup, slices: &[&Slice], tensor: &str, axis: usize, shape: &[usize]) -> Result<usize> {
    let end = |slice: &&Slice| slice.offset.saturating_add(group.count.saturating_mul(slice.width));
    let needed = slices.iter().map(end).max().unwrap_or(0);
    let fused = slices.len() > 1 || slices.iter().any(|slice| slice.offset > 0);
    match shape.get(axis) {
        Some(&length) if length == needed || fused && length > needed => Ok(length),
        _ => {
            let mut expected = shape.to_vec();
            expected.get_mut(axis).into_iter().for_each(|length| *length = needed);
            Err(ModelError::Shape { name: tensor.to_owned(), found: shape.to_vec(), expected })
        }
    }
}

fn refuse(group: &UnitGroup, reason: &str) -> ModelError {
    ModelError::Unsupported(format!("cannot remove {} of `{}`: {reason}", group.kind, group.site))
}

//! Units: structures that can be removed whole (neurons, channels), as a table of slices. Structured pruning is one
//! generic function over this table.

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::outline::Outline;

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
    let _ = (model, group, keep);
    todo!()
}

/// The same on an outline: what [`keep_units`] will do to names, shapes and configuration when it keeps `kept` units.
///
/// # Errors
/// When a tensor is quantized or `kept` is zero or more than there are.
pub fn keep_units_outline(outline: &mut Outline, group: &UnitGroup, kept: usize) -> Result<()> {
    let _ = (outline, group, kept);
    todo!()
}

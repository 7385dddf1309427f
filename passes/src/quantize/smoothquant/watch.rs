//! What the calibration rows show at the input of each group.

use candle_core::{DType, Tensor};
use paring_model::ModelError;
use paring_model::tap::Observer;

use super::groups::Group;
use crate::calibration::Calibration;
use crate::context::Cx;
use crate::error::PassError;

/// Rows of an input that a search computes with.
const ROWS: usize = 256;

/// The input of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// The largest magnitude of each channel.
    pub(super) largest: Vec<f32>,
    /// The first rows, one after the other, where they are asked for.
    pub(super) rows: Vec<f32>,
}

/// Watches the calibration rows.
///
/// # Errors
/// When an input is not finite, or the model does not run.
pub(super) fn watch(
    cx: &Cx<'_>,
    calibration: &Calibration,
    groups: &[Group],
    keep: bool,
) -> Result<Vec<Seen>, PassError> {
    let seen = vec![Seen::default(); groups.len()];
    let mut watcher = Watcher { groups, seen, keep: if keep { ROWS } else { 0 } };
    calibration.watch(cx, &mut watcher)?;
    Ok(watcher.seen)
}

/// Bytes that watching takes for a group.
pub(super) fn memory(group: &Group, keep: bool) -> u64 {
    let channels = group.sites.first().map_or(0, |site| site.in_features);
    (channels * if keep { 1 + ROWS } else { 1 } * size_of::<f32>()) as u64
}

struct Watcher<'a> {
    groups: &'a [Group],
    seen: Vec<Seen>,
    keep: usize,
}

impl Observer for Watcher<'_> {
    fn see(&mut self, name: &str, input: &Tensor) -> paring_model::Result<()> {
        let place = self.groups.iter().position(|group| group.name() == name);
        let Some(seen) = place.and_then(|place| self.seen.get_mut(place)) else { return Ok(()) };
        let channels = input.dim(1)?;
        let numbers = input.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if numbers.iter().any(|number| !number.is_finite()) {
            let reason = format!("the input of `{name}` is not finite in the calibration rows");
            return Err(ModelError::Unsupported(reason));
        }
        seen.largest.resize(channels, 0.0);
        for row in numbers.chunks(channels.max(1)) {
            for (largest, number) in seen.largest.iter_mut().zip(row) {
                *largest = largest.max(number.abs());
            }
        }
        let missing = (self.keep * channels).saturating_sub(seen.rows.len());
        seen.rows.extend(numbers.iter().take(missing));
        Ok(())
    }
}

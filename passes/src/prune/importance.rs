//! How important the neurons of a hidden layer are.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use paring_model::tap::Observer;
use paring_model::{Checkpoint, ModelError, UnitGroup};

use crate::calibration::Calibration;
use crate::context::Cx;
use crate::error::PassError;

/// L1 norm of the weights that produce each unit (Li et al. 2017, section 3.1).
///
/// # Errors
/// When the producing weight cannot be read or holds a number that is not finite.
pub(crate) fn by_magnitude(model: &Checkpoint, group: &UnitGroup) -> Result<Vec<f64>, PassError> {
    let name = format!("{}.weight", group.site);
    let weight = model.tensor(&name)?.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2::<f32>()?;
    let norm = |row: &Vec<f32>| row.iter().map(|weight| f64::from(weight.abs())).sum();
    let scores: Vec<f64> = weight.iter().map(norm).collect();
    if scores.iter().all(|score| score.is_finite()) {
        return Ok(scores);
    }
    Err(PassError::Failed(format!("tensor `{name}` holds a number that is not finite")))
}

/// Mean absolute activation of each unit, as the layer after it sees it, over the calibration rows; a list for each
/// group.
///
/// # Errors
/// When the model does not run, or gives an activation that is not finite.
pub(crate) fn by_activation(
    cx: &Cx<'_>,
    calibration: &Calibration,
    groups: &[UnitGroup],
) -> Result<Vec<Vec<f64>>, PassError> {
    let readers = groups.iter().map(reader).collect::<Result<Vec<_>, _>>()?;
    let mut sums = Sums(readers.iter().map(|name| (name.clone(), Vec::new())).collect());
    calibration.watch(cx, &mut sums)?;
    let rows = calibration.rows as f64;
    let scores = groups.iter().zip(&readers).map(|(group, reader)| {
        let sums = sums.0.get(reader).map(Vec::as_slice).unwrap_or_default();
        let scores: Vec<f64> = sums.iter().map(|sum| sum / rows).collect();
        let sound = scores.len() == group.count && scores.iter().all(|score| score.is_finite());
        let message = || format!("the activations of `{}` are not finite in the calibration rows", group.site);
        if sound { Ok(scores) } else { Err(PassError::Failed(message())) }
    });
    scores.collect()
}

/// The site that reads the units: the one whose weight they are columns of.
fn reader(group: &UnitGroup) -> Result<String, PassError> {
    let columns = group.slices.iter().filter(|slice| slice.axis == 1);
    let mut sites = columns.filter_map(|slice| slice.tensor.strip_suffix(".weight"));
    let message = || format!("no layer reads the neurons of `{}`", group.site);
    sites.next().map(str::to_owned).ok_or_else(|| PassError::Failed(message()))
}

/// Sums of absolute inputs, column by column.
struct Sums(BTreeMap<String, Vec<f64>>);

impl Observer for Sums {
    fn see(&mut self, name: &str, input: &Tensor) -> paring_model::Result<()> {
        let Some(sums) = self.0.get_mut(name) else { return Ok(()) };
        for row in input.to_dtype(DType::F32)?.to_vec2::<f32>()? {
            sums.resize(row.len(), 0.0);
            sums.iter_mut().zip(&row).for_each(|(sum, value)| *sum += f64::from(value.abs()));
        }
        if sums.iter().all(|sum| sum.is_finite()) {
            return Ok(());
        }
        Err(ModelError::Unsupported(format!("the input of `{name}` is not finite in the calibration rows")))
    }
}

/// The `keep` most important units, in ascending order; of equals the earlier stays.
pub(crate) fn keep_best(scores: &[f64], keep: usize) -> Vec<usize> {
    let mut order: Vec<(usize, f64)> = scores.iter().copied().enumerate().collect();
    order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let mut kept: Vec<usize> = order.into_iter().take(keep).map(|(unit, _)| unit).collect();
    kept.sort_unstable();
    kept
}

#[cfg(test)]
mod tests {
    use super::keep_best;

    #[test]
    fn the_best_stay_and_of_equals_the_earlier() {
        assert_eq!(keep_best(&[0.5, 3.0, 1.0, 2.0], 2), [1, 3]);
        assert_eq!(keep_best(&[1.0, 1.0, 1.0, 2.0], 3), [0, 1, 3]);
    }
}

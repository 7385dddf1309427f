//! A student with the layers of another model, and in each of them only the units with the largest weights.

use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Outline};

use crate::error::{PassError, Problem};
use crate::fraction::Fraction;
use crate::prune::importance::{by_magnitude, keep_best};

/// How many of `count` units a share is: the nearest whole number, and one at least.
fn kept(count: usize, width: Fraction) -> usize {
    ((count as f64 * width.value()).round() as usize).clamp(1, count.max(1))
}

/// The outline of a copy that keeps this share of the neurons, heads and channels of each layer. `place` is the
/// parameter to blame.
///
/// # Errors
/// When no unit would go.
pub(super) fn outline(model: &Outline, width: Fraction, place: &str) -> Result<Outline, Problem> {
    let failed = |error: paring_model::ModelError| Problem::new(place, error.to_string());
    if let Some(problem) = width.problem(place) {
        return Err(problem);
    }
    let mut narrow = model.clone();
    for group in model.units().map_err(failed)? {
        keep_units_outline(&mut narrow, &group, kept(group.count, width)).map_err(failed)?;
    }
    if narrow == *model {
        let message = "leaves every neuron, head and channel of the model: there are none, or too few of them";
        return Err(Problem::new(place, message).help("`mlp` and `convnet` build a student from nothing"));
    }
    Ok(narrow)
}

/// Leaves this share of the neurons, heads and channels of each layer: those with the largest weights.
///
/// # Errors
/// When a weight is not finite or quantized.
pub(super) fn narrow(model: &mut Checkpoint, width: Fraction) -> Result<(), PassError> {
    for group in model.outline().units()? {
        let scores = by_magnitude(model, &group)?;
        keep_units(model, &group, &keep_best(&scores, kept(group.count, width)))?;
    }
    Ok(())
}

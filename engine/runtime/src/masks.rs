//! Zeros that a mask holds: every later stage keeps them, and the engine sees to it.

use paring_model::depth::layers;
use paring_model::{Checkpoint, ModelError, Outline, WeightOutline};
use paring_passes::{Leaves, Needs, PassInfo};

use crate::invariants::Broken;

/// What a plan says where a stage writes masked weights in blocks that count from a minimum: these have no exact zero.
pub fn note(before: &Outline, after: &Outline) -> Option<String> {
    let inexact = |(name, weight): &(&String, &WeightOutline)| {
        is_masked(before.weights.get(*name))
            && matches!(weight, WeightOutline::Blocks { kind, .. } if kind.has_minimum())
    };
    let found: Vec<&String> = after.weights.iter().filter(inexact).map(|(name, _)| name).collect();
    let (first, more) = (found.first()?, found.len() - 1);
    let others = if more == 0 { String::new() } else { format!(" and {more} more") };
    Some(format!("the zeros of `{first}`{others} do not stay exact: its blocks have a minimum and no zero"))
}

/// Checks that what a mask held at zero before a stage is zero after it, in every tensor that is still there in its shape.
/// A stage that leaves a new model, or moves layers to other names, keeps none; of nested stages each was looked at alone.
///
/// # Errors
/// When a tensor cannot be read; and inside, the first whose zeros moved.
pub fn check(info: &PassInfo, before: &Checkpoint, after: &Checkpoint) -> Result<Result<(), Broken>, ModelError> {
    let (old, new) = (before.outline(), after.outline());
    let anew = info.leaves.contains(&Leaves::NewModel) || info.needs.contains(&Needs::NestedStages);
    if anew || layers(&old) != layers(&new) {
        return Ok(Ok(()));
    }
    for (name, weight) in &new.weights {
        let was = old.weights.get(name);
        let same = was.is_some_and(|was| was.shape() == weight.shape());
        let exact = !matches!(weight, WeightOutline::Blocks { kind, .. } if kind.has_minimum());
        if !is_masked(was) || !same || !exact {
            continue;
        }
        let moved = moved(before, after, name)?;
        let lost = matches!(weight, WeightOutline::Dense { masked: false, .. });
        if moved > 0 || lost {
            return Ok(Err(Broken::Mask { name: name.clone(), moved }));
        }
    }
    Ok(Ok(()))
}

fn is_masked(weight: Option<&WeightOutline>) -> bool {
    matches!(weight, Some(WeightOutline::Dense { masked: true, .. }))
}

/// How many zeros of a tensor are none any more.
fn moved(before: &Checkpoint, after: &Checkpoint, name: &str) -> Result<u64, ModelError> {
    let mut zeros: Vec<bool> = Vec::new();
    before.in_parts(name, &mut |numbers| zeros.extend(numbers.iter().map(|number| *number == 0.0)))?;
    let (mut place, mut moved) = (0, 0);
    after.in_parts(name, &mut |numbers| {
        let pairs = numbers.iter().zip(zeros.get(place..).unwrap_or_default());
        moved += pairs.filter(|(number, zero)| **zero && **number != 0.0).count() as u64;
        place += numbers.len();
    })?;
    Ok(moved)
}

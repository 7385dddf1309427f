//! What the passes share that keep some of the features as they are: how many, which, and the receipt that ranks them.

use indexmap::IndexMap;
use paring_model::{Checkpoint, InputStep};
use paring_statistics::Features;
use serde_json::json;

use super::{change, features};
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::receipt::{Outcome, Receipt};

/// How many features stay: half of them where it is not given.
pub(super) fn kept(keep: Option<usize>, width: usize) -> usize {
    keep.unwrap_or(width / 2)
}

/// Keeps as many features as are given, of any model that reads a list of features. `bytes` is the memory of a cell.
pub(super) fn plan(keep: usize, bytes: u64, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
    let mut problems = change::problems(cx);
    let width = change::width(cx.outline);
    if width > 0 && !(1..width).contains(&keep) {
        let wanted = format!("1 (inclusive) to {width} (exclusive), the features that the model reads");
        problems.push(Problem::new("/keep", format!("is `{keep}`, expected a number from {wanted}")));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let outline = change::planned(cx.outline, InputStep::Select { keep: (0..keep).collect(), from: width });
    let notes = vec![format!("{keep} of {width} features stay")];
    Ok(Effect { memory: memory(bytes, cx), notes, ..Effect::same_shape(&outline) })
}

/// Keeps what the training rows decide.
pub(super) fn plan_unknown(bytes: u64, cx: &PlanCx<'_>) -> Result<Effect, Vec<Problem>> {
    let problems = change::problems(cx);
    if !problems.is_empty() {
        return Err(problems);
    }
    let width = change::width(cx.outline);
    let notes = vec![format!("how many of the {width} features stay is known once the training rows are read")];
    Ok(Effect { exact: false, notes, memory: memory(bytes, cx), ..Effect::same_shape(cx.outline) })
}

/// Bytes of all cells of the training rows.
pub(super) fn memory(bytes: u64, cx: &PlanCx<'_>) -> u64 {
    let rows = cx.parts.map_or(0, |parts| parts.train.len()) as u64;
    rows.saturating_mul(change::width(cx.outline) as u64).saturating_mul(bytes)
}

/// Features from the best score to the worst; those without a score last. Of equal ones the later is better, as in
/// scikit-learn's `SelectKBest`.
pub(super) fn ranked(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<(f64, usize)> =
        scores.iter().map(|&score| if score.is_nan() { f64::NEG_INFINITY } else { score }).zip(0..).collect();
    order.sort_by(|one, other| other.0.total_cmp(&one.0).then(other.1.cmp(&one.1)));
    order.into_iter().map(|(_, feature)| feature).collect()
}

/// The first `count` of an order, ascending.
pub(super) fn first(order: &[usize], count: usize) -> Vec<usize> {
    let mut keep: Vec<usize> = order.iter().take(count).copied().collect();
    keep.sort_unstable();
    keep
}

/// Rank of each feature in an order, from 1.
pub(super) fn ranks(order: &[usize]) -> Vec<f64> {
    let mut ranks = vec![0.0; order.len()];
    for (place, &feature) in order.iter().enumerate() {
        if let Some(rank) = ranks.get_mut(feature) {
            *rank = (place + 1) as f64;
        }
    }
    ranks
}

/// One figure of every feature, by name.
pub(super) type Column<'a> = (&'a str, &'a [f64]);

/// The receipt: every feature's figures (but those that are no numbers), and the names of what stays and what goes.
pub(super) fn receipt(model: &Checkpoint, columns: &[Column<'_>], keep: &[usize]) -> Receipt {
    let names = features::names(model);
    let figures = |feature: usize| -> IndexMap<String, f64> {
        let known = columns.iter().filter_map(|(name, values)| Some(((*name).to_owned(), *values.get(feature)?)));
        known
            .filter(|(_, value)| value.is_finite())
            .chain([("kept".to_owned(), f64::from(u8::from(keep.contains(&feature))))])
            .collect()
    };
    let (stay, go): (Vec<usize>, Vec<usize>) = (0..names.len()).partition(|feature| keep.contains(feature));
    let named = |list: &[usize]| json!(list.iter().filter_map(|&feature| names.get(feature)).collect::<Vec<_>>());
    Receipt {
        summary: format!("kept {} of {} features", keep.len(), names.len()),
        sites: names.iter().enumerate().map(|(feature, name)| (name.clone(), figures(feature))).collect(),
        figures: IndexMap::from([("features".to_owned(), keep.len() as f64)]),
        details: IndexMap::from([("kept".to_owned(), named(&stay)), ("dropped".to_owned(), named(&go))]),
        ..Receipt::default()
    }
}

/// Keeps these features, in ascending order, of the model. `training` is what its network sees of the training rows.
pub(super) fn finish(
    mut model: Checkpoint,
    training: &Features,
    keep: Vec<usize>,
    receipt: Receipt,
) -> Result<Outcome, PassError> {
    let count = training.columns;
    match keep.len() {
        0 => return Err(PassError::Failed(format!("drops all {count} features"))),
        kept if kept == count => return Err(PassError::Failed(format!("drops none of {count} features"))),
        _ => change::apply(&mut model, InputStep::Select { keep, from: count }, &training.means())?,
    }
    Ok(Outcome { model, receipt })
}

#[cfg(test)]
mod tests {
    use super::{first, ranked, ranks};

    #[test]
    fn the_later_of_equal_features_is_better_and_no_score_is_worst() {
        let order = ranked(&[1.0, f64::NAN, f64::INFINITY, 1.0, 0.5]);
        assert_eq!(order, [2, 3, 0, 4, 1]);
        assert_eq!(first(&order, 3), [0, 2, 3]);
        assert_eq!(ranks(&order), [3.0, 5.0, 1.0, 2.0, 4.0]);
    }
}

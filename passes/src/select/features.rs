//! The training rows as statistics take them: a table of features, and what shall be known from it.

use paring_data::Targets;
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, InputStep, Inputs};
use paring_statistics::{Answers, Features, StatisticsError};

use crate::context::Cx;
use crate::error::PassError;

/// The training rows as the network sees them.
pub(super) fn features(cx: &Cx<'_>, model: &Checkpoint) -> Result<Features, PassError> {
    Ok(table(cx.training_features(model)?.0))
}

/// The training rows as the network sees them, with their answers.
pub(super) fn with_answers(cx: &Cx<'_>, model: &Checkpoint) -> Result<(Features, Answers), PassError> {
    let (matrix, targets) = cx.training_features(model)?;
    Ok((table(matrix), answers(targets, model)?))
}

/// The training rows with every feature in its own unit: without the scaling that follows the encoding, or the last
/// projection or products.
pub(super) fn own_unit(cx: &Cx<'_>, model: &Checkpoint) -> Result<Features, PassError> {
    let Inputs { columns, steps, shape } = inputs(model)?;
    let mixes = |step: &InputStep| matches!(step, InputStep::Project { .. } | InputStep::Polynomial { .. });
    let mixed = steps.iter().rposition(mixes).map_or(0, |place| place + 1);
    let scales = |step: &InputStep| matches!(step, InputStep::Scale { .. } | InputStep::Quantile { .. });
    let kept = |(place, step): &(usize, InputStep)| *place < mixed || !scales(step);
    let steps = steps.into_iter().enumerate().filter(kept).map(|(_, step)| step).collect();
    let mut unscaled = model.clone();
    unscaled.set_inputs(Inputs { columns, steps, shape });
    features(cx, &unscaled)
}

/// How the model reads raw rows.
pub(super) fn inputs(model: &Checkpoint) -> Result<Inputs, PassError> {
    let unknown = || PassError::Failed("the model does not say how it reads raw rows".to_owned());
    model.inputs().cloned().ok_or_else(unknown)
}

/// Names of the features.
pub(super) fn names(model: &Checkpoint) -> Vec<String> {
    model.inputs().map(Inputs::feature_names).unwrap_or_default()
}

pub(super) fn table(Matrix { rows, columns, data }: Matrix) -> Features {
    Features { rows, columns, data }
}

/// What shall be known, with as many classes as the model has outputs.
pub(super) fn answers(targets: Targets, model: &Checkpoint) -> Result<Answers, PassError> {
    match targets {
        Targets::Classes(numbers) => {
            Ok(Answers::Classes { numbers, count: model.outputs().map_or(0, |outputs| outputs.width()) })
        }
        Targets::Values(values) => Ok(Answers::Numbers(values)),
        Targets::Pairs { .. } | Targets::None => {
            Err(PassError::Failed("the rows have no answers to learn from".to_owned()))
        }
    }
}

/// Tells of progress, and ends the search when the person pressed ctrl-C.
pub(super) fn tick<'a>(
    cx: &'a Cx<'_>,
    what: &'a str,
) -> impl FnMut(usize, usize) -> paring_statistics::Result<()> + 'a {
    move |done, total| {
        cx.check_cancelled().map_err(|_| StatisticsError::Interrupted)?;
        if total > 0 {
            cx.services.progress(done, total, what);
        }
        Ok(())
    }
}

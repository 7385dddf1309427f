//! Calibration: a seeded choice of rows runs through the model while an observer watches the inputs of its sites.

use paring_data::Part;
use paring_data::Parts;
use paring_model::tap::Observer;
use paring_model::{Checkpoint, Forward, Input, Rows};
use paring_train::Stream;
use rand::seq::SliceRandom as _;

use crate::context::{Cx, stand_in};
use crate::effect::PlanCx;
use crate::error::{PassError, Problem};

/// Fewer rows than this say too little about the range of an activation.
pub(crate) const FEWEST_ROWS: usize = 8;
/// Most rows that run through the model at a time.
const BATCH: usize = 64;
/// Most tokens that do.
const TOKENS: usize = 4096;

/// What is wrong with the rows that the recipe offers for calibration.
pub(crate) fn problem(cx: &PlanCx<'_>) -> Option<Problem> {
    let found = cx.parts.map_or(0, available);
    let message = || format!("has {found} calibration rows, expected at least {FEWEST_ROWS}");
    let help = "give the recipe `data`, with rows for `calibrate` or `train` in its `split`";
    (found < FEWEST_ROWS).then(|| Problem::new("", message()).help(help))
}

/// How many of at most `limit` rows there are.
pub(crate) fn planned_rows(cx: &PlanCx<'_>, limit: usize) -> usize {
    cx.parts.map_or(0, available).min(limit)
}

fn available(parts: &Parts) -> usize {
    parts.rows(stand_in(parts, Part::Calibrate)).len()
}

/// The error for a site whose input says nothing.
pub(crate) fn never_active(site: &str) -> PassError {
    PassError::Failed(format!(
        "the input of `{site}` is zero in all calibration rows, so nothing is known of its weights; leave it out with \
        `ignore`, or calibrate with other rows"
    ))
}

/// The error for a site whose input is NaN or infinite.
pub(crate) fn not_finite(site: &str) -> PassError {
    PassError::Failed(format!("the input of `{site}` is not finite in the calibration rows"))
}

/// A model and the rows that it is watched on.
pub(crate) struct Calibration {
    model: Checkpoint,
    /// The rows, some at a time.
    pub(crate) batches: Vec<Input>,
    /// How many rows there are.
    pub(crate) rows: usize,
}

impl Calibration {
    /// At most `limit` of the calibration rows, chosen by the stage's randomness.
    ///
    /// # Errors
    /// When there are too few rows, or they do not fit the model.
    pub(crate) fn new(cx: &Cx<'_>, model: &Checkpoint, limit: usize) -> Result<Self, PassError> {
        let rows = cx.required_examples(Part::Calibrate, model)?.inputs;
        if rows.len() < FEWEST_ROWS {
            let found = rows.len();
            return Err(PassError::Failed(format!(
                "there are {found} calibration rows, expected at least {FEWEST_ROWS}"
            )));
        }
        let chosen = choose(rows.len(), limit, &cx.stream.split("calibration"));
        let batches = chosen.chunks(at_once(&rows)).map(|chosen| rows.batch(chosen)).collect::<Result<_, _>>()?;
        Ok(Self { model: model.clone(), batches, rows: chosen.len() })
    }

    /// These rows.
    #[cfg(test)]
    pub(crate) fn of_batches(model: &Checkpoint, batches: Vec<Input>) -> Self {
        Self { model: model.clone(), rows: batches.len(), batches }
    }

    /// Runs all rows through the model and shows the input of every site to the observer.
    ///
    /// # Errors
    /// When the model does not run, the observer refuses, or the person pressed ctrl-C.
    pub(crate) fn watch(&self, cx: &Cx<'_>, observer: &mut dyn Observer) -> Result<(), PassError> {
        let network = self.model.network()?;
        for (done, batch) in self.batches.iter().enumerate() {
            cx.check_cancelled()?;
            cx.services.progress(done, self.batches.len(), "calibration");
            network.forward(batch, &mut Forward::observed(observer))?;
        }
        Ok(())
    }
}

/// How many rows run at a time: texts of many tokens are fewer.
fn at_once(rows: &Rows) -> usize {
    match rows {
        Rows::Features(_) => BATCH,
        Rows::Tokens(rows) => {
            let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(1);
            (TOKENS / longest.max(1)).clamp(1, BATCH)
        }
    }
}

/// Row numbers, ascending: all of them, or `limit` drawn without replacement.
pub(crate) fn choose(rows: usize, limit: usize, stream: &Stream) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    if limit < rows {
        let (drawn, _) = order.partial_shuffle(&mut stream.rng(), limit);
        drawn.sort_unstable();
        return drawn.to_vec();
    }
    order
}

#[cfg(test)]
mod tests {
    use paring_train::Stream;

    use super::choose;

    #[test]
    fn rows_are_drawn_once_each_and_the_same_for_the_same_seed() {
        let drawn = choose(100, 10, &Stream::new(1));
        assert_eq!(drawn.len(), 10);
        assert!(drawn.is_sorted_by(|one, next| one < next));
        assert_eq!(drawn, choose(100, 10, &Stream::new(1)));
        assert_ne!(drawn, choose(100, 10, &Stream::new(2)));
        assert_eq!(choose(3, 10, &Stream::new(1)), [0, 1, 2]);
    }
}

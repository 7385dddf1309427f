//! Calibration: a seeded choice of rows runs through the model while an observer watches the inputs of its sites.

use candle_core::{Device, Tensor};
use paring_data::Part;
use paring_data::Parts;
use paring_model::inputs::Matrix;
use paring_model::network::Network;
use paring_model::tap::Observer;
use paring_model::{Checkpoint, Forward, Input};
use paring_train::Stream;
use rand::seq::SliceRandom as _;

use crate::context::{Cx, stand_in};
use crate::effect::PlanCx;
use crate::error::{PassError, Problem};

/// Fewer rows than this say too little about the range of an activation.
pub(crate) const FEWEST_ROWS: usize = 8;
/// Rows that run through the model at a time.
const BATCH: usize = 64;

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

/// A model and the rows that it is watched on.
pub(crate) struct Calibration {
    network: Box<dyn Network>,
    batches: Vec<Tensor>,
    /// How many rows there are.
    pub(crate) rows: usize,
}

impl Calibration {
    /// At most `limit` of the calibration rows, chosen by the stage's randomness.
    ///
    /// # Errors
    /// When there are too few rows, or they do not fit the model.
    pub(crate) fn new(cx: &Cx<'_>, model: &Checkpoint, limit: usize) -> Result<Self, PassError> {
        let matrix = cx.required_examples(Part::Calibrate, model)?.inputs;
        if matrix.rows < FEWEST_ROWS {
            let found = matrix.rows;
            return Err(PassError::Failed(format!(
                "there are {found} calibration rows, expected at least {FEWEST_ROWS}"
            )));
        }
        let shape = model.config().map_or_else(|| vec![matrix.columns], |config| config.input.clone());
        let chosen = choose(matrix.rows, limit, &cx.stream.split("calibration"));
        let batches = chosen.chunks(BATCH).map(|rows| batch(&matrix, rows, &shape)).collect::<Result<_, _>>()?;
        Ok(Self { network: model.network()?, batches, rows: chosen.len() })
    }

    /// Runs all rows through the model and shows the input of every site to the observer.
    ///
    /// # Errors
    /// When the model does not run, the observer refuses, or the person pressed ctrl-C.
    pub(crate) fn watch(&self, cx: &Cx<'_>, observer: &mut dyn Observer) -> Result<(), PassError> {
        for (done, batch) in self.batches.iter().enumerate() {
            cx.check_cancelled()?;
            cx.services.progress(done, self.batches.len(), "calibration");
            self.network.forward(&Input::Features(batch.clone()), &mut Forward::observed(observer))?;
        }
        Ok(())
    }
}

/// Row numbers, ascending: all of them, or `limit` drawn without replacement.
fn choose(rows: usize, limit: usize, stream: &Stream) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    if limit < rows {
        let (drawn, _) = order.partial_shuffle(&mut stream.rng(), limit);
        drawn.sort_unstable();
        return drawn.to_vec();
    }
    order
}

fn batch(matrix: &Matrix, rows: &[usize], shape: &[usize]) -> Result<Tensor, PassError> {
    let row = |&row: &usize| matrix.data.get(row * matrix.columns..(row + 1) * matrix.columns).unwrap_or_default();
    let numbers: Vec<f32> = rows.iter().flat_map(row).copied().collect();
    let mut dimensions = vec![rows.len()];
    dimensions.extend(shape);
    Ok(Tensor::from_vec(numbers, dimensions, &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use paring_model::inputs::Matrix;
    use paring_train::Stream;

    use super::{batch, choose};

    #[test]
    fn rows_are_drawn_once_each_and_the_same_for_the_same_seed() {
        let drawn = choose(100, 10, &Stream::new(1));
        assert_eq!(drawn.len(), 10);
        assert!(drawn.is_sorted_by(|one, next| one < next));
        assert_eq!(drawn, choose(100, 10, &Stream::new(1)));
        assert_ne!(drawn, choose(100, 10, &Stream::new(2)));
        assert_eq!(choose(3, 10, &Stream::new(1)), [0, 1, 2]);
    }

    #[test]
    fn a_batch_holds_its_rows_in_the_shape_of_the_input() {
        let matrix = Matrix { rows: 3, columns: 4, data: (0..12).map(|i| i as f32).collect() };
        let batch = batch(&matrix, &[0, 2], &[1, 2, 2]).unwrap();
        assert_eq!(batch.dims(), [2, 1, 2, 2]);
        let numbers = batch.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(numbers, [0.0, 1.0, 2.0, 3.0, 8.0, 9.0, 10.0, 11.0]);
    }
}

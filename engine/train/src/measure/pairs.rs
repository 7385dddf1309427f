//! What embeddings of pairs of texts are good for: telling how alike two texts are, and finding one by the other.

use paring_data::{Examples, Targets};
use paring_model::{Checkpoint, Rows};

use crate::error::{Result, TrainError};
use crate::metrics;

/// Rows embedded at once.
const BATCH: usize = 32;

/// Embeddings of the first and the second texts, row-major, and how alike each two are said to be.
pub(super) struct Pairs {
    first: Vec<f32>,
    second: Vec<f32>,
    width: usize,
    scores: Option<Vec<f32>>,
}

impl Pairs {
    /// Embeds all texts.
    pub(super) fn embed(model: &Checkpoint, rows: &Examples) -> Result<Self> {
        let Targets::Pairs { others, scores } = &rows.targets else {
            let message = "the rows are no pairs of texts: name the second ones as `pair`";
            return Err(TrainError::Mismatch(message.to_owned()));
        };
        let embed = |rows: &Rows| -> Result<(usize, Vec<f32>)> {
            let vectors = model.predict(rows, BATCH)?;
            Ok((vectors.dims2()?.1, vectors.flatten_all()?.to_vec1()?))
        };
        let ((width, first), (_, second)) = (embed(&rows.inputs)?, embed(others)?);
        Ok(Self { first, second, width, scores: scores.clone() })
    }

    /// The measure of that name.
    pub(super) fn score(&self, name: &str) -> Result<f64> {
        match name {
            "recall_at_1" => metrics::recall_at(1, &self.first, &self.second, self.width),
            "recall_at_10" => metrics::recall_at(10, &self.first, &self.second, self.width),
            _ => self.correlation(),
        }
    }

    fn correlation(&self) -> Result<f64> {
        let unknown = || TrainError::Mismatch("the pairs have no scores: name their column as `label`".to_owned());
        let scores: Vec<f64> = self.scores.as_ref().ok_or_else(unknown)?.iter().copied().map(f64::from).collect();
        metrics::spearman(&metrics::cosines(&self.first, &self.second, self.width)?, &scores)
    }
}

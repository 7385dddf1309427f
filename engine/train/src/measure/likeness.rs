//! How much of the model that a recipe starts from is left: embeddings and next-token distributions beside its own.

use candle_core::{DType, Device, Tensor};
use paring_data::Examples;
use paring_model::{Checkpoint, Forward, Network, Rows, TokenRow};

use crate::error::{Result, TrainError};
use crate::metrics;

/// Rows embedded at once.
const BATCH: usize = 32;

/// Cosines of the rows' embeddings and those of the baseline.
pub(super) fn cosines(model: &Checkpoint, baseline: &Checkpoint, rows: &Examples) -> Result<Vec<f64>> {
    let embed = |model: &Checkpoint| -> Result<(usize, Vec<f32>)> {
        let vectors = model.predict(&rows.inputs, BATCH)?;
        let (_, width) = vectors.dims2()?;
        Ok((width, vectors.flatten_all()?.to_vec1()?))
    };
    let ((width, base), (own, found)) = (embed(baseline)?, embed(model)?);
    if width != own {
        let message = format!("the embeddings have {own} numbers, and those of the model before all stages {width}");
        return Err(TrainError::Mismatch(message));
    }
    metrics::cosines(&base, &found, width)
}

/// What windows of tokens say of a model that continues texts: sums over all positions but each window's last.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Continuation {
    /// Positions.
    positions: usize,
    /// Negative log-likelihood of the tokens that follow, in nats.
    loss: f64,
    /// Divergence from the baseline, in nats.
    divergence: f64,
    /// Positions with the baseline's most likely token.
    agreeing: usize,
}

impl Continuation {
    /// Runs every window alone, from its first token; beside the baseline where there is one.
    pub(super) fn take(model: &Checkpoint, baseline: Option<&Checkpoint>, rows: &Examples) -> Result<Self> {
        let Rows::Tokens(windows) = &rows.inputs else {
            return Err(TrainError::Mismatch("the rows are no windows of tokens".to_owned()));
        };
        let network = model.network()?;
        let base = baseline.map(Checkpoint::network).transpose()?;
        let mut sum = Self::default();
        for (index, window) in windows.iter().enumerate().filter(|(_, window)| window.ids.len() > 1) {
            sum.add(window, &rows.inputs, index, network.as_ref(), base.as_deref())?;
        }
        if sum.positions == 0 {
            return Err(TrainError::NoRows { part: "test" });
        }
        Ok(sum)
    }

    fn add(
        &mut self,
        window: &TokenRow,
        rows: &Rows,
        index: usize,
        network: &dyn Network,
        base: Option<&dyn Network>,
    ) -> Result<()> {
        let following = window.ids.get(1..).unwrap_or_default();
        let (vocabulary, logits) = logits(network, rows, index)?;
        self.positions += following.len();
        self.loss += metrics::negative_log_likelihood(&logits, vocabulary, following)?;
        if let Some(base) = base {
            let (_, expected) = self::logits(base, rows, index)?;
            self.divergence += metrics::kl_divergence(&expected, &logits, vocabulary)?;
            self.agreeing += metrics::same_top(&expected, &logits, vocabulary)?;
        }
        Ok(())
    }

    /// The measure of that name.
    pub(super) fn score(&self, name: &str) -> f64 {
        let positions = self.positions as f64;
        match name {
            "kl_divergence" => self.divergence / positions,
            "top1_agreement" => self.agreeing as f64 / positions,
            _ => (self.loss / positions).exp(),
        }
    }
}

/// Logits at every position of a window but its last, row-major, and how many tokens there are.
fn logits(network: &dyn Network, rows: &Rows, index: usize) -> Result<(usize, Vec<f32>)> {
    let outputs = network.forward(&rows.batch(&[index])?, &mut Forward::inference())?;
    let (_, length, vocabulary) = outputs.dims3()?;
    let outputs: Tensor = outputs.narrow(1, 0, length.saturating_sub(1))?;
    let numbers = outputs.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    Ok((vocabulary, numbers))
}

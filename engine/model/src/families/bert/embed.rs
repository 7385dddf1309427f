//! The first block: tokens, positions and segments become vectors.

use candle_core::Tensor;

use super::position;
use crate::dropout::dropout;
use crate::error::{ModelError, Result};
use crate::families::transformer::norm::LayerNorm;
use crate::network::{Forward, Shared};
use crate::tap::TapEmbedding;

/// The sum of a token's vectors, normalized.
pub(super) struct Embed {
    pub(super) words: TapEmbedding,
    pub(super) positions: TapEmbedding,
    pub(super) types: Option<TapEmbedding>,
    pub(super) norm: LayerNorm,
    pub(super) padding: Option<u32>,
    pub(super) dropout: f64,
}

impl Embed {
    /// ids [rows, length] -> [rows, length, hidden].
    pub(super) fn run(&self, ids: &Tensor, shared: &Shared, cx: &mut Forward<'_>) -> Result<Tensor> {
        let mut x = self.words.lookup(ids)?;
        if let Some(table) = &self.types {
            let types = match &shared.types {
                Some(types) => types.clone(),
                None => ids.zeros_like()?,
            };
            x = (x + table.lookup(&types)?)?;
        }
        let places = position::numbers(ids, self.padding)?;
        self.check_length(&places)?;
        x = x.broadcast_add(&self.positions.lookup(&places)?)?;
        dropout(&self.norm.forward(&x, cx.mode)?, self.dropout, cx)
    }

    fn check_length(&self, places: &Tensor) -> Result<()> {
        let last = places.flatten_all()?.max(0)?.to_scalar::<u32>()? as usize;
        if last < self.positions.entries {
            return Ok(());
        }
        let before = self.padding.map_or(0, |padding| padding as usize + 1);
        let (found, most) = (last + 1 - before.min(last), self.positions.entries.saturating_sub(before));
        Err(ModelError::Input(format!("a text has {found} tokens, but the model reads at most {most}")))
    }
}

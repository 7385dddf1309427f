//! One layer: attention, then two feed-forward layers, each added to what it read and normalized.

use candle_core::Tensor;

use crate::dropout::dropout;
use crate::error::Result;
use crate::families::transformer::attention::{attend, split_heads};
use crate::families::transformer::nonlinearity::Nonlinearity;
use crate::families::transformer::norm::LayerNorm;
use crate::network::{Forward, Shared};
use crate::quantized::SharedInput;
use crate::tap::TapLinear;

/// A layer with its weights.
pub(super) struct Layer {
    /// Query, key and value.
    pub(super) inner: [TapLinear; 3],
    pub(super) output: TapLinear,
    pub(super) attention_norm: LayerNorm,
    pub(super) up: TapLinear,
    pub(super) down: TapLinear,
    pub(super) norm: LayerNorm,
    pub(super) head_width: usize,
    pub(super) activation: Nonlinearity,
    pub(super) dropout: [f64; 2],
}

impl Layer {
    /// [rows, length, hidden] -> [rows, length, hidden].
    pub(super) fn run(&self, x: &Tensor, shared: &Shared, cx: &mut Forward<'_>) -> Result<Tensor> {
        let [stream, weights] = self.dropout;
        let [query, key, value] = &self.inner;
        let mut input = SharedInput::default();
        let [q, k, v] = [query, key, value].map(|part| part.forward_shared(x, &mut input, cx));
        let [q, k, v] = [q?, k?, v?];
        let width = self.head_width;
        let heads = [split_heads(&q, width)?, split_heads(&k, width)?, split_heads(&v, width)?];
        let [q, k, v] = &heads;
        let mixed = attend([q, k, v], shared.bias.as_ref(), weights, cx)?;
        let attended = dropout(&self.output.forward(&mixed, cx)?, stream, cx)?;
        let x = self.attention_norm.of_sum(&attended, x, cx.mode)?;
        let wide = self.activation.apply(&self.up.forward(&x, cx)?, cx.mode)?;
        let narrow = dropout(&self.down.forward(&wide, cx)?, stream, cx)?;
        self.norm.of_sum(&narrow, &x, cx.mode)
    }
}

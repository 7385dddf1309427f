//! One layer: attention and a gated feed-forward part, each reading a normalized stream and added to it.

use candle_core::Tensor;

use crate::error::Result;
use crate::families::transformer::attention::{attend, split_heads};
use crate::families::transformer::nonlinearity::Nonlinearity;
use crate::families::transformer::norm::RmsNorm;
use crate::families::transformer::rope::turn;
use crate::generation::KeyValues;
use crate::network::{Forward, Shared};
use crate::quantized::SharedInput;
use crate::tap::TapLinear;

/// A layer with its weights.
pub(super) struct Layer {
    /// Query, key and value.
    pub(super) inner: [TapLinear; 3],
    /// Of the heads of queries and of keys.
    pub(super) head_norms: [Option<RmsNorm>; 2],
    pub(super) output: TapLinear,
    pub(super) attention_norm: RmsNorm,
    pub(super) gate: TapLinear,
    pub(super) up: TapLinear,
    pub(super) down: TapLinear,
    pub(super) ffn_norm: RmsNorm,
    pub(super) head_width: usize,
    pub(super) windowed: bool,
    pub(super) activation: Nonlinearity,
    pub(super) dropout: f64,
}

impl Layer {
    /// [rows, length, hidden] -> [rows, length, hidden]; with `past`, after the tokens that it holds.
    pub(super) fn run(
        &self,
        x: &Tensor,
        shared: &Shared,
        past: Option<&mut KeyValues>,
        cx: &mut Forward<'_>,
    ) -> Result<Tensor> {
        let normal = self.attention_norm.forward(x, cx.mode)?;
        let x = (x + self.attention(&normal, shared, past, cx)?)?;
        let normal = self.ffn_norm.forward(&x, cx.mode)?;
        let mut input = SharedInput::default();
        let gate = self.activation.apply(&self.gate.forward_shared(&normal, &mut input, cx)?, cx.mode)?;
        let wide = (gate * self.up.forward_shared(&normal, &mut input, cx)?)?;
        Ok((x + self.down.forward(&wide, cx)?)?)
    }

    fn attention(
        &self,
        x: &Tensor,
        shared: &Shared,
        past: Option<&mut KeyValues>,
        cx: &mut Forward<'_>,
    ) -> Result<Tensor> {
        let [query, key, value] = &self.inner;
        let [query_norm, key_norm] = &self.head_norms;
        let mut input = SharedInput::default();
        let q = self.turned(&query.forward_shared(x, &mut input, cx)?, query_norm.as_ref(), shared, cx)?;
        let mut k = self.turned(&key.forward_shared(x, &mut input, cx)?, key_norm.as_ref(), shared, cx)?;
        let mut v = split_heads(&value.forward_shared(x, &mut input, cx)?, self.head_width)?;
        if let Some(past) = past {
            (k, v) = past.append(&k, &v)?;
        }
        let bias = if self.windowed { &shared.window_bias } else { &shared.bias };
        let mixed = attend([&q, &k, &v], bias.as_ref(), self.dropout, cx)?;
        self.output.forward(&mixed, cx)
    }

    /// Heads, normalized where the model does so, turned to their positions.
    fn turned(&self, x: &Tensor, norm: Option<&RmsNorm>, shared: &Shared, cx: &Forward<'_>) -> Result<Tensor> {
        let mut heads = split_heads(x, self.head_width)?;
        if let Some(norm) = norm {
            heads = norm.forward(&heads, cx.mode)?;
        }
        match &shared.rope {
            Some(table) => turn(&heads, table, cx.mode),
            None => Ok(heads),
        }
    }
}

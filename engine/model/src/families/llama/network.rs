//! A decoder that runs: the embedding block, a block a layer, and the head, over whole texts or token by token.

use candle_core::{DType, Tensor};

use super::layer::Layer;
use super::spec::{LlamaSpec, Windowed};
use crate::error::{ModelError, Result};
use crate::families::stack::{Parts, no_block};
use crate::families::survey::Known;
use crate::families::transformer::mask;
use crate::families::transformer::norm::RmsNorm;
use crate::families::transformer::rope::Rope;
use crate::generation::{Continue, Generation, KeyValues};
use crate::network::{Forward, Input, Network, Shared};
use crate::tap::{TapEmbedding, TapLinear};

struct Decoder {
    words: TapEmbedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: TapLinear,
    rope: Rope,
    head_width: usize,
    window: Option<usize>,
}

/// The decoder over the weights of `parts`.
pub(crate) fn build(spec: &LlamaSpec, parts: &Parts<'_>, known: Known<'_>) -> Result<Box<dyn Network>> {
    let builder = Builder { spec, parts, known };
    let layers = (0..spec.layers).map(|layer| builder.layer(layer)).collect::<Result<_>>()?;
    Ok(Box::new(Decoder {
        words: parts.embedding(&spec.words())?,
        layers,
        norm: builder.norm(&spec.norm())?,
        head: parts.linear(&spec.head())?,
        rope: spec.rope,
        head_width: spec.head_width,
        window: spec.window.as_ref().map(|(window, _): &(usize, Windowed)| *window),
    }))
}

struct Builder<'a> {
    spec: &'a LlamaSpec,
    parts: &'a Parts<'a>,
    known: Known<'a>,
}

impl Builder<'_> {
    fn layer(&self, layer: usize) -> Result<Layer> {
        let names = self.spec.layer(layer);
        let linear = |name: &str| self.parts.linear(name);
        let head_norm = |name: &str| {
            let there = self.known.contains_key(&format!("{name}.weight"));
            there.then(|| self.norm(name)).transpose()
        };
        Ok(Layer {
            inner: [linear(&names.query)?, linear(&names.key)?, linear(&names.value)?],
            head_norms: [head_norm(&names.query_norm)?, head_norm(&names.key_norm)?],
            output: linear(&names.output)?,
            attention_norm: self.norm(&names.attention_norm)?,
            gate: linear(&names.gate)?,
            up: linear(&names.up)?,
            down: linear(&names.down)?,
            ffn_norm: self.norm(&names.ffn_norm)?,
            head_width: self.spec.head_width,
            windowed: self.spec.is_windowed(layer),
            activation: self.spec.activation,
            dropout: self.spec.dropout,
        })
    }

    fn norm(&self, name: &str) -> Result<RmsNorm> {
        Ok(RmsNorm { weight: self.parts.tensor(&format!("{name}.weight"))?, epsilon: self.spec.epsilon })
    }
}

impl Decoder {
    /// What all layers share for new tokens that follow `start` others; `mask` covers both.
    fn shared(&self, ids: &Tensor, start: usize, mask: Option<&Tensor>) -> Result<Shared> {
        let length = ids.dim(1)?;
        let form = (self.words.dtype(), ids.device());
        let windowed = self.window.filter(|_| self.layers.iter().any(|layer| layer.windowed));
        let window_bias = match windowed {
            Some(window) => mask::causal(start, length, Some(window), mask, form)?,
            None => None,
        };
        Ok(Shared {
            bias: mask::causal(start, length, None, mask, form)?,
            window_bias,
            rope: Some(self.rope.table(self.head_width, (start, length), form)?),
            ..Shared::default()
        })
    }

    fn logits(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        let x = self.norm.forward(x, cx.mode)?;
        self.head.forward(&x, cx)
    }
}

impl Network for Decoder {
    fn enter(&self, input: &Input) -> Result<(Tensor, Shared)> {
        let Input::Tokens(tokens) = input else {
            return Err(ModelError::Input("the network reads tokens, but the input is rows of features".to_owned()));
        };
        tokens.dims()?;
        let ids = tokens.numbers()?;
        let mask = tokens.mask_as(DType::F32)?;
        let shared = self.shared(&ids, 0, mask.as_ref())?;
        Ok((ids, shared))
    }

    fn blocks(&self) -> usize {
        self.layers.len() + 2
    }

    fn block(&self, index: usize, x: &Tensor, shared: &Shared, cx: &mut Forward<'_>) -> Result<Tensor> {
        match index.checked_sub(1) {
            None => self.words.lookup(x),
            Some(layer) if layer == self.layers.len() => self.logits(x, cx),
            Some(layer) => {
                self.layers.get(layer).ok_or_else(|| no_block(index, self.blocks()))?.run(x, shared, None, cx)
            }
        }
    }

    fn generation(&self) -> Result<Generation<'_>> {
        Ok(Generation::new(self))
    }
}

impl Continue for Decoder {
    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn advance(
        &self,
        ids: &Tensor,
        mask: Option<&Tensor>,
        start: usize,
        cache: &mut [KeyValues],
        cx: &mut Forward<'_>,
    ) -> Result<Tensor> {
        let shared = self.shared(ids, start, mask)?;
        let mut x = self.words.lookup(ids)?;
        for (layer, past) in self.layers.iter().zip(cache) {
            x = layer.run(&x, &shared, Some(past), cx)?;
        }
        let last = x.narrow(1, x.dim(1)? - 1, 1)?.squeeze(1)?.contiguous()?;
        self.logits(&last, cx)
    }
}

//! An encoder that runs: the embedding block, a block a layer, and the head.

use candle_core::{DType, Tensor};

use super::embed::Embed;
use super::head::HeadBlock;
use super::layer::Layer;
use super::names::Names;
use super::position;
use super::spec::{BertSpec, Head, Scheme};
use super::survey::norm_parts;
use crate::error::{ModelError, Result};
use crate::families::stack::{Parts, no_block};
use crate::families::survey::Known;
use crate::families::transformer::mask;
use crate::families::transformer::nonlinearity::Nonlinearity;
use crate::families::transformer::norm::LayerNorm;
use crate::network::{Forward, Input, Network, Shared};
use crate::tap::TapEmbedding;

struct Encoder {
    embed: Embed,
    relative: Option<TapEmbedding>,
    layers: Vec<Layer>,
    head: HeadBlock,
}

/// The encoder over the weights of `parts`.
pub(crate) fn build(spec: &BertSpec, parts: &Parts<'_>, known: Known<'_>) -> Result<Box<dyn Network>> {
    let builder = Builder { spec, names: spec.names(), parts, known };
    let layers = (0..spec.layers).map(|layer| builder.layer(layer)).collect::<Result<_>>()?;
    let relative = builder.names.relative().map(|name| builder.relative(&name)).transpose()?;
    Ok(Box::new(Encoder { embed: builder.embed()?, relative, layers, head: builder.head()? }))
}

struct Builder<'a> {
    spec: &'a BertSpec,
    names: Names,
    parts: &'a Parts<'a>,
    known: Known<'a>,
}

impl Builder<'_> {
    fn embed(&self) -> Result<Embed> {
        let [dropout, ..] = self.spec.dropout;
        Ok(Embed {
            words: self.parts.embedding(&self.names.words())?,
            positions: self.parts.embedding(&self.names.positions())?,
            types: self.names.types().map(|name| self.parts.embedding(&name)).transpose()?,
            norm: self.norm(&self.names.norm())?,
            padding: self.spec.padding,
            dropout,
        })
    }

    fn relative(&self, name: &str) -> Result<TapEmbedding> {
        let table = self.parts.embedding(name)?;
        if table.entries >= position::BUCKETS {
            return Ok(table);
        }
        let expected = vec![position::BUCKETS, 1];
        Err(ModelError::Shape { name: format!("{name}.weight"), found: vec![table.entries, 1], expected })
    }

    fn layer(&self, layer: usize) -> Result<Layer> {
        let names = self.names.layer(layer);
        let linear = |name: &str| self.parts.linear(name);
        let [stream, weights, _] = self.spec.dropout;
        Ok(Layer {
            inner: [linear(&names.query)?, linear(&names.key)?, linear(&names.value)?],
            output: linear(&names.output)?,
            attention_norm: self.norm(&names.attention_norm)?,
            up: linear(&names.up)?,
            down: linear(&names.down)?,
            norm: self.norm(&names.norm)?,
            head_width: self.spec.head_width,
            activation: self.spec.activation,
            dropout: [stream, weights],
        })
    }

    fn head(&self) -> Result<HeadBlock> {
        let [.., dropout] = self.spec.dropout;
        Ok(match &self.spec.head {
            Head::Embedding { pooling, projections, normalize } => {
                let linear = |projection: &super::Projection| -> Result<_> {
                    Ok((self.parts.linear(&projection.site())?, projection.activation))
                };
                let projections = projections.iter().map(linear).collect::<Result<_>>()?;
                HeadBlock::Embedding { pooling: *pooling, projections, normalize: *normalize }
            }
            Head::Text => HeadBlock::Text {
                pooler: self.parts.linear(&self.names.pooler())?,
                activation: match self.spec.scheme {
                    Scheme::DistilBert => Nonlinearity::Relu,
                    Scheme::Bert | Scheme::Roberta | Scheme::Mpnet => Nonlinearity::Tanh,
                },
                classifier: self.parts.linear(&self.names.classifier(self.known))?,
                dropout,
            },
            Head::Token => {
                HeadBlock::Token { classifier: self.parts.linear(&self.names.classifier(self.known))?, dropout }
            }
        })
    }

    fn norm(&self, name: &str) -> Result<LayerNorm> {
        let [weight, bias] = norm_parts(&|part| self.known.contains_key(part), name);
        let (weight, bias) = (self.parts.tensor(&weight)?, self.parts.tensor(&bias)?);
        Ok(LayerNorm { weight, bias, epsilon: self.spec.epsilon })
    }
}

impl Encoder {
    /// What is added to every layer's attention scores.
    fn bias(&self, ids: &Tensor, padding: Option<Tensor>) -> Result<Option<Tensor>> {
        let Some(table) = &self.relative else { return Ok(padding) };
        let length = ids.dim(1)?;
        let buckets = Tensor::from_vec(position::buckets(length), (length, length), ids.device())?;
        let relative = table.lookup(&buckets)?.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?;
        Ok(Some(match padding {
            Some(padding) => relative.broadcast_add(&padding)?,
            None => relative,
        }))
    }

    fn dtype(&self) -> DType {
        self.embed.words.dtype()
    }
}

impl Network for Encoder {
    fn enter(&self, input: &Input) -> Result<(Tensor, Shared)> {
        let Input::Tokens(tokens) = input else {
            return Err(ModelError::Input("the network reads tokens, but the input is rows of features".to_owned()));
        };
        tokens.dims()?;
        let ids = tokens.numbers()?;
        let padding = mask::of_padding(tokens.mask.as_ref(), self.dtype(), ids.device())?;
        let mask = if padding.is_some() { tokens.mask_as(self.dtype())? } else { None };
        let types = tokens.types.as_ref().map(|types| types.to_dtype(DType::U32)).transpose()?;
        let bias = self.bias(&ids, padding)?;
        Ok((ids, Shared { mask, types, bias, ..Shared::default() }))
    }

    fn blocks(&self) -> usize {
        self.layers.len() + 2
    }

    fn block(&self, index: usize, x: &Tensor, shared: &Shared, cx: &mut Forward<'_>) -> Result<Tensor> {
        match index.checked_sub(1) {
            None => self.embed.run(x, shared, cx),
            Some(layer) if layer == self.layers.len() => self.head.run(x, shared, cx),
            Some(layer) => self.layers.get(layer).ok_or_else(|| no_block(index, self.blocks()))?.run(x, shared, cx),
        }
    }
}

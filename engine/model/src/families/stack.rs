//! Layers that run one after the other: how a family's network is put together from weights.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::layers::norm::BatchNorm;
use crate::error::{ModelError, Result};
use crate::network::{Forward, Input, Network, Shared};
use crate::sites::{Site, SiteKind};
use crate::tap::{TapConv, TapEmbedding, TapLinear, WeightSource};

/// One layer with its weights.
pub(crate) trait Block: Send + Sync {
    /// [rows, ...] -> [rows, ...].
    fn run(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor>;
}

/// Makes the parts of layers from the sites that a survey found and the weights of a source.
pub(crate) struct Parts<'a> {
    sites: BTreeMap<&'a str, &'a Site>,
    source: &'a dyn WeightSource,
}

impl<'a> Parts<'a> {
    /// Over these sites and weights.
    pub(crate) fn new(sites: &'a [Site], source: &'a dyn WeightSource) -> Self {
        Self { sites: sites.iter().map(|site| (site.name.as_str(), site)).collect(), source }
    }

    /// The lookup table of that name.
    pub(crate) fn embedding(&self, name: &str) -> Result<TapEmbedding> {
        let entries = self.site(name)?.in_features;
        Ok(TapEmbedding { name: name.to_owned(), weight: self.source.table(name)?, entries })
    }

    /// A tensor that is no site.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        self.source.tensor(name)
    }

    /// Whether there is a site of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.sites.contains_key(name)
    }

    /// The linear layer of that name.
    pub(crate) fn linear(&self, name: &str) -> Result<TapLinear> {
        let site = self.site(name)?;
        Ok(TapLinear { name: name.to_owned(), weight: self.source.site(name)?, bias: self.bias(site)? })
    }

    /// The convolution of that name.
    pub(crate) fn conv(&self, name: &str) -> Result<TapConv> {
        let site = self.site(name)?;
        let (stride, padding) = match site.kind {
            SiteKind::Conv { stride, padding, .. } => (stride, padding),
            SiteKind::Linear | SiteKind::Embedding { .. } => (1, 0),
        };
        let weight = self.source.site(name)?;
        Ok(TapConv { name: name.to_owned(), weight, bias: self.bias(site)?, stride, padding })
    }

    /// The batch norm of that name.
    pub(crate) fn norm(&self, name: &str) -> Result<BatchNorm> {
        BatchNorm::new(name, self.source)
    }

    fn site(&self, name: &str) -> Result<&Site> {
        let missing = || ModelError::MissingTensor { name: format!("{name}.weight") };
        self.sites.get(name).copied().ok_or_else(missing)
    }

    fn bias(&self, site: &Site) -> Result<Option<Tensor>> {
        site.bias.then(|| self.source.tensor(&site.bias_name())).transpose()
    }
}

/// A network of layers that run one after the other.
pub(crate) struct Stack {
    input: Vec<usize>,
    blocks: Vec<Box<dyn Block>>,
}

impl Stack {
    /// `input` is the shape of one row; the last block is the head.
    pub(crate) fn new(input: Vec<usize>, blocks: Vec<Box<dyn Block>>) -> Self {
        Self { input, blocks }
    }

    /// Rows in the shape that the first layer reads, whether they come flat or as images.
    fn shaped(&self, x: &Tensor) -> Result<Tensor> {
        let row: usize = x.dims().iter().skip(1).product();
        let expected = self.input.iter().copied().fold(1, usize::saturating_mul);
        if x.rank() < 2 || row != expected {
            let found = x.dims();
            let message = format!("the network reads rows of {expected} numbers, but the input has shape {found:?}");
            return Err(ModelError::Input(message));
        }
        let mut shape = vec![x.dim(0)?];
        shape.extend(&self.input);
        Ok(x.reshape(shape)?)
    }
}

impl Network for Stack {
    fn enter(&self, input: &Input) -> Result<(Tensor, Shared)> {
        match input {
            Input::Features(x) => Ok((x.clone(), Shared::default())),
            Input::Tokens(_) => {
                Err(ModelError::Input("the network reads rows of features, but the input is tokens".to_owned()))
            }
        }
    }

    fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn block(&self, index: usize, x: &Tensor, _: &Shared, cx: &mut Forward<'_>) -> Result<Tensor> {
        let block = self.blocks.get(index).ok_or_else(|| no_block(index, self.blocks.len()))?;
        if index == 0 { block.run(&self.shaped(x)?, cx) } else { block.run(x, cx) }
    }
}

/// The error for a block that the network does not have.
pub(crate) fn no_block(index: usize, count: usize) -> ModelError {
    let last = count.saturating_sub(1);
    ModelError::Unsupported(format!("block {index} was asked for, but the network has blocks 0 to {last}"))
}

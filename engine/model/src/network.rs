//! A runnable model. One `forward` for inference (fused, fast ops) and one for training (every op has a gradient),
//! chosen by the mode; and the same network block by block.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::checkpoint::{Checkpoint, Weight};
use crate::error::{ModelError, Result};
use crate::families;
use crate::generation::Generation;
use crate::ggml::BlockMatrix;
use crate::quantized::IntegerWeight;
use crate::rows::Rows;
use crate::tap::{Observer, TapWeight, WeightSource};
use crate::tokens::Tokens;

/// What a network reads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// Rows of features, [rows, features], or images, [rows, channels, height, width].
    Features(Tensor),
    /// Token numbers.
    Tokens(Tokens),
}

/// What all blocks of one forward pass share, made from its input: masks, positions, segments, rotary tables.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// 1 for a token and 0 for padding, [rows, length].
    pub(crate) mask: Option<Tensor>,
    /// Which segment each token belongs to, [rows, length] in u32.
    pub(crate) types: Option<Tensor>,
    /// Added to attention scores, [1 or rows, 1 or heads, 1 or queries, keys].
    pub(crate) bias: Option<Tensor>,
    /// The same for layers that look back over a window only.
    pub(crate) window_bias: Option<Tensor>,
    /// Cosines and sines of the rotary angles, [length, head width / 2] each.
    pub(crate) rope: Option<(Tensor, Tensor)>,
}

/// Which ops a forward pass may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Fast ops without gradients.
    Inference,
    /// Gradients everywhere; batch norm uses the batch's statistics and dropout is active.
    Training,
    /// Gradients everywhere, but batch norm and dropout as in inference.
    Differentiable,
}

/// Fills a buffer with numbers in [0, 1).
pub type Uniform<'a> = &'a mut dyn FnMut(&mut [f32]);

/// One forward pass: its mode, who watches, where dropout's randomness comes from and where batch statistics go.
pub struct Forward<'a> {
    /// Which ops may be used.
    pub mode: Mode,
    /// Sees each site's input.
    pub observer: Option<&'a mut dyn Observer>,
    /// Uniform numbers in [0, 1) for dropout: `fill(buffer)`. Without it dropout is off.
    pub uniform: Option<Uniform<'a>>,
    /// Keeps the running statistics of batch norm while training; without it they stay as they are.
    pub statistics: Option<&'a dyn WeightSource>,
}

impl<'a> Forward<'a> {
    /// Plain inference.
    pub fn inference() -> Self {
        Self { mode: Mode::Inference, observer: None, uniform: None, statistics: None }
    }

    /// Inference with an observer at every site.
    pub fn observed(observer: &'a mut dyn Observer) -> Self {
        Self { mode: Mode::Inference, observer: Some(observer), uniform: None, statistics: None }
    }

    /// Training with dropout noise; `source`, which also gives the weights, keeps the running statistics.
    pub fn training(source: &'a dyn WeightSource, uniform: Uniform<'a>) -> Self {
        Self { mode: Mode::Training, observer: None, uniform: Some(uniform), statistics: Some(source) }
    }

    /// As inference, but every op has a gradient.
    pub fn differentiable() -> Self {
        Self { mode: Mode::Differentiable, observer: None, uniform: None, statistics: None }
    }
}

/// A model that runs.
pub trait Network: Send + Sync {
    /// Raw outputs, [rows, outputs]; one row of outputs a token, [rows, length, outputs], for a model that labels or
    /// continues tokens.
    ///
    /// # Errors
    /// When the input does not fit.
    fn forward(&self, input: &Input, cx: &mut Forward<'_>) -> Result<Tensor> {
        let (mut x, shared) = self.enter(input)?;
        for block in 0..self.blocks() {
            x = self.block(block, &x, &shared, cx)?;
        }
        Ok(x)
    }

    /// What the first block reads, and what all blocks share.
    ///
    /// # Errors
    /// When the input does not fit.
    fn enter(&self, input: &Input) -> Result<(Tensor, Shared)>;

    /// How many blocks there are; the last is the head.
    fn blocks(&self) -> usize;

    /// Runs one block on the output of the one before it.
    ///
    /// # Errors
    /// When the input does not fit.
    fn block(&self, index: usize, x: &Tensor, shared: &Shared, cx: &mut Forward<'_>) -> Result<Tensor>;

    /// A text to be continued token by token.
    ///
    /// # Errors
    /// When the model does not continue texts.
    fn generation(&self) -> Result<Generation<'_>> {
        Err(ModelError::Unsupported("the model does not continue texts".to_owned()))
    }
}

impl Checkpoint {
    /// The runnable model, with weights as stored (quantized ones run quantized).
    ///
    /// # Errors
    /// When the model is not built, its family is unknown, or tensors do not fit.
    pub fn network(&self) -> Result<Box<dyn Network>> {
        self.network_from(self)
    }

    /// The same network over other weights (trainable variables, fake-quantized weights).
    ///
    /// # Errors
    /// When tensors do not fit.
    pub fn network_from(&self, source: &dyn WeightSource) -> Result<Box<dyn Network>> {
        if !self.is_built() {
            return Err(ModelError::Unsupported("the model has no weights yet; it runs once it is trained".to_owned()));
        }
        let unknown = || ModelError::Unsupported("the model has no known family, so it cannot run".to_owned());
        families::network(&self.outline(), source)?.ok_or_else(unknown)
    }

    /// The model's raw outputs, [rows, outputs] in f32 on the CPU, for rows that it has read ([`Checkpoint::read`]), in
    /// batches of `batch` rows.
    ///
    /// # Errors
    /// When the model does not run, or rows have another width than it reads.
    pub fn predict(&self, rows: &Rows, batch: usize) -> Result<Tensor> {
        let network = self.network()?;
        let mut outputs = Vec::new();
        let all: Vec<usize> = (0..rows.len()).collect();
        for batch in all.chunks(batch.max(1)) {
            let output = network.forward(&rows.batch(batch)?, &mut Forward::inference())?;
            outputs.push(output.to_device(&Device::Cpu)?.to_dtype(DType::F32)?);
        }
        if outputs.is_empty() {
            let width = self.config().map_or(0, |config| config.output);
            return Ok(Tensor::zeros((0, width), DType::F32, &Device::Cpu)?);
        }
        Ok(Tensor::cat(&outputs, 0)?)
    }
}

/// Weights as stored, for inference; half-precision numbers become f32, which is what the CPU computes in.
impl WeightSource for Checkpoint {
    fn site(&self, name: &str) -> Result<TapWeight> {
        Ok(match self.weight(&format!("{name}.weight"))? {
            Weight::Dense { tensor, .. } => TapWeight::Dense(tensor.to_dtype(DType::F32)?),
            Weight::Blocks(weight) => TapWeight::Blocks(BlockMatrix::new(&weight)?),
            Weight::Quantized(weight) => TapWeight::Integers(Arc::new(IntegerWeight::new(&weight))),
        })
    }

    /// A tied table may have an input to quantize where it is the output layer; its rows are looked up as they are.
    fn table(&self, name: &str) -> Result<TapWeight> {
        match self.weight(&format!("{name}.weight"))? {
            Weight::Quantized(weight) => Ok(TapWeight::Quantized(Arc::new(weight))),
            _ => WeightSource::site(self, name),
        }
    }

    fn tensor(&self, name: &str) -> Result<Tensor> {
        Ok(Checkpoint::tensor(self, name)?.to_dtype(DType::F32)?)
    }
}

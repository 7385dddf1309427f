//! A runnable model. One `forward` for inference (fused, fast ops) and one for training (every op has a gradient),
//! chosen by the mode; and the same network block by block.

use candle_core::Tensor;

use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::tap::{Observer, WeightSource};

/// What a network reads.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Input {
    /// Rows of features, [rows, features], or images, [rows, channels, height, width].
    Features(Tensor),
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

/// One forward pass: its mode, who watches, where dropout's randomness comes from and where batch statistics go.
pub struct Forward<'a> {
    /// Which ops may be used.
    pub mode: Mode,
    /// Sees each site's input.
    pub observer: Option<&'a mut dyn Observer>,
    /// Uniform numbers in [0, 1) for dropout: `fill(buffer)`. Without it dropout is off.
    pub uniform: Option<&'a mut dyn FnMut(&mut [f32])>,
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
    pub fn training(source: &'a dyn WeightSource, uniform: &'a mut dyn FnMut(&mut [f32])) -> Self {
        Self { mode: Mode::Training, observer: None, uniform: Some(uniform), statistics: Some(source) }
    }

    /// As inference, but every op has a gradient.
    pub fn differentiable() -> Self {
        Self { mode: Mode::Differentiable, observer: None, uniform: None, statistics: None }
    }
}

/// A model that runs.
pub trait Network: Send + Sync {
    /// Raw outputs, [rows, outputs].
    ///
    /// # Errors
    /// When the input does not fit.
    fn forward(&self, input: &Input, cx: &mut Forward<'_>) -> Result<Tensor> {
        let Input::Features(x) = input;
        let mut x = x.clone();
        for block in 0..self.blocks() {
            x = self.block(block, &x, cx)?;
        }
        Ok(x)
    }

    /// How many blocks there are; the last is the head.
    fn blocks(&self) -> usize;

    /// Runs one block on the output of the one before it.
    ///
    /// # Errors
    /// When the input does not fit.
    fn block(&self, index: usize, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor>;
}

impl Checkpoint {
    /// The runnable model, with weights as stored (quantized ones run quantized).
    ///
    /// # Errors
    /// When the model is not built, its family is unknown, or tensors do not fit.
    pub fn network(&self) -> Result<Box<dyn Network>> {
        todo!()
    }

    /// The same network over other weights (trainable variables, fake-quantized weights).
    ///
    /// # Errors
    /// When tensors do not fit.
    pub fn network_from(&self, source: &dyn WeightSource) -> Result<Box<dyn Network>> {
        let _ = source;
        todo!()
    }

    /// The model's raw outputs for a matrix of inputs (after [`crate::Inputs::apply`]), in batches of `batch` rows.
    ///
    /// # Errors
    /// When the model does not run.
    pub fn predict(&self, inputs: &crate::inputs::Matrix, batch: usize) -> Result<Tensor> {
        let _ = (inputs, batch);
        todo!()
    }
}

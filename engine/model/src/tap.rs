//! TapLinear, TapConv and TapEmbedding: the one place where passes reach into a running model. An observer may see the
//! input, and the weight comes from a provider.

mod embedding;
mod late;

use std::fmt::Debug;
use std::sync::Arc;

use candle_core::Tensor;

use crate::convolution::convolve;
use crate::dropout::dropout;
use crate::error::Result;
use crate::ggml::BlockMatrix;
use crate::linear::linear;
use crate::network::{Forward, Mode};
use crate::quantized::{IntegerWeight, QuantizedWeight, SharedInput};

pub use embedding::TapEmbedding;
pub use late::{LateWeight, LateWeights};

/// What a site multiplies with.
#[derive(Debug, Clone)]
pub enum TapWeight {
    /// Plain numbers (a `Var`'s tensor when training).
    Dense(Tensor),
    /// `tensor * mask` in the graph: exactly no gradient where the mask is zero.
    Masked {
        /// The numbers.
        tensor: Tensor,
        /// Ones and zeros of the same shape and type.
        mask: Tensor,
    },
    /// Computed anew for each forward pass, with gradients; the input of the layer too.
    Provided(Arc<dyn WeightProvider>),
    /// Integers of a table whose rows become floats as they are looked up.
    Quantized(Arc<QuantizedWeight>),
    /// Runs in ggml's arithmetic; where gradients are wanted, as plain numbers that get none.
    Blocks(BlockMatrix),
    /// Multiplies integers; where gradients are wanted, as plain numbers that get none, unless its input is quantized.
    Integers(Arc<IntegerWeight>),
    /// Read when it is first used, and may be replaced between two uses.
    Late(Arc<LateWeight>),
}

impl TapWeight {
    /// What is multiplied with now; never [`TapWeight::Late`].
    ///
    /// # Errors
    /// When it has to be read and cannot be.
    pub(crate) fn now(&self) -> Result<Self> {
        match self {
            TapWeight::Late(late) => late.now(),
            weight => Ok(weight.clone()),
        }
    }
}

/// Computes the weight of a site in the graph, and what the site multiplies with it: a weight and an input that are
/// rounded as they will be once the model is quantized.
pub trait WeightProvider: Debug + Send + Sync {
    /// The weight, of the site's shape.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn weight(&self) -> Result<Tensor>;

    /// The input as the site multiplies it: `x` is [rows, in] for a linear, [rows, channels, height, width] for a
    /// convolution. A lookup table has none.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn input(&self, x: &Tensor, mode: Mode) -> Result<Tensor>;

    /// What a linear layer adds to its weight.
    ///
    /// # Errors
    /// When it cannot be computed.
    fn added(&self) -> Result<Option<Added>> {
        Ok(None)
    }
}

/// A matrix that is added to a weight without being computed: the product of two narrow ones.
#[derive(Debug, Clone)]
pub struct Added {
    /// [rank, in].
    pub narrow: Tensor,
    /// [out, rank].
    pub wide: Tensor,
    /// The rate at which training drops numbers of what `narrow` reads.
    pub dropout: f64,
}

/// A linear layer whose weight is provided: x [rows, in] -> [rows, out].
fn provided(provider: &dyn WeightProvider, x: &Tensor, bias: Option<&Tensor>, cx: &mut Forward<'_>) -> Result<Tensor> {
    let (input, weight) = (provider.input(x, cx.mode)?, provider.weight()?);
    let y = linear(&input, &weight, None, bias)?;
    let Some(Added { narrow, wide, dropout: rate }) = provider.added()? else { return Ok(y) };
    let narrowed = linear(&dropout(&input, rate, cx)?, &narrow, None, None)?;
    Ok((y + linear(&narrowed, &wide, None, None)?)?)
}

/// Where a network gets its weights: a checkpoint for inference, trainable variables for training.
pub trait WeightSource {
    /// The weight of a site (`name` without `.weight`).
    ///
    /// # Errors
    /// When it is missing or has another shape.
    fn site(&self, name: &str) -> Result<TapWeight>;

    /// The weight of a site whose rows are looked up.
    ///
    /// # Errors
    /// As [`WeightSource::site`].
    fn table(&self, name: &str) -> Result<TapWeight> {
        self.site(name)
    }

    /// A plain tensor (bias, norm).
    ///
    /// # Errors
    /// When it is missing.
    fn tensor(&self, name: &str) -> Result<Tensor>;

    /// Stores a running statistic (batch norm) back; sources for inference ignore it.
    ///
    /// # Errors
    /// When the tensor does not fit.
    fn update(&self, name: &str, value: &Tensor) -> Result<()> {
        let _ = (name, value);
        Ok(())
    }
}

/// Sees the inputs of sites during a forward pass, and the outputs of linear layers.
pub trait Observer {
    /// `input` is what the site `name` multiplies: [rows, in] for a linear, [rows, channels, height, width] for a
    /// convolution.
    ///
    /// # Errors
    /// What the observer cannot digest ends the forward pass.
    fn see(&mut self, name: &str, input: &Tensor) -> Result<()>;

    /// `output` is what the linear layer `name` gives, in the graph where there is one: of the shape of the layer's
    /// input but for its width.
    ///
    /// # Errors
    /// As [`Observer::see`].
    fn given(&mut self, name: &str, output: &Tensor) -> Result<()> {
        let _ = (name, output);
        Ok(())
    }
}

/// A linear layer.
#[derive(Debug, Clone)]
pub struct TapLinear {
    /// The site's name.
    pub name: String,
    /// Its weight, [out, in].
    pub weight: TapWeight,
    /// Its bias, [out].
    pub bias: Option<Tensor>,
}

/// A 2-d convolution.
#[derive(Debug, Clone)]
pub struct TapConv {
    /// The site's name.
    pub name: String,
    /// Its weight, [out, in, kernel, kernel].
    pub weight: TapWeight,
    /// Its bias, [out].
    pub bias: Option<Tensor>,
    /// Step between windows.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
}

impl TapLinear {
    /// x [..., in] -> [..., out]. The observer sees all rows as one matrix, [rows, in].
    ///
    /// # Errors
    /// When shapes do not fit, or an observer refuses.
    pub fn forward(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        self.forward_shared(x, &mut SharedInput::default(), cx)
    }

    /// As [`TapLinear::forward`], for one of several layers that read the same `x`: `shared` keeps what they have in
    /// common.
    ///
    /// # Errors
    /// As [`TapLinear::forward`].
    pub(crate) fn forward_shared(&self, x: &Tensor, shared: &mut SharedInput, cx: &mut Forward<'_>) -> Result<Tensor> {
        let y = if x.rank() <= 2 {
            self.rows(x, shared, cx)?
        } else {
            let mut shape = x.dims().to_vec();
            let y = self.rows(&x.flatten_to(x.rank() - 2)?, shared, cx)?;
            shape.pop();
            shape.push(y.dim(1)?);
            y.reshape(shape)?
        };
        if let Some(observer) = cx.observer.as_mut() {
            observer.given(&self.name, &y)?;
        }
        Ok(y)
    }

    /// x [rows, in] -> [rows, out].
    fn rows(&self, x: &Tensor, shared: &mut SharedInput, cx: &mut Forward<'_>) -> Result<Tensor> {
        if let Some(observer) = cx.observer.as_mut() {
            observer.see(&self.name, x)?;
        }
        let trains = cx.mode != Mode::Inference;
        let y = match &self.weight.now()? {
            TapWeight::Dense(tensor) if trains => return linear(x, tensor, None, self.bias.as_ref()),
            TapWeight::Masked { tensor, mask } if trains => {
                return linear(x, tensor, Some(mask), self.bias.as_ref());
            }
            TapWeight::Dense(tensor) => x.matmul(&tensor.t()?)?,
            TapWeight::Masked { tensor, mask } => x.matmul(&tensor.mul(mask)?.t()?)?,
            TapWeight::Late(_) => return Err(late::nested(&self.name)),
            TapWeight::Blocks(weight) => weight.linear(&self.name, x, cx.mode)?,
            TapWeight::Quantized(weight) => x.matmul(&weight.dequantize()?.t()?)?,
            TapWeight::Integers(weight) => return weight.linear(&self.name, x, self.bias.as_ref(), shared, cx.mode),
            TapWeight::Provided(provider) => return provided(&**provider, x, self.bias.as_ref(), cx),
        };
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }
}

impl TapConv {
    /// x [rows, in, height, width] -> [rows, out, height', width'].
    ///
    /// # Errors
    /// When shapes do not fit, or an observer refuses.
    pub fn forward(&self, x: &Tensor, cx: &mut Forward<'_>) -> Result<Tensor> {
        if let Some(observer) = cx.observer.as_mut() {
            observer.see(&self.name, x)?;
        }
        let convolve = |x: &Tensor, weight: &Tensor| convolve(x, weight, self.stride, self.padding, cx.mode);
        let y = match &self.weight.now()? {
            TapWeight::Dense(tensor) => convolve(x, tensor)?,
            TapWeight::Masked { tensor, mask } => convolve(x, &tensor.mul(mask)?)?,
            TapWeight::Provided(provider) => convolve(&provider.input(x, cx.mode)?, &provider.weight()?)?,
            TapWeight::Quantized(weight) => convolve(x, &weight.dequantize()?)?,
            TapWeight::Late(_) => return Err(late::nested(&self.name)),
            TapWeight::Blocks(weight) => convolve(x, &weight.like(x)?)?,
            TapWeight::Integers(weight) => weight.conv(&self.name, x, self.stride, self.padding, cx.mode)?,
        };
        Ok(match &self.bias {
            Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?)?,
            None => y,
        })
    }
}

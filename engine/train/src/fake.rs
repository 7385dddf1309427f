//! Fake quantization: in the forward pass the weight of a layer, and its input, are rounded to the grid of integers
//! that they will have once the model is quantized; in the backward pass gradients reach the floats behind them.
//!
//! Two methods. Straight-through (Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons";
//! Jacob et al. 2018, section 3): scales follow the numbers, and the gradient of rounding is 1 inside the grid and 0
//! beyond it. LSQ (Esser et al. 2020, "Learned Step Size Quantization", section 2): scales are trained too.

mod held;
mod input;
mod op;
mod scales;
mod site;
mod weight;

use paring_model::WeightScheme;

pub(crate) use held::HeldSite;
pub use scales::WeightRange;
pub(crate) use site::{FakeSite, input_step, weight_step};

/// How training rounds the weight and the input of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FakeQuantization {
    /// Where scales come from.
    pub method: Method,
    /// The grid of the weight; symmetric.
    pub weight: WeightScheme,
    /// The grid of the input; `None` where it stays in floating point.
    pub input: Option<FakeInput>,
}

/// Where scales come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Learned: LSQ.
    Lsq,
    /// Straight-through: those of weights are found anew in each step, those of inputs from moving averages of the
    /// smallest and the largest number of a batch.
    Ste {
        /// How the range of weights is found.
        range: WeightRange,
    },
}

/// The grid of a layer's input: one scale for all of it, fixed once training is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeInput {
    /// Bits of one input, 2 to 8.
    pub bits: u8,
    /// Signed integers with zero in the middle, rather than unsigned ones with a zero point that suits the range.
    pub symmetric: bool,
}

#[cfg(test)]
mod tests;

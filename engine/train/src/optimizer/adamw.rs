//! AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), in PyTorch's order of operations.

use candle_core::Tensor;

use super::{AdamwSpec, Parameter};
use crate::error::Result;

/// One step; `count` is the number of this step, from 1.
pub(super) fn step(
    spec: &AdamwSpec,
    parameter: &mut Parameter,
    gradient: &Tensor,
    learning_rate: f64,
    count: u64,
) -> Result<()> {
    let [mean, square] = parameter.moments.as_slice() else { return Ok(()) };
    let mean = ((mean * spec.beta1)? + (gradient * (1.0 - spec.beta1))?)?;
    let square = ((square * spec.beta2)? + (gradient.sqr()? * (1.0 - spec.beta2))?)?;
    let mean_bias = 1.0 - spec.beta1.powf(count as f64);
    let square_bias = (1.0 - spec.beta2.powf(count as f64)).sqrt();
    let divisor = square.sqrt()?.affine(1.0 / square_bias, spec.epsilon)?;
    let shrunk =
        (parameter.variable.as_detached_tensor() * (1.0 - learning_rate * parameter.decay(spec.weight_decay)))?;
    let moved = (shrunk - ((&mean / divisor)? * (learning_rate / mean_bias))?)?;
    parameter.variable.set(&moved)?;
    parameter.moments = vec![mean, square];
    Ok(())
}

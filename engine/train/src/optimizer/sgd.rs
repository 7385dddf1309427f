//! Stochastic gradient descent with momentum and Nesterov's look-ahead (Sutskever et al. 2013), as PyTorch writes it:
//! the velocity is a sum of gradients, and the learning rate multiplies it.

use candle_core::Tensor;

use super::{Parameter, SgdSpec};
use crate::error::Result;

/// One step.
pub(super) fn step(spec: &SgdSpec, parameter: &mut Parameter, gradient: &Tensor, learning_rate: f64) -> Result<()> {
    let [velocity] = parameter.moments.as_slice() else { return Ok(()) };
    let present = parameter.variable.as_detached_tensor();
    let decay = parameter.decay(spec.weight_decay);
    let gradient = if decay == 0.0 { gradient.clone() } else { (gradient + (&present * decay)?)? };
    let velocity = if spec.momentum == 0.0 { gradient.clone() } else { ((velocity * spec.momentum)? + &gradient)? };
    let direction = if spec.nesterov { (gradient + (&velocity * spec.momentum)?)? } else { velocity.clone() };
    parameter.variable.set(&(present - (direction * learning_rate)?)?)?;
    parameter.moments = vec![velocity];
    Ok(())
}

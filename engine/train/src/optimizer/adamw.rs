//! AdamW: Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), in PyTorch's order of operations.

use candle_core::Tensor;
use num_traits::Float;

use super::inplace::{Formula, constant, suits, update, update_by_two};
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
    let moves = Move {
        shrinks: 1.0 - learning_rate * parameter.decay(spec.weight_decay),
        rate: learning_rate / (1.0 - spec.beta1.powf(count as f64)),
        divisor: 1.0 / (1.0 - spec.beta2.powf(count as f64)).sqrt(),
        epsilon: spec.epsilon,
    };
    let variable = parameter.variable.as_detached_tensor();
    if suits(&variable) {
        update(mean, gradient, Mean { beta: spec.beta1 })?;
        update(square, gradient, MeanSquare { beta: spec.beta2 })?;
        return update_by_two(&variable, mean, square, moves);
    }
    let mean = ((mean * spec.beta1)? + (gradient * (1.0 - spec.beta1))?)?;
    let square = ((square * spec.beta2)? + (gradient.sqr()? * (1.0 - spec.beta2))?)?;
    let divisor = square.sqrt()?.affine(moves.divisor, moves.epsilon)?;
    let moved = ((variable * moves.shrinks)? - ((&mean / divisor)? * moves.rate)?)?;
    parameter.variable.set(&moved)?;
    parameter.moments = vec![mean, square];
    Ok(())
}

/// `mean` moves towards `other`, of its shape and type: `mean * beta + other * (1 - beta)`.
pub(crate) fn blend(mean: &mut Tensor, other: &Tensor, beta: f64) -> Result<()> {
    if suits(mean) {
        return update(mean, other, Mean { beta });
    }
    *mean = ((&*mean * beta)? + (other * (1.0 - beta))?)?;
    Ok(())
}

/// A moving mean.
struct Mean {
    beta: f64,
}

impl Formula for Mean {
    #[inline(always)]
    fn of<T: Float>(&self, mean: T, gradient: T, _: T) -> T {
        mean * constant(self.beta) + gradient * constant(1.0 - self.beta)
    }
}

/// The mean of squared gradients.
struct MeanSquare {
    beta: f64,
}

impl Formula for MeanSquare {
    #[inline(always)]
    fn of<T: Float>(&self, square: T, gradient: T, _: T) -> T {
        square * constant(self.beta) + gradient * gradient * constant(1.0 - self.beta)
    }
}

/// The step of a weight, from both means.
struct Move {
    shrinks: f64,
    rate: f64,
    divisor: f64,
    epsilon: f64,
}

impl Formula for Move {
    #[inline(always)]
    fn of<T: Float>(&self, weight: T, mean: T, square: T) -> T {
        let divisor = square.sqrt() * constant(self.divisor) + constant(self.epsilon);
        weight * constant(self.shrinks) - mean / divisor * constant(self.rate)
    }
}

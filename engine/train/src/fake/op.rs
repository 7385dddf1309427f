//! Rounding in the graph.

use candle_core::{D, Tensor};
use paring_model::gradient::{Backward, with_gradient};

use crate::error::Result;

/// Added to a 32-bit float of small magnitude and taken away again, it leaves the nearest integer, halves to even:
/// 1.5 * 2^23, above which neighbours are 1 apart.
const NEAREST: f64 = 12_582_912.0;

/// Where the integers of a grid end, and which gradients rounding to them has.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    /// The smallest integer.
    pub(super) low: f64,
    /// The largest integer.
    pub(super) high: f64,
    /// What the gradient of the step is multiplied by: of the step's shape, or of one number. Without it the step has
    /// no gradient.
    pub(super) step_gradient: Option<Tensor>,
}

/// clamp(round(x / step)) * step, for `x` and `step` of one rank, where `step` has a 1 for each dimension that shares
/// it. Halves go to even, as in [`paring_model::QuantizedWeight::round`].
///
/// Gradients with a learned step (Esser et al. 2020, equations 3 and 5), v = x / step: of x, 1 for low < v < high and 0
/// beyond; of the step, round(v) - v inside, low or high beyond. Without: of x, 1 within half a step of the grid.
pub(super) fn fake_quantize(x: &Tensor, step: &Tensor, grid: Grid) -> Result<Tensor> {
    let steps = x.detach().broadcast_div(&step.detach())?;
    let value = grid.integers(&steps)?.broadcast_mul(&step.detach())?;
    if !x.track_op() && !step.track_op() {
        return Ok(value);
    }
    Ok(with_gradient(x, step, &value, grid)?)
}

impl Grid {
    fn integers(&self, steps: &Tensor) -> candle_core::Result<Tensor> {
        steps.clamp(self.low, self.high)?.affine(1.0, NEAREST)?.affine(1.0, -NEAREST)
    }

    /// 1 where the gradient passes through, 0 elsewhere.
    fn inside(&self, steps: &Tensor) -> candle_core::Result<Tensor> {
        let inside = match self.step_gradient {
            Some(_) => steps.gt(self.low)?.mul(&steps.lt(self.high)?)?,
            None => steps.ge(self.low - 0.5)?.mul(&steps.le(self.high + 0.5)?)?,
        };
        inside.to_dtype(steps.dtype())
    }
}

impl Backward for Grid {
    const NAME: &'static str = "fake quantization";

    fn backward(
        &self,
        x: &Tensor,
        step: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let steps = x.detach().broadcast_div(&step.detach())?;
        let inside = self.inside(&steps)?;
        let of_x = x.track_op().then(|| gradient.mul(&inside)).transpose()?;
        let Some(factor) = self.step_gradient.as_ref().filter(|_| step.track_op()) else { return Ok((of_x, None)) };
        let change = self.integers(&steps)?.sub(&steps.mul(&inside)?)?;
        let of_step = sum_to(&gradient.mul(&change)?, step)?.broadcast_mul(factor)?;
        Ok((of_x, Some(of_step)))
    }
}

/// Sums the dimensions in which `like` has 1.
fn sum_to(numbers: &Tensor, like: &Tensor) -> candle_core::Result<Tensor> {
    if like.elem_count() == 1 {
        return numbers.sum_all()?.reshape(like.shape());
    }
    numbers.sum_keepdim(D::Minus1)?.reshape(like.shape())
}

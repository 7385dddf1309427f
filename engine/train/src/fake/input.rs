//! The grid of a layer's input.

use std::sync::OnceLock;

use candle_core::{DType, Device, Tensor, Var};
use paring_model::{FixedInput, Mode};

use super::op::{Grid, fake_quantize};
use super::weight::SMALLEST_STEP;
use super::{FakeInput, Method};
use crate::error::Result;

/// How far the moving averages of the smallest and the largest input go towards those of a batch.
const MOMENTUM: f64 = 0.01;

/// Rounds the input of a layer with one scale.
#[derive(Debug)]
pub(super) struct InputGrid {
    form: FakeInput,
    scale: Scale,
}

#[derive(Debug)]
enum Scale {
    /// Trained. Its first value and the zero point come from the first batch seen that is not all zeros.
    Learned { step: Var, start: OnceLock<Start> },
    /// Moving averages of the smallest and the largest number of a batch, [2]; both zero until one is seen.
    Averaged(Var),
}

#[derive(Debug, Clone, Copy)]
struct Start {
    zero_point: u16,
    least: f64,
}

impl InputGrid {
    pub(super) fn new(form: FakeInput, method: Method, device: &Device) -> Result<Self> {
        let scale = match method {
            Method::Lsq => Scale::Learned { step: Var::ones(1, DType::F32, device)?, start: OnceLock::new() },
            Method::Ste { .. } => Scale::Averaged(Var::zeros(2, DType::F32, device)?),
        };
        Ok(Self { form, scale })
    }

    /// The rounded input, in the graph. A learned grid starts with the first batch seen; averages move with those of
    /// training. Before either, inputs stay as they are. The step's gradient is left out where it `is_frozen`.
    pub(super) fn apply(&self, x: &Tensor, mode: Mode, is_frozen: bool) -> Result<Tensor> {
        if mode == Mode::Training || matches!(self.scale, Scale::Learned { .. }) {
            self.look(x)?;
        }
        let fixed = match self.fixed()? {
            Some(fixed) => fixed,
            None if mode == Mode::Training => FixedInput { bits: self.form.bits, scale: 1.0, zero_point: 0 },
            None => return Ok(x.clone()),
        };
        let low = -f64::from(fixed.zero_point);
        let high = f64::from(fixed.highest()) + low;
        let shape = vec![1; x.rank()];
        let (step, step_gradient) = match &self.scale {
            Scale::Learned { step, .. } => {
                let step = if is_frozen { step.as_detached_tensor() } else { step.as_tensor().clone() };
                (step, Some(gradient_factor(x, low, high)?))
            }
            Scale::Averaged(_) => (Tensor::new(&[fixed.scale], x.device())?, None),
        };
        fake_quantize(x, &step.reshape(shape)?, Grid { low, high, step_gradient })
    }

    /// The grid as it is now; `None` before a batch that is not all zeros.
    pub(super) fn fixed(&self) -> Result<Option<FixedInput>> {
        let bits = self.form.bits;
        match &self.scale {
            Scale::Learned { step, start } => {
                let Some(start) = start.get() else { return Ok(None) };
                let scale = step.as_detached_tensor().squeeze(0)?.to_scalar::<f32>()?;
                Ok(Some(FixedInput { bits, scale, zero_point: start.zero_point }))
            }
            Scale::Averaged(range) => match range.as_detached_tensor().to_vec1::<f32>()?.as_slice() {
                &[low, high] if low < high => Ok(Some(self.covering(low, high))),
                _ => Ok(None),
            },
        }
    }

    /// The trained step.
    pub(super) fn step(&self) -> Option<&Var> {
        match &self.scale {
            Scale::Learned { step, .. } => Some(step),
            Scale::Averaged(_) => None,
        }
    }

    /// What is not trained but changes.
    pub(super) fn average(&self) -> Option<&Var> {
        match &self.scale {
            Scale::Learned { .. } => None,
            Scale::Averaged(range) => Some(range),
        }
    }

    /// Keeps the step positive.
    pub(super) fn constrain(&self) -> Result<()> {
        if let Scale::Learned { step, start } = &self.scale {
            let least = start.get().map_or(SMALLEST_STEP, |start| start.least);
            step.set(&step.as_detached_tensor().maximum(least)?)?;
        }
        Ok(())
    }

    /// Learns the range from a batch.
    fn look(&self, x: &Tensor) -> Result<()> {
        let started = matches!(&self.scale, Scale::Learned { start, .. } if start.get().is_some());
        if started || x.elem_count() == 0 {
            return Ok(());
        }
        let flat = x.detach().flatten_all()?;
        let low = flat.min(0)?.to_scalar::<f32>()?.min(0.0);
        let high = flat.max(0)?.to_scalar::<f32>()?.max(0.0);
        if low == high || !(low.is_finite() && high.is_finite()) {
            return Ok(());
        }
        match &self.scale {
            Scale::Learned { step, start } => self.start(&flat, self.covering(low, high).zero_point, step, start),
            Scale::Averaged(range) => average(range, low, high),
        }
    }

    /// First step 2 <|x|> / sqrt(Q), where Q is the largest magnitude of an integer (Esser et al. 2020, section 2.1).
    fn start(&self, flat: &Tensor, zero_point: u16, step: &Var, start: &OnceLock<Start>) -> Result<()> {
        let mean = f64::from(flat.abs()?.mean_all()?.to_scalar::<f32>()?);
        let fixed = FixedInput { bits: self.form.bits, scale: 1.0, zero_point };
        let largest = f64::from(zero_point.max(fixed.highest() - zero_point));
        let first = (2.0 * mean / largest.sqrt()).max(f64::from(f32::MIN_POSITIVE));
        step.set(&Tensor::new(&[first as f32], step.device())?)?;
        start.get_or_init(|| Start { zero_point, least: first * SMALLEST_STEP });
        Ok(())
    }

    /// The grid over a range that includes zero: in 2^bits - 1 steps, or symmetric around zero.
    fn covering(&self, low: f32, high: f32) -> FixedInput {
        let bits = self.form.bits;
        let whole = FixedInput { bits, scale: 1.0, zero_point: 0 };
        let steps = f32::from(whole.highest());
        if self.form.symmetric {
            let scale = (high.max(-low) / (steps / 2.0)).max(f32::MIN_POSITIVE);
            return FixedInput { scale, zero_point: whole.highest().div_ceil(2), ..whole };
        }
        let scale = ((high - low) / steps).max(f32::MIN_POSITIVE);
        FixedInput { scale, zero_point: (-low / scale).round_ties_even().clamp(0.0, steps) as u16, ..whole }
    }
}

/// 1 / sqrt(N Q), where N is the number of features in a row (Esser et al. 2020, section 2.2).
fn gradient_factor(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    let features = x.elem_count() / x.dim(0)?.max(1);
    let factor = (features.max(1) as f64 * high.max(-low)).sqrt().recip();
    Ok(Tensor::new(&[factor as f32], x.device())?)
}

/// Moves the averages towards a batch; the first batch sets them.
fn average(range: &Var, low: f32, high: f32) -> Result<()> {
    let batch = Tensor::new(&[low, high], range.device())?;
    let present = range.as_detached_tensor();
    let empty = present.to_vec1::<f32>()?.iter().all(|&end| end == 0.0);
    let moved = if empty { batch } else { ((&present * (1.0 - MOMENTUM))? + (batch * MOMENTUM)?)? };
    Ok(range.set(&moved)?)
}

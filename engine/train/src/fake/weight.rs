//! The grid of a weight.

use candle_core::{D, DType, Device, Tensor, Var};
use paring_model::{QuantizedWeight, WeightScheme};

use super::op::{Grid, fake_quantize};
use super::scales::{self, WeightRange};
use super::{FakeQuantization, Method};
use crate::error::Result;

/// A learned step never shrinks below this share of its first value: it stays positive.
pub(super) const SMALLEST_STEP: f64 = 1e-3;

/// Rounds a weight, seen as one row of numbers a scale.
#[derive(Debug)]
pub(super) struct WeightGrid {
    scheme: WeightScheme,
    rows: usize,
    steps: Steps,
}

#[derive(Debug)]
enum Steps {
    /// Trained: one step a row, its least value, and the factor of its gradient.
    Learned { step: Var, least: Tensor, gradient: Tensor },
    /// Found anew each time.
    Found(WeightRange),
}

impl WeightGrid {
    /// For a weight [out, ...] of this value; where `mask` is zero there is nothing to learn from.
    pub(super) fn new(quantization: &FakeQuantization, weight: &Tensor, mask: Option<&Tensor>) -> Result<Self> {
        let scheme = quantization.weight;
        let outputs = weight.dim(0)?;
        let rows = scheme.granularity.scales(outputs, weight.elem_count() / outputs.max(1));
        let steps = match quantization.method {
            Method::Lsq => learned(scheme, &in_rows(weight, rows)?, mask.map(|mask| in_rows(mask, rows)).transpose()?)?,
            Method::Ste { range } => Steps::Found(range),
        };
        Ok(Self { scheme, rows, steps })
    }

    /// The rounded weight, in the graph. The step's gradient is left out where it `is_frozen`.
    pub(super) fn apply(&self, weight: &Tensor, is_frozen: bool) -> Result<Tensor> {
        let numbers = in_rows(weight, self.rows)?;
        let (low, high) = (f64::from(self.scheme.lowest()), f64::from(self.scheme.highest()));
        let (step, step_gradient) = match &self.steps {
            Steps::Learned { step, gradient, .. } if is_frozen => (step.as_detached_tensor(), Some(gradient.clone())),
            Steps::Learned { step, gradient, .. } => (step.as_tensor().clone(), Some(gradient.clone())),
            Steps::Found(_) => {
                (Tensor::from_vec(self.scales(weight)?, self.rows, &Device::Cpu)?.to_device(weight.device())?, None)
            }
        };
        let rounded = fake_quantize(&numbers, &step.unsqueeze(1)?, Grid { low, high, step_gradient })?;
        Ok(rounded.reshape(weight.shape())?)
    }

    /// The weight in integers, exactly as [`WeightGrid::apply`] rounds it.
    pub(super) fn integers(&self, weight: &Tensor) -> Result<QuantizedWeight> {
        Ok(QuantizedWeight::round(&weight.detach(), self.scheme, &self.scales(weight)?, &[])?)
    }

    fn scales(&self, weight: &Tensor) -> Result<Vec<f32>> {
        match &self.steps {
            Steps::Learned { step, .. } => Ok(step.as_detached_tensor().to_vec1::<f32>()?),
            Steps::Found(range) => {
                let numbers = weight.detach().to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
                Ok(scales::of_rows(&numbers, numbers.len() / self.rows.max(1), self.scheme.bits, *range))
            }
        }
    }

    /// The trained step.
    pub(super) fn step(&self) -> Option<&Var> {
        match &self.steps {
            Steps::Learned { step, .. } => Some(step),
            Steps::Found(_) => None,
        }
    }

    /// Keeps the step positive.
    pub(super) fn constrain(&self) -> Result<()> {
        if let Steps::Learned { step, least, .. } = &self.steps {
            step.set(&step.as_detached_tensor().maximum(least)?)?;
        }
        Ok(())
    }
}

/// First steps 2 <|w|> / sqrt(Q), and the factor 1 / sqrt(N Q) of their gradients, where Q is the largest integer and N
/// the number of weights in the row (Esser et al. 2020, sections 2.1 and 2.2). Masked weights count for neither; a row
/// of zeros starts with step 1.
fn learned(scheme: WeightScheme, rows: &Tensor, mask: Option<Tensor>) -> Result<Steps> {
    let largest = f64::from(scheme.highest());
    let mask = mask.map_or_else(|| rows.ones_like(), Ok)?;
    let counts = mask.sum(D::Minus1)?.maximum(1.0)?;
    let mean = rows.mul(&mask)?.abs()?.sum(D::Minus1)?.div(&counts)?;
    let first = (mean * (2.0 / largest.sqrt()))?;
    let first = first.gt(0.0)?.where_cond(&first, &first.ones_like()?)?;
    let gradient = (counts * largest)?.sqrt()?.recip()?.unsqueeze(1)?;
    let least = (&first * SMALLEST_STEP)?;
    Ok(Steps::Learned { step: Var::from_tensor(&first)?, least, gradient })
}

fn in_rows(tensor: &Tensor, rows: usize) -> Result<Tensor> {
    Ok(tensor.to_dtype(DType::F32)?.reshape((rows, ()))?)
}

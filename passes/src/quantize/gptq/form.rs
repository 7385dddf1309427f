//! What a weight is rounded to: integers with scales of their own, or blocks as GGUF files have them.

use paring_model::ggml::{BlockStep, BlockSteps};
use paring_model::{BlockWeight, GgmlType, Granularity, QuantizedWeight, Weight, WeightScheme};

use super::solve::{Grid, Rounded, Step};
use crate::error::PassError;
use crate::quantize::rounding;
use crate::quantize::scales::{self, WeightObserver};
use crate::weights::FloatWeight;

/// What weights become.
#[derive(Debug, Clone, Copy)]
pub(in crate::quantize) enum Form {
    /// Integers of a scheme.
    Integers(WeightScheme),
    /// Blocks of 32 numbers; where errors at large inputs count for more, their steps are searched for.
    Blocks { kind: GgmlType, importance: bool },
}

/// A weight, and what it shall become.
pub(super) struct Target<'a> {
    pub(super) form: Form,
    pub(super) weight: &'a FloatWeight,
    pub(super) observer: WeightObserver,
    /// The mean square of each input.
    pub(super) squares: &'a [f32],
}

impl Target<'_> {
    /// The weight rounded to nearest.
    pub(super) fn nearest(&self) -> Result<Weight, PassError> {
        match self.form {
            Form::Integers(scheme) => Ok(Weight::Quantized(rounding::nearest(self.weight, scheme, self.observer)?)),
            Form::Blocks { kind, .. } => {
                let (numbers, shape) = (&self.weight.numbers, &self.weight.shape);
                Ok(Weight::Blocks(BlockWeight::round(numbers, shape, kind, self.importance())?))
            }
        }
    }

    /// How steps are chosen, and how many inputs share one.
    pub(super) fn grid(&self) -> Result<(Box<dyn Grid>, usize), PassError> {
        let inputs = self.weight.inputs();
        match self.form {
            Form::Integers(scheme) => {
                let integers = Integers { scheme, observer: self.observer };
                Ok(match scheme.granularity {
                    Granularity::Tensor => (Box::new(Fixed(integers.fit(&self.weight.numbers, 0))), inputs),
                    Granularity::Channel => (Box::new(integers), inputs),
                    Granularity::Group(size) => (Box::new(integers), size),
                })
            }
            Form::Blocks { kind, .. } => {
                let steps = BlockSteps::new(kind, inputs, self.importance())?;
                let refused = || PassError::Failed(format!("blocks of {kind} are too large to be rounded one by one"));
                Ok((Box::new(Blocks(steps.ok_or_else(refused)?)), kind.block()))
            }
        }
    }

    /// The weight in the model's form.
    pub(super) fn assemble(&self, rounded: Rounded) -> Result<Weight, PassError> {
        match self.form {
            Form::Integers(scheme) => Ok(Weight::Quantized(integers(self.weight, scheme, rounded))),
            Form::Blocks { kind, .. } => {
                let Rounded { integers, steps } = rounded;
                let steps: Vec<BlockStep> = steps.into_iter().map(block_step).collect();
                Ok(Weight::Blocks(BlockWeight::of_integers(kind, &self.weight.shape, &integers, &steps)?))
            }
        }
    }

    fn importance(&self) -> Option<&[f32]> {
        matches!(self.form, Form::Blocks { importance: true, .. }).then_some(self.squares)
    }
}

/// The numbers that a rounded weight stands for.
///
/// # Errors
/// When its parts do not fit each other.
pub(super) fn restored(weight: &Weight) -> Result<Vec<f32>, PassError> {
    match weight {
        Weight::Quantized(weight) => rounding::restored(weight),
        Weight::Blocks(weight) => Ok(weight.dequantize()?.flatten_all()?.to_vec1()?),
        Weight::Dense { tensor, .. } => Ok(tensor.flatten_all()?.to_vec1()?),
    }
}

/// Bits that a rounded weight takes in a file, shared out over its numbers.
pub(super) fn bits_per_weight(weight: &Weight) -> f64 {
    match weight {
        Weight::Quantized(weight) => rounding::bits_per_weight(weight, None),
        Weight::Blocks(weight) => rounding::bits_of_blocks(weight),
        Weight::Dense { tensor, .. } => tensor.dtype().size_in_bytes() as f64 * 8.0,
    }
}

/// The steps of an integer scheme.
struct Integers {
    scheme: WeightScheme,
    observer: WeightObserver,
}

impl Grid for Integers {
    fn fit(&self, group: &[f32], _: usize) -> Step {
        let (scale, zero_point) = scales::fit(group, self.scheme, self.observer);
        Step {
            scale,
            offset: -scale * f32::from(zero_point),
            lowest: f32::from(self.scheme.lowest()),
            highest: f32::from(self.scheme.highest()),
        }
    }
}

/// One step for all.
struct Fixed(Step);

impl Grid for Fixed {
    fn fit(&self, _: &[f32], _: usize) -> Step {
        self.0
    }
}

/// The steps of blocks.
struct Blocks(BlockSteps);

impl Grid for Blocks {
    fn fit(&self, group: &[f32], first: usize) -> Step {
        let BlockStep { scale, offset, lowest, highest } = self.0.of(group, first);
        if scale == 0.0 {
            // Every integer stands for the same number.
            return Step { scale: 1.0, offset, lowest: 0.0, highest: 0.0 };
        }
        Step { scale, offset, lowest: f32::from(lowest), highest: f32::from(highest) }
    }
}

fn block_step(step: Step) -> BlockStep {
    let Step { scale, offset, lowest, highest } = step;
    BlockStep { scale, offset, lowest: lowest as i8, highest: highest as i8 }
}

fn integers(weight: &FloatWeight, scheme: WeightScheme, rounded: Rounded) -> QuantizedWeight {
    let Rounded { integers, steps } = rounded;
    let steps = if scheme.granularity == Granularity::Tensor { steps.get(..1).unwrap_or_default() } else { &steps };
    let zero_points = steps.iter().map(|step| (-step.offset / step.scale).round_ties_even() as i8);
    QuantizedWeight {
        shape: weight.shape.clone(),
        scheme,
        values: integers,
        scales: steps.iter().map(|step| step.scale).collect(),
        zero_points: if scheme.symmetric { Vec::new() } else { zero_points.collect() },
        activation: None,
    }
}

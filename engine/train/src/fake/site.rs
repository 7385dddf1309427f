//! A site whose weight, and input, are rounded while it is trained.

use candle_core::{Tensor, Var};
use paring_model::tap::WeightProvider;
use paring_model::{ActivationScheme, Mode, ModelError, QuantizedWeight, Weight};

use super::FakeQuantization;
use super::input::InputGrid;
use super::weight::WeightGrid;
use crate::error::{Result, TrainError};
use crate::made::MadeSite;

/// One site: the float weight behind the rounded one, and its grids.
#[derive(Debug)]
pub(crate) struct FakeSite {
    name: String,
    weight: Tensor,
    mask: Option<Tensor>,
    weight_grid: WeightGrid,
    input_grid: Option<InputGrid>,
    weight_step: Step,
    input_step: Step,
}

/// A step as the optimizer knows it.
#[derive(Debug)]
struct Step {
    name: String,
    is_frozen: bool,
}

impl Step {
    fn new(name: String, is_frozen: &dyn Fn(&str) -> bool) -> Self {
        Self { is_frozen: is_frozen(&name), name }
    }
}

impl FakeSite {
    /// For the site `name` with this weight as a network sees it.
    pub(crate) fn new(
        name: &str,
        (weight, mask): (Tensor, Option<Tensor>),
        quantization: &FakeQuantization,
        is_frozen: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        let input = |form| InputGrid::new(form, quantization.method, weight.device());
        Ok(Self {
            name: name.to_owned(),
            weight_grid: WeightGrid::new(quantization, &weight.detach(), mask.as_ref())?,
            input_grid: quantization.input.map(input).transpose()?,
            weight_step: Step::new(weight_step(name), is_frozen),
            input_step: Step::new(input_step(name), is_frozen),
            weight,
            mask,
        })
    }

    fn steps(&self) -> (Option<&Var>, Option<&Var>) {
        (self.weight_grid.step(), self.input_grid.as_ref().and_then(InputGrid::step))
    }

    /// The layer in integers; it computes what this site does in inference, to the rounding of floats.
    ///
    /// # Errors
    /// When no input was seen that is not zero, or a weight is not finite.
    pub(crate) fn integers(&self) -> Result<QuantizedWeight> {
        let mut rounded = self.weight_grid.integers(&self.masked()?)?;
        if let Some(grid) = &self.input_grid {
            let name = &self.name;
            let unseen = || format!("the input of `{name}` is zero in all training rows, so it has no range");
            let fixed = grid.fixed()?.ok_or_else(|| TrainError::Mismatch(unseen()))?;
            rounded.activation = Some(ActivationScheme::Fixed(fixed));
        }
        Ok(rounded)
    }

    fn masked(&self) -> candle_core::Result<Tensor> {
        self.mask.as_ref().map_or_else(|| Ok(self.weight.clone()), |mask| self.weight.mul(mask))
    }
}

/// The name of the step of a site's weight.
pub(crate) fn weight_step(site: &str) -> String {
    format!("{site}.weight_step")
}

/// The name of the step of a site's input.
pub(crate) fn input_step(site: &str) -> String {
    format!("{site}.input_step")
}

impl WeightProvider for FakeSite {
    fn weight(&self) -> paring_model::Result<Tensor> {
        self.weight_grid.apply(&self.masked()?, self.weight_step.is_frozen).map_err(refused)
    }

    fn input(&self, x: &Tensor, mode: Mode) -> paring_model::Result<Tensor> {
        match &self.input_grid {
            Some(grid) => grid.apply(x, mode, self.input_step.is_frozen).map_err(refused),
            None => Ok(x.clone()),
        }
    }
}

impl MadeSite for FakeSite {
    fn parameters(&self) -> Vec<(&str, &Var)> {
        let moving = |step: &Step| !step.is_frozen;
        let (weight, input) = self.steps();
        let weight = weight.filter(|_| moving(&self.weight_step)).map(|var| (self.weight_step.name.as_str(), var));
        let input = input.filter(|_| moving(&self.input_step)).map(|var| (self.input_step.name.as_str(), var));
        weight.into_iter().chain(input).collect()
    }

    fn state(&self) -> Vec<(&str, &Var)> {
        let (weight, input) = self.steps();
        let average = self.input_grid.as_ref().and_then(InputGrid::average);
        let weight = weight.map(|var| (self.weight_step.name.as_str(), var));
        weight.into_iter().chain(input.or(average).map(|var| (self.input_step.name.as_str(), var))).collect()
    }

    /// Keeps steps positive.
    fn constrain(&self) -> Result<()> {
        self.weight_grid.constrain()?;
        self.input_grid.as_ref().map_or(Ok(()), InputGrid::constrain)
    }

    /// Of a learned step: its mean over the mean magnitude of the weights.
    fn relative_size(&self, name: &str) -> Result<Option<f64>> {
        let Some((_, step)) = self.parameters().into_iter().find(|(step, _)| *step == name) else { return Ok(None) };
        let sum = |tensor: &Tensor| -> Result<f64> { Ok(f64::from(tensor.sum_all()?.to_scalar::<f32>()?)) };
        let step = sum(&step.as_detached_tensor())? / step.elem_count() as f64;
        let count = self.mask.as_ref().map_or(Ok(self.weight.elem_count() as f64), sum)?;
        let weights = sum(&self.masked()?.detach().abs()?)? / count.max(1.0);
        Ok((weights > 0.0).then(|| step / weights))
    }

    fn finished(&self) -> Result<Weight> {
        Ok(Weight::Quantized(self.integers()?))
    }
}

/// Grids fail only as candle or the model do.
pub(super) fn refused(error: TrainError) -> ModelError {
    match error {
        TrainError::Model(error) => error,
        TrainError::Candle(error) => error.into(),
        other => ModelError::Unsupported(other.to_string()),
    }
}

//! Float weights of the targeted sites, as plain numbers: what pruning and quantization share.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use paring_model::{Checkpoint, ModelError, Site, WeightOutline};

use crate::effect::PlanCx;
use crate::error::{PassError, Problem};

/// A float weight: one row of numbers an output channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FloatWeight {
    /// The numbers, row-major.
    pub(crate) numbers: Vec<f32>,
    /// Shape: [out, in] or [out, in, kernel, kernel].
    pub(crate) shape: Vec<usize>,
    /// Its zeros are a mask that stages keep.
    pub(crate) masked: bool,
    /// The type that the model keeps it in.
    dtype: DType,
}

impl FloatWeight {
    /// The weight of a site.
    ///
    /// # Errors
    /// When it is missing, quantized, or holds a number that is not finite.
    pub(crate) fn read(model: &Checkpoint, site: &Site) -> Result<Self, PassError> {
        let name = site.weight();
        let numbers = model.floats(&name)?;
        let Some(WeightOutline::Dense { dtype, shape, masked }) = model.weight_outline(&name) else {
            return Err(ModelError::Quantized { name }.into());
        };
        if let Some(place) = numbers.iter().position(|number| !number.is_finite()) {
            let found = numbers.get(place).copied().unwrap_or(f32::NAN);
            return Err(PassError::Failed(format!(
                "tensor `{name}` holds {found} at place {place}, expected finite numbers"
            )));
        }
        Ok(Self { numbers, shape, masked, dtype: float_type(&dtype) })
    }

    /// The same weight with other numbers.
    pub(crate) fn with(&self, numbers: Vec<f32>) -> Self {
        Self { numbers, shape: self.shape.clone(), ..*self }
    }

    /// Numbers in a row.
    pub(crate) fn inputs(&self) -> usize {
        inputs(&self.shape)
    }

    /// These numbers in the shape and type that the model keeps.
    ///
    /// # Errors
    /// When candle refuses.
    pub(crate) fn tensor_of(&self, numbers: Vec<f32>) -> Result<Tensor, PassError> {
        Ok(Tensor::from_vec(numbers, self.shape.as_slice(), &Device::Cpu)?.to_dtype(self.dtype)?)
    }
}

/// The type of a float weight by its name in an outline; those that are read as f32 stay that.
fn float_type(name: &str) -> DType {
    match name {
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "F64" => DType::F64,
        _ => DType::F32,
    }
}

/// Numbers that one output channel of a weight multiplies: everything but the first dimension.
pub(crate) fn inputs(shape: &[usize]) -> usize {
    shape.iter().skip(1).product()
}

/// How far a weight has moved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// Mean of the squared differences.
    pub(crate) mean_squared: f64,
    /// Length of the difference over length of the weight before; 0 for a weight of zeros.
    pub(crate) relative: f64,
}

impl Difference {
    /// Between two versions of one weight.
    pub(crate) fn between(before: &[f32], after: &[f32]) -> Self {
        Self::in_parts([(before, after)])
    }

    /// The same where they come in parts, so that one need not lie in memory as a whole.
    pub(crate) fn in_parts<'a>(parts: impl IntoIterator<Item = (&'a [f32], impl AsRef<[f32]>)>) -> Self {
        let (mut squared, mut length, mut count) = (0.0, 0.0, 0_usize);
        for (before, after) in parts {
            for (was, is) in before.iter().zip(after.as_ref()) {
                squared += (f64::from(*was) - f64::from(*is)).powi(2);
                length += f64::from(*was).powi(2);
            }
            count += before.len();
        }
        let relative = if squared == 0.0 { 0.0 } else { (squared / length).sqrt() };
        Self { mean_squared: squared / count.max(1) as f64, relative }
    }
}

/// The shape of a targeted site's weight.
pub(crate) fn shape<'a>(cx: &'a PlanCx<'_>, site: &Site) -> &'a [usize] {
    cx.outline.weights.get(&site.weight()).map_or(&[], WeightOutline::shape)
}

/// Whether the stage has targets at all, and what is wrong with them where float weights are needed.
pub(crate) fn problems(cx: &PlanCx<'_>) -> Vec<Problem> {
    if cx.sites.is_empty() {
        return vec![Problem::new("", "no linear or convolution layer is targeted")];
    }
    cx.sites.iter().filter_map(|site| problem(cx, site)).collect()
}

fn problem(cx: &PlanCx<'_>, site: &Site) -> Option<Problem> {
    let name = site.weight();
    match cx.outline.weights.get(&name) {
        Some(WeightOutline::Dense { dtype, .. }) if matches!(dtype.as_str(), "F16" | "BF16" | "F32" | "F64") => None,
        Some(WeightOutline::Dense { dtype, .. }) => {
            Some(Problem::new("", format!("tensor `{name}` is {dtype}, expected F16, BF16, F32 or F64")))
        }
        Some(WeightOutline::Quantized { .. } | WeightOutline::Blocks { .. }) => {
            let problem = Problem::new("", format!("tensor `{name}` is quantized, expected float weights"));
            Some(problem.help(format!("leave it out with `ignore: [{}]`, or start from the float model", site.name)))
        }
        None => Some(Problem::new("", format!("tensor `{name}` is missing"))),
    }
}

/// Sites of the model that the stage does not target, with the reason why they stay as they are.
pub(crate) fn untargeted(cx: &PlanCx<'_>) -> Vec<(String, String)> {
    let targets: BTreeSet<&str> = cx.sites.iter().map(|site| site.name.as_str()).collect();
    let all = cx.outline.sites().unwrap_or_default();
    let rest = all.into_iter().filter(|site| !targets.contains(site.name.as_str()));
    rest.map(|site| (site.name, "not among the targets of the stage".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Difference, inputs};

    #[test]
    fn a_kernel_is_flattened_to_inputs() {
        assert_eq!(inputs(&[8, 4]), 4);
        assert_eq!(inputs(&[8, 4, 3, 3]), 36);
    }

    #[test]
    fn differences_are_relative_to_the_length_before() {
        let difference = Difference::between(&[3.0, 4.0], &[3.0, 1.0]);
        assert_eq!(difference, Difference { mean_squared: 4.5, relative: 0.6 });
        let parts = [(&[3.0][..], vec![3.0]), (&[4.0][..], vec![1.0])];
        assert_eq!(Difference::in_parts(parts), difference);
        assert_eq!(Difference::between(&[0.0], &[0.0]), Difference { mean_squared: 0.0, relative: 0.0 });
    }
}

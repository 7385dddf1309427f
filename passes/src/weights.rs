//! Float weights of the targeted sites, as plain numbers: what pruning and quantization share.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use paring_model::{Checkpoint, ModelError, Site, WeightOutline};

use crate::effect::PlanCx;
use crate::error::{PassError, Problem};

/// Numbers that are looked at together.
const PART: usize = 1 << 12;

/// Differences that are added up side by side.
const LANES: usize = 8;

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
        if let Some((place, found)) = not_finite(&numbers) {
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

/// The first number that is not finite, with its place.
fn not_finite(numbers: &[f32]) -> Option<(usize, f32)> {
    // Without an end before the last of a part, many are looked at side by side.
    let all_finite = |part: &[f32]| part.iter().fold(true, |all, number| all & number.is_finite());
    let (index, part) = numbers.chunks(PART).enumerate().find(|(_, part)| !all_finite(part))?;
    let (place, &number) = part.iter().enumerate().find(|(_, number)| !number.is_finite())?;
    Some((index * PART + place, number))
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
        let mut differences = Differences::of(before);
        differences.add(after);
        differences.sum()
    }
}

/// The difference of a weight whose version afterwards comes in parts, so that it need not lie in memory as a whole.
#[derive(Debug, Clone)]
pub(crate) struct Differences<'a> {
    /// What was not compared yet.
    before: &'a [f32],
    /// Numbers that were compared.
    count: usize,
    squared: [f64; LANES],
    length: [f64; LANES],
}

impl<'a> Differences<'a> {
    /// From the weight before.
    pub(crate) fn of(before: &'a [f32]) -> Self {
        Self { before, count: 0, squared: [0.0; LANES], length: [0.0; LANES] }
    }

    /// Compares the numbers that come next.
    pub(crate) fn add(&mut self, after: &[f32]) {
        let (before, rest) = self.before.split_at(after.len().min(self.before.len()));
        self.before = rest;
        self.count += before.len();
        let ((before, before_rest), (after, after_rest)) = (before.as_chunks(), after.as_chunks());
        before.iter().zip(after).for_each(|(was, is)| self.add_chunk(was, is));
        let (mut was, mut is) = ([0.0; LANES], [0.0; LANES]);
        was.iter_mut().zip(before_rest).for_each(|(to, from)| *to = *from);
        is.iter_mut().zip(after_rest).for_each(|(to, from)| *to = *from);
        self.add_chunk(&was, &is);
    }

    fn add_chunk(&mut self, was: &[f32; LANES], is: &[f32; LANES]) {
        let sums = self.squared.iter_mut().zip(&mut self.length);
        for ((squared, length), (was, is)) in sums.zip(was.iter().zip(is)) {
            let (was, is) = (f64::from(*was), f64::from(*is));
            *squared += (was - is) * (was - is);
            *length += was * was;
        }
    }

    /// The difference of all that was compared.
    pub(crate) fn sum(&self) -> Difference {
        let (squared, length): (f64, f64) = (self.squared.iter().sum(), self.length.iter().sum());
        let relative = if squared == 0.0 { 0.0 } else { (squared / length).sqrt() };
        Difference { mean_squared: squared / self.count.max(1) as f64, relative }
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
    use super::{Difference, Differences, PART, inputs, not_finite};

    #[test]
    fn a_kernel_is_flattened_to_inputs() {
        assert_eq!(inputs(&[8, 4]), 4);
        assert_eq!(inputs(&[8, 4, 3, 3]), 36);
    }

    #[test]
    fn the_first_number_that_is_not_finite_is_found() {
        let mut numbers = vec![1.0; 3 * PART + 7];
        assert_eq!(not_finite(&numbers), None);
        for place in [3 * PART + 6, 2 * PART, PART + 5, 0] {
            *numbers.get_mut(place).unwrap() = f32::INFINITY;
            assert_eq!(not_finite(&numbers), Some((place, f32::INFINITY)));
        }
        assert!(not_finite(&[0.0, f32::NAN]).is_some_and(|(place, number)| place == 1 && number.is_nan()));
    }

    #[test]
    fn differences_are_relative_to_the_length_before() {
        let difference = Difference::between(&[3.0, 4.0], &[3.0, 1.0]);
        assert_eq!(difference, Difference { mean_squared: 4.5, relative: 0.6 });
        let mut parts = Differences::of(&[3.0, 4.0]);
        parts.add(&[3.0]);
        parts.add(&[1.0]);
        assert_eq!(parts.sum(), difference);
        assert_eq!(Difference::between(&[0.0], &[0.0]), Difference { mean_squared: 0.0, relative: 0.0 });
    }
}

//! Scales of input channels: which, and where they are folded in.

use candle_core::{DType, Device, Tensor};
use paring_model::{Checkpoint, Source, WeightScheme};

use super::Seen;
use crate::error::PassError;
use crate::hessian::OutputError;
use crate::quantize::scales::{self, WeightObserver};
use crate::weights::FloatWeight;

/// Powers that are tried: 0, 1/20, ... 19/20.
const POWERS: usize = 20;
/// No channel counts as less active than this.
const LEAST: f64 = 1e-4;

/// The scales that leave the least output error after rounding, and their power; all ones for the power 0.
pub(super) fn search(seen: &Seen, model: &Checkpoint, scheme: WeightScheme) -> Result<(Vec<f32>, f64), PassError> {
    let sites = seen.group.sites.iter();
    let weights: Vec<FloatWeight> = sites.map(|site| FloatWeight::read(model, site)).collect::<Result<_, _>>()?;
    let errors = OutputError::new(&seen.mean)?;
    let mut best: Option<(f64, Vec<f32>, f64)> = None;
    for number in 0..POWERS {
        let power = number as f64 / POWERS as f64;
        let scales = of_power(&seen.magnitudes, power);
        let mut error = 0.0;
        for weight in &weights {
            error += errors.between(&weight.numbers, &rounded(weight, &scales, scheme))?;
        }
        if best.as_ref().is_none_or(|(least, ..)| error < *least) {
            best = Some((error, scales, power));
        }
    }
    Ok(best.map_or((Vec::new(), 0.0), |(_, scales, power)| (scales, power)))
}

/// Magnitudes to a power, over the geometric mean of the largest and the smallest of these.
fn of_power(magnitudes: &[f64], power: f64) -> Vec<f32> {
    let raised: Vec<f64> = magnitudes.iter().map(|magnitude| magnitude.max(LEAST).powf(power)).collect();
    let (least, most) = raised.iter().fold((f64::MAX, 0.0_f64), |(least, most), x| (least.min(*x), most.max(*x)));
    let middle = (least * most).sqrt();
    raised.iter().map(|x| (x / middle) as f32).collect()
}

/// A weight whose columns are scaled, rounded and scaled back.
fn rounded(weight: &FloatWeight, scales: &[f32], scheme: WeightScheme) -> Vec<f32> {
    let inputs = weight.inputs();
    let mut scaled = weight.numbers.clone();
    columns(&mut scaled, inputs, scales, |weight, scale| weight * scale);
    let mut rounded = scales::rounded(&scaled, inputs, scheme, WeightObserver::Minmax);
    columns(&mut rounded, inputs, scales, |weight, scale| weight / scale);
    rounded
}

fn columns(numbers: &mut [f32], inputs: usize, scales: &[f32], by: impl Fn(f32, f32) -> f32) {
    for row in numbers.chunks_mut(inputs.max(1)) {
        row.iter_mut().zip(scales).for_each(|(number, &scale)| *number = by(*number, scale));
    }
}

/// Multiplies the columns of all sites that share the input by the scales, and divides what writes it; what is known of
/// the input is from then on of the scaled one. The names of the tensors that changed beside the group's weights.
pub(super) fn fold(seen: &mut Seen, model: &mut Checkpoint, into: &Source) -> Result<Vec<String>, PassError> {
    let scales = Tensor::new(seen.scales.as_slice(), &Device::Cpu)?;
    let mut changed = Vec::new();
    let first = seen.group.sites.first();
    let sharing = first.into_iter().flat_map(|site| site.shares_input_with.iter().chain([&site.name]));
    for site in sharing {
        change(model, &format!("{site}.weight"), |weight| weight.broadcast_mul(&scales))?;
        changed.push(format!("{site}.weight"));
    }
    for name in &into.tensors {
        change(model, name, |tensor| {
            // The first dimension of a weight counts its channels; a bias and a norm have no other.
            let mut shape = vec![1; tensor.rank()];
            shape.first_mut().into_iter().for_each(|channels| *channels = scales.elem_count());
            tensor.broadcast_div(&scales.reshape(shape)?)
        })?;
        changed.push(name.clone());
    }
    let size = seen.mean.nrows();
    for row in 0..size {
        for column in 0..size {
            seen.mean[(row, column)] /= f64::from(seen.scales[row]) * f64::from(seen.scales[column]);
        }
    }
    Ok(changed)
}

/// A tensor changed in f32 and kept in its own type.
fn change(
    model: &mut Checkpoint,
    name: &str,
    to: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
) -> Result<(), PassError> {
    let tensor = model.tensor(name)?;
    let changed = to(&tensor.to_dtype(DType::F32)?)?.to_dtype(tensor.dtype())?;
    model.set_tensor(name, changed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::of_power;

    #[test]
    fn scales_lie_around_one() {
        assert_eq!(of_power(&[4.0, 1.0, 16.0], 0.5), [1.0, 0.5, 2.0]);
        assert_eq!(of_power(&[4.0, 1.0, 0.0], 0.0), [1.0, 1.0, 1.0]);
    }
}

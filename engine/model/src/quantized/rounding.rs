//! Floats to integers, once scales and zero points are chosen.

use super::{QuantizedWeight, WeightScheme};
use crate::error::{ModelError, Result};

/// See [`QuantizedWeight::round_numbers`].
pub(super) fn round(
    numbers: &[f32],
    shape: &[usize],
    scheme: WeightScheme,
    scales: &[f32],
    zero_points: &[i8],
) -> Result<QuantizedWeight> {
    let refuse = |reason: String| ModelError::Unsupported(format!("cannot quantize the tensor: {reason}"));
    let mut rounded = QuantizedWeight {
        shape: shape.to_vec(),
        scheme,
        values: vec![0; numbers.len()],
        scales: scales.to_vec(),
        zero_points: zero_points.to_vec(),
        activation: None,
    };
    rounded.check().map_err(refuse)?;
    if let Some(number) = numbers.iter().find(|number| !number.is_finite()) {
        return Err(refuse(format!("it holds `{number}`")));
    }
    rounded.values = nearest(&rounded, numbers);
    Ok(rounded)
}

/// The integer nearest to each number, under the scales of `like`.
fn nearest(like: &QuantizedWeight, numbers: &[f32]) -> Vec<i8> {
    let (lowest, highest) = (f32::from(like.scheme.lowest()), f32::from(like.scheme.highest()));
    let mut values = Vec::with_capacity(numbers.len());
    for (output, row) in numbers.chunks(like.inputs().max(1)).enumerate() {
        for (group, numbers) in row.chunks(like.group()).enumerate() {
            let (scale, zero_point) = like.parameters(output, group);
            let zero_point = f32::from(zero_point);
            let value = |number: &f32| match scale {
                0.0 => zero_point as i8,
                scale => ((number / scale).round_ties_even() + zero_point).clamp(lowest, highest) as i8,
            };
            values.extend(numbers.iter().map(value));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use proptest::prelude::{Strategy, prop, prop_assert, proptest};

    use crate::quantized::{Granularity, QuantizedWeight, WeightScheme};

    fn scheme(bits: u8, symmetric: bool, granularity: Granularity) -> WeightScheme {
        WeightScheme { bits, symmetric, granularity }
    }

    #[test]
    fn rounds_halves_to_even_and_clamps() {
        let weight = Tensor::new(&[[0.25_f32, 0.75, -0.25, -0.6], [9.0, -9.0, 3.4, 0.0]], &Device::Cpu).unwrap();
        let rounded = QuantizedWeight::round(&weight, scheme(4, true, Granularity::Channel), &[0.5, 1.0], &[]).unwrap();
        assert_eq!(rounded.values, [0, 2, 0, -1, 7, -8, 3, 0]);
        let numbers: Vec<Vec<f32>> = rounded.dequantize().unwrap().to_vec2().unwrap();
        assert_eq!(numbers, [[0.0, 1.0, 0.0, -0.5], [7.0, -8.0, 3.0, 0.0]]);
    }

    #[test]
    fn zero_points_shift_the_range_by_group() {
        let weight = Tensor::new(&[[0.0_f32, 3.0, 10.0, 13.0]], &Device::Cpu).unwrap();
        let two_bits = scheme(2, false, Granularity::Group(2));
        let rounded = QuantizedWeight::round(&weight, two_bits, &[1.0, 5.0], &[-2, -2]).unwrap();
        assert_eq!(rounded.values, [-2, 1, 0, 1]);
        let numbers: Vec<Vec<f32>> = rounded.dequantize().unwrap().to_vec2().unwrap();
        assert_eq!(numbers, [[0.0, 3.0, 10.0, 15.0]]);
    }

    #[test]
    fn a_scale_of_zero_gives_the_zero_point() {
        let weight = Tensor::new(&[[0.0_f32, 0.0]], &Device::Cpu).unwrap();
        let rounded = QuantizedWeight::round(&weight, scheme(3, false, Granularity::Tensor), &[0.0], &[2]).unwrap();
        assert_eq!(rounded.values, [2, 2]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let weight = Tensor::new(&[[0.0_f32, f32::NAN, 1.0]], &Device::Cpu).unwrap();
        let message = |scheme, scales: &[f32], zero_points: &[i8]| {
            QuantizedWeight::round(&weight, scheme, scales, zero_points).unwrap_err().to_string()
        };
        let tensor = Granularity::Tensor;
        let cases = [
            (message(scheme(4, true, Granularity::Group(2)), &[1.0], &[]), "groups of 2 do not divide its 3 inputs"),
            (message(scheme(9, true, tensor), &[1.0], &[]), "it has 9 bits, expected 2 to 8"),
            (message(scheme(4, true, tensor), &[1.0, 1.0], &[]), "it has 2 scales, expected 1"),
            (message(scheme(4, false, tensor), &[1.0], &[]), "it has 0 zero points, expected 1"),
            (message(scheme(4, false, tensor), &[1.0], &[8]), "`8` does not fit 4 bits"),
            (message(scheme(4, true, tensor), &[f32::NAN], &[]), "one of its scales is `NaN`"),
            (message(scheme(4, true, tensor), &[1.0], &[]), "it holds `NaN`"),
        ];
        for (found, reason) in cases {
            assert_eq!(found, format!("cannot quantize the tensor: {reason}"));
        }
    }

    proptest! {
        #[test]
        fn is_within_half_a_step_inside_the_range(
            bits in 2_u8..=8,
            symmetric in prop::bool::ANY,
            scale in 1e-3_f32..10.0,
            numbers in prop::collection::vec(-1.0_f32..1.0, 1..65).prop_map(|numbers| numbers),
        ) {
            let scheme = scheme(bits, symmetric, Granularity::Tensor);
            let zero_points = if symmetric { vec![] } else { vec![scheme.lowest()] };
            let shift = zero_points.first().map_or(0.0, |&zero_point| f32::from(zero_point));
            let reach = f32::from(scheme.highest()) - shift;
            let floor = f32::from(scheme.lowest()) - shift;
            let inside: Vec<f32> =
                numbers.iter().map(|number| (number * 130.0).clamp(floor, reach) * scale).collect();
            let weight = Tensor::from_vec(inside.clone(), (1, inside.len()), &Device::Cpu).unwrap();
            let rounded = QuantizedWeight::round(&weight, scheme, &[scale], &zero_points).unwrap();
            for (number, again) in inside.iter().zip(rounded.dequantize_rows(0..1)) {
                let error = (f64::from(*number) - f64::from(again)).abs();
                prop_assert!(error <= f64::from(scale) * (0.5 + 1e-5), "{number} came back as {again}");
            }
        }
    }
}

//! Multiplications against plain sums, and every kernel against the plain one.

use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::kernel::{Job, Plain};
use super::{Inputs, PANEL, Panels, Rows};
use crate::quantized::{Granularity, QuantizedWeight, WeightScheme};

/// Integers that look random.
fn mixed(count: usize, modulus: u32, shift: i32) -> impl Iterator<Item = i32> {
    (0..count as u32)
        .map(move |index| (index.wrapping_mul(2_654_435_761) >> 7) % modulus)
        .map(move |x| x as i32 + shift)
}

/// Signed integers of so many bits.
fn inputs(bits: u8) -> Inputs {
    Inputs { lowest: -(1 << (bits - 1)), highest: (1 << (bits - 1)) - 1 }
}

fn weight(outputs: usize, inputs: usize, granularity: Granularity, symmetric: bool) -> QuantizedWeight {
    weight_of(8, outputs, inputs, granularity, symmetric)
}

fn weight_of(bits: u8, outputs: usize, inputs: usize, granularity: Granularity, symmetric: bool) -> QuantizedWeight {
    let scheme = WeightScheme { bits, symmetric, granularity };
    let value = |value: i32| value as i8;
    let values = 1 << bits;
    let lowest = i32::from(scheme.lowest());
    let scales = granularity.scales(outputs, inputs);
    let zero_points = if symmetric { 0 } else { scales };
    QuantizedWeight {
        shape: vec![outputs, inputs],
        scheme,
        values: mixed(outputs * inputs, values, lowest).map(value).collect(),
        scales: mixed(scales, 100, 1).map(|scale| scale as f32 / 64.0).collect(),
        zero_points: mixed(zero_points, values, lowest).map(value).collect(),
        activation: None,
    }
}

fn rows(panels: &Panels, count: usize, Inputs { lowest, highest }: Inputs) -> (Vec<i16>, Vec<f32>, Rows) {
    let values = (highest - lowest + 1) as u32;
    let numbers: Vec<i16> = mixed(count * panels.inputs(), values, lowest).map(|x| x as i16).collect();
    let scales: Vec<f32> = mixed(count, 50, 1).map(|scale| scale as f32 / 32.0).collect();
    let rows = Rows::new(panels, numbers.clone(), scales.clone());
    (numbers, scales, rows)
}

/// In doubles, from the floats that the integers stand for.
fn expected(weight: &QuantizedWeight, x: &[i16], scales: &[f32], bias: &[f32]) -> Vec<f64> {
    let (inputs, outputs) = (weight.inputs(), weight.outputs());
    let floats = weight.dequantize_rows(0..outputs);
    let rows = x.chunks(inputs).zip(scales);
    let output = |x: &[i16], scale: f32, (row, bias): (&[f32], &f32)| {
        let sum: f64 = x.iter().zip(row).map(|(&x, &weight)| f64::from(x) * f64::from(weight)).sum();
        sum * f64::from(scale) + f64::from(*bias)
    };
    rows.flat_map(|(x, &scale)| floats.chunks(inputs).zip(bias).map(move |pair| output(x, scale, pair))).collect()
}

/// By hand: (1, 2, 3) and (4, 5, -6) by (1, 0, -1) of scale 2 and (10, 20, 30) of scale 1, rows of scale 1 and 0.5, bias
/// 0 and 7.
#[test]
fn a_small_layer_by_hand() {
    let scheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Channel };
    let (values, scales) = (vec![1, 0, -1, 10, 20, 30], vec![2.0, 1.0]);
    let weight = QuantizedWeight { shape: vec![2, 3], scheme, values, scales, zero_points: vec![], activation: None };
    let panels = Panels::new(&weight, inputs(7));
    let rows = Rows::new(&panels, vec![1, 2, 3, 4, 5, -6], vec![1.0, 0.5]);
    assert_eq!(panels.multiply(&rows, Some(&[0.0, 7.0])), [-4.0, 147.0, 10.0, -13.0]);
    assert_eq!(panels.multiply(&rows, None), [-4.0, 140.0, 10.0, -20.0]);
}

#[test]
fn the_longest_sum_of_the_largest_products_is_exact() {
    let inputs = 8184;
    let mut weight = weight(1, inputs, Granularity::Tensor, true);
    weight.values.fill(-128);
    weight.scales.fill(1.0);
    let panels = Panels::new(&weight, Inputs { lowest: -2048, highest: 2047 });
    assert_eq!(panels.spans().len(), 1);
    let rows = Rows::new(&panels, vec![-2048; inputs], vec![1.0]);
    assert_eq!(panels.multiply(&rows, None), [(128 * 2048 * inputs) as f32]);
}

#[test]
fn nothing_by_nothing_is_nothing() {
    let panels = Panels::new(&weight(3, 4, Granularity::Channel, true), inputs(4));
    assert!(panels.multiply(&Rows::new(&panels, vec![], vec![]), None).is_empty());
    let none = Panels::new(&weight(0, 4, Granularity::Channel, true), inputs(4));
    assert!(none.multiply(&Rows::new(&none, vec![1; 4], vec![1.0]), None).is_empty());
}

/// The largest products of bytes in either direction: 255 times -64 or 63, as four in a row.
#[test]
fn the_largest_products_of_bytes_do_not_saturate() {
    for (bits, value) in [(7, -64), (7, 63), (4, -8), (4, 7), (8, -128), (8, 127)] {
        let mut weight = weight_of(bits, 1, 1024, Granularity::Tensor, true);
        weight.values.fill(value);
        weight.scales.fill(1.0);
        let panels = Panels::new(&weight, inputs(8));
        for count in [1, 40] {
            let rows = Rows::new(&panels, vec![127; 1024 * count], vec![1.0; count]);
            assert_eq!(panels.multiply(&rows, None), vec![127.0 * f32::from(value) * 1024.0; count]);
        }
    }
}

fn layers() -> impl Strategy<Value = (u8, usize, usize, Granularity, bool)> {
    let sharing = (1_usize..5, 1_usize..20, 0_usize..3);
    (2_u8..=8, sharing, 1_usize..80, any::<bool>()).prop_map(|(bits, (groups, size, kind), outputs, symmetric)| {
        let granularity = [Granularity::Tensor, Granularity::Channel, Granularity::Group(size)];
        (bits, groups * size, outputs, granularity[kind], symmetric)
    })
}

/// Inputs of 8, 12 and 16 bits, and bytes whose zero point is not in their middle.
fn ranges() -> impl Strategy<Value = Inputs> {
    let bytes = (0_i32..=255).prop_map(|zero_point| Inputs { lowest: -zero_point, highest: 255 - zero_point });
    prop_oneof![Just(inputs(8)), Just(inputs(12)), Just(inputs(16)), bytes]
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]
    #[test]
    fn every_kernel_gives_the_same_bits_and_the_right_sums(
        (bits, inputs, outputs, granularity, symmetric) in layers(),
        range in ranges(),
        count in 1_usize..30,
    ) {
        let weight = weight_of(bits, outputs, inputs, granularity, symmetric);
        let panels = Panels::new(&weight, range);
        prop_assert_eq!(panels.numbers(), weight.dequantize_rows(0..outputs));
        let (x, scales, rows) = rows(&panels, count, range);
        let bias: Vec<f32> = mixed(outputs, 100, -50).map(|bias| bias as f32).collect();
        let found = panels.multiply(&rows, Some(&bias));
        // Sums of spans, whose scales are at most 1.6, and of scales of rows, are added in floats.
        let limit = f64::from(range.highest) * f64::from(1 << bits) * inputs as f64 * 1.6 * 1.6;
        for (found, expected) in found.iter().zip(expected(&weight, &x, &scales, &bias)) {
            assert!((f64::from(*found) - expected).abs() < 1e-6 * (limit + expected.abs()), "{found} {expected}");
        }
        let run = |with: &mut dyn FnMut(Job<'_>)| {
            let (mut y, panels_of) = (vec![0.0; found.len()], 0..outputs.div_ceil(PANEL));
            with(Job { weights: &panels, x: &rows, bias: Some(&bias), rows: 0..count, panels: panels_of, y: &mut y });
            y
        };
        let plain = run(&mut |job| job.run_with(Plain));
        assert_eq!(found, plain);
        // Bytes of 8-bit weights are laid out only where they are multiplied exactly.
        #[cfg(target_arch = "x86_64")]
        super::x86::tests::agree(&run, &plain, bits);
        // Whatever the layout: as with inputs that are no bytes.
        let wide = Panels::new(&weight, Inputs { highest: range.highest.max(256), ..range });
        if wide.spans().len() == panels.spans().len() {
            assert_eq!(wide.multiply(&Rows::new(&wide, x, scales), Some(&bias)), plain);
        }
    }
}

//! Weights in ggml's blocks: rounded as llama.cpp's own package rounds, weighted by importance, and multiplied.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop where a test would"
)]

use std::fs;

use candle_core::{Device, Tensor, Var};
use paring_model::config::Spec;
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::tap::{TapEmbedding, TapLinear, TapWeight};
use paring_model::{
    BlockWeight, Checkpoint, Forward, GgmlType, Inputs, ModelError, Outputs, Weight, families, ggml::BlockMatrix,
};
use proptest::prelude::{Strategy, prop, prop_assert, proptest};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

/// Numbers that look random, with a block of zeros, one whose least and largest number are as far from zero, and one
/// without negative numbers.
fn numbers() -> Vec<f32> {
    let mut numbers: Vec<f32> = (0..64 * 256_u32)
        .map(|index| {
            let base = (index.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
            base * ((index / 32 % 7 + 1) as f32 * 0.37)
        })
        .collect();
    numbers[64..96].fill(0.0);
    for (place, number) in numbers[96..128].iter_mut().enumerate() {
        *number = [0.5, -1.0, 1.0, 0.25][place % 4];
    }
    numbers[128..160].iter_mut().for_each(|number| *number = number.abs());
    numbers
}

/// Digests of what gguf 0.19.0 (Python, `gguf.quants.quantize`) makes of the same numbers.
#[rstest]
#[case(GgmlType::Q8_0, "3658b2081cb03158b2f0b9a9f804f4c9")]
#[case(GgmlType::Q4_0, "f54bd4de9d0d5831f81d341655a1d9d0")]
#[case(GgmlType::Q4_1, "86632f4b6dd2fc3253e59807c9508056")]
#[case(GgmlType::Q5_0, "2313c56cdba1b03b211ce0ee145f6ce1")]
#[case(GgmlType::Q5_1, "b16ec464e7a8cb2fb043499361ebddba")]
fn blocks_are_those_of_the_reference(#[case] kind: GgmlType, #[case] expected: &str) {
    let rounded = BlockWeight::round(&numbers(), &[64, 256], kind, None).unwrap();
    assert_eq!(&blake3::hash(&rounded.bytes).to_hex()[..32], expected);
}

/// A block by hand: the number farthest from zero, -4, becomes the integer 0, so the step is 0.5 and 0 is 8.
#[test]
fn a_block_by_hand() {
    let mut block = [0.0; 32];
    (block[0], block[1], block[16], block[31]) = (-4.0, 3.5, 0.3, -0.2);
    let rounded = BlockWeight::round(&block, &[1, 32], GgmlType::Q4_0, None).unwrap();
    let mut expected = vec![0x00, 0x38, 0x90, 0x8f];
    expected.extend([0x88; 14]);
    assert_eq!(rounded.bytes[..], expected);
    let restored = rounded.dequantize().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!((restored[0], restored[1], restored[16], restored[31]), (-4.0, 3.5, 0.5, 0.0));
}

/// Multiplied and then added, each rounded to 32 bits, -4.5 steps from 8.5 are 4; with one rounding for both they would
/// be 3. llama.cpp as it is built for any x86-64 processor rounds twice.
#[test]
fn products_and_sums_are_rounded_one_by_one() {
    let mut block = [0.0; 32];
    (block[0], block[1]) = (-0.093_75, -0.052_734_375);
    let rounded = BlockWeight::round(&block, &[1, 32], GgmlType::Q4_0, None).unwrap();
    assert_eq!((rounded.bytes[2] & 15, rounded.bytes[3] & 15), (0, 4));
}

const ALL: [GgmlType; 10] = [
    GgmlType::Q4_0,
    GgmlType::Q4_1,
    GgmlType::Q5_0,
    GgmlType::Q5_1,
    GgmlType::Q8_0,
    GgmlType::Q2K,
    GgmlType::Q3K,
    GgmlType::Q4K,
    GgmlType::Q5K,
    GgmlType::Q6K,
];

/// The squared error over all numbers, each by its input's importance.
fn error(numbers: &[f32], rounded: &BlockWeight, importance: &[f32]) -> f64 {
    let restored = rounded.dequantize().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let pairs = numbers.iter().zip(&restored).zip(importance.iter().cycle());
    pairs.map(|((one, other), weight)| f64::from(weight * (one - other).powi(2))).sum()
}

#[test]
fn errors_are_smaller_where_it_matters() {
    let numbers = numbers();
    let importance: Vec<f32> = (0..256).map(|input| if input % 8 == 0 { 30.0 } else { 0.1 }).collect();
    for kind in ALL.into_iter().filter(|&kind| kind != GgmlType::Q8_0) {
        let plain = BlockWeight::round(&numbers, &[64, 256], kind, None).unwrap();
        let weighted = BlockWeight::round(&numbers, &[64, 256], kind, Some(&importance)).unwrap();
        let [before, after] = [&plain, &weighted].map(|rounded| error(&numbers, rounded, &importance));
        assert!(after < 0.8 * before, "{kind}: {before} to {after}");
    }
}

#[test]
fn importance_of_nothing_is_none() {
    for kind in ALL {
        let plain = BlockWeight::round(&numbers(), &[64, 256], kind, None).unwrap();
        assert_eq!(BlockWeight::round(&numbers(), &[64, 256], kind, Some(&[0.0; 256])).unwrap(), plain, "{kind}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let said = |numbers: &[f32], shape: &[usize], kind, importance: Option<&[f32]>| {
        BlockWeight::round(numbers, shape, kind, importance).unwrap_err().to_string()
    };
    let start = "cannot quantize the tensor: ";
    let not_whole = said(&[0.0; 96], &[2, 48], GgmlType::Q4_0, None);
    assert_eq!(not_whole, format!("{start}rows of shape [48] are no whole Q4_0 blocks of 32 numbers"));
    let infinite = said(&[f32::INFINITY; 32], &[1, 32], GgmlType::Q8_0, None);
    assert_eq!(infinite, format!("{start}it holds `inf`, expected numbers up to 8.319008e6"));
    let negative = said(&[1.0; 32], &[1, 32], GgmlType::Q4_1, Some(&[-1.0; 32]));
    assert_eq!(negative, format!("{start}the importance of an input is `-1`, expected a number from 0"));
    let short = said(&[1.0; 32], &[1, 32], GgmlType::Q4_1, Some(&[1.0; 31]));
    assert_eq!(short, format!("{start}there is importance for 31 inputs, but it has 32"));
}

fn sample(count: u32, seed: u32) -> Vec<f32> {
    let number = |index: u32| ((index + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0;
    (0..count).map(number).collect()
}

fn layer() -> (Tensor, TapLinear) {
    let weight = BlockWeight::round(&sample(3 * 64, 5), &[3, 64], GgmlType::Q8_0, None).unwrap();
    let matrix = TapWeight::Blocks(BlockMatrix::new(&weight).unwrap());
    (weight.dequantize().unwrap(), TapLinear { name: "a".to_owned(), weight: matrix, bias: None })
}

#[test]
fn products_are_near_those_of_floats() {
    let (weight, layer) = layer();
    let x = Tensor::from_vec(sample(2 * 64, 900), (2, 64), &Device::Cpu).unwrap();
    let expected = x.matmul(&weight.t().unwrap()).unwrap();
    let found = layer.forward(&x, &mut Forward::inference()).unwrap();
    let difference = (found - expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    // Inputs are rounded to 8 bits: 64 products, each off by at most 1 / 254.
    assert!(difference > 0.0 && difference < 64.0 / 254.0, "{difference}");
    let nothing = layer.forward(&x.narrow(0, 0, 0).unwrap(), &mut Forward::inference()).unwrap();
    assert_eq!(nothing.dims(), [0, 3]);
}

#[test]
fn inputs_are_rounded_in_blocks_of_32() {
    // As ggml does, which is seen where one block of inputs is much larger than its neighbours.
    let weight = BlockWeight::round(&sample(16 * 256, 5), &[16, 256], GgmlType::Q8_0, None).unwrap();
    let x: Vec<f32> = sample(256, 900).iter().enumerate().map(|(n, x)| if n < 32 { 1000.0 * x } else { *x }).collect();
    let rounded = BlockWeight::round(&x, &[1, 256], GgmlType::Q8_0, None).unwrap().dequantize().unwrap();
    let expected = rounded.matmul(&weight.dequantize().unwrap().t().unwrap()).unwrap().to_vec2::<f32>().unwrap();
    let x = Tensor::from_vec(x, (1, 256), &Device::Cpu).unwrap();
    let found = BlockMatrix::new(&weight).unwrap();
    let layer = TapLinear { name: "a".to_owned(), weight: TapWeight::Blocks(found), bias: None };
    let found = layer.forward(&x, &mut Forward::inference()).unwrap().to_vec2::<f32>().unwrap();
    for (found, expected) in found[0].iter().zip(&expected[0]) {
        assert!((found - expected).abs() < 2e-3, "{found} {expected}");
    }
}

#[test]
fn gradients_pass_where_they_are_wanted() {
    let (weight, layer) = layer();
    let x = Var::from_vec(sample(64, 7), (1, 64), &Device::Cpu).unwrap();
    let mut cx = Forward { mode: paring_model::Mode::Differentiable, ..Forward::inference() };
    let y = layer.forward(&x, &mut cx).unwrap();
    assert_eq!(y.to_vec2::<f32>().unwrap(), x.matmul(&weight.t().unwrap()).unwrap().to_vec2::<f32>().unwrap());
    let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().to_vec2::<f32>().unwrap();
    let expected = weight.sum_keepdim(0).unwrap().to_vec2::<f32>().unwrap();
    for (found, expected) in gradient[0].iter().zip(&expected[0]) {
        assert!((found - expected).abs() < 1e-5);
    }
}

#[test]
fn rows_are_looked_up() {
    let (weight, layer) = layer();
    let table = TapEmbedding { name: "a".to_owned(), weight: layer.weight, entries: 3 };
    let rows = table.lookup(&Tensor::new(&[2_u32, 0], &Device::Cpu).unwrap()).unwrap();
    let all = weight.to_vec2::<f32>().unwrap();
    assert_eq!(rows.to_vec2::<f32>().unwrap(), [all[2].clone(), all[0].clone()]);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let (_, layer) = layer();
    let mut wrong = sample(64, 1);
    wrong[3] = f32::NAN;
    let said = |x: Vec<f32>| {
        let x = Tensor::from_vec(x.clone(), (1, x.len()), &Device::Cpu).unwrap();
        layer.forward(&x, &mut Forward::inference()).unwrap_err()
    };
    assert!(matches!(said(wrong), ModelError::Input(reason)
        if reason == "the input of `a` holds numbers that are not numbers (NaN)"));
    assert!(matches!(said(vec![0.0; 32]), ModelError::Shape { found, expected, .. }
        if (found.as_slice(), expected.as_slice()) == ([3, 64].as_slice(), [3, 32].as_slice())));
}

/// A model of one layer.
fn model() -> Checkpoint {
    let columns = vec![ColumnEncoding { name: "pixels".to_owned(), encoding: Encoding::Vector { width: 2 } }];
    let inputs = Inputs { columns, steps: Vec::new(), shape: vec![2] };
    let outputs = Outputs::Classify { column: "kind".to_owned(), labels: vec!["a".into(), "b".into()] };
    let spec = Spec::from_parts("mlp", &json!({"hidden": []})).unwrap();
    families::initialize(&spec, &inputs, &outputs, &mut |_, _| ()).unwrap()
}

/// The same bytes as blocks of another type are another model.
#[test]
fn the_type_of_blocks_is_part_of_the_model() {
    let bytes: std::sync::Arc<[u8]> = vec![0x11; 4 * 144].into();
    let with = |kind, shape: &[usize]| {
        let mut model = model();
        let weight = BlockWeight { shape: shape.to_vec(), kind, bytes: bytes.clone() };
        model.set_weight("extra.weight", Weight::Blocks(weight));
        model
    };
    let (one, other) = (with(GgmlType::Q4_0, &[4, 256]), with(GgmlType::Q4K, &[4, 256]));
    assert_ne!(one.digest().unwrap(), other.digest().unwrap());
    assert_eq!(one.changed_tensors(&other).unwrap(), ["extra.weight"]);
}

#[test]
fn blocks_that_are_not_there_are_refused() {
    let said = |blocks: serde_json::Value| {
        let directory = TempDir::new().unwrap();
        let mut model = model();
        model.set_weight(
            "extra.weight",
            Weight::Dense { tensor: Tensor::new(&[[1_u8; 18]], &Device::Cpu).unwrap(), masked: false },
        );
        model.save(directory.path()).unwrap();
        let path = directory.path().join("paring.json");
        let mut paring: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        paring["blocks"] = blocks;
        fs::write(&path, paring.to_string()).unwrap();
        match Checkpoint::open(directory.path()) {
            Ok(_) => "it opens".to_owned(),
            Err(ModelError::Malformed { reason, .. }) => reason,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(said(json!({"extra.weight": {"type": "q4_0", "shape": [1, 32]}})), "it opens");
    let cases = [
        (json!([1, 64]), "tensor `extra.weight` has type `U8` and shape [1, 18], expected `U8` and [1, 36]"),
        (json!([1, 33]), "tensor `extra.weight`: rows of shape [33] are no whole Q4_0 blocks of 32 numbers"),
        (json!([32]), "tensor `extra.weight`: it is no matrix"),
        (json!([0, 32]), "tensor `extra.weight`: no weight has shape [0, 32]"),
        (
            json!([u64::MAX, 1_u64 << 62, 32]),
            "tensor `extra.weight`: rows of shape [4611686018427387904, 32] are no whole Q4_0 blocks of 32 numbers",
        ),
    ];
    for (shape, expected) in cases {
        assert_eq!(said(json!({"extra.weight": {"type": "q4_0", "shape": shape}})), expected);
    }
    assert_eq!(said(json!({"other": {"type": "q4_0", "shape": [1, 32]}})), "tensor `other` is missing");
    assert!(said(json!({"other": {"type": "q9_9", "shape": [1, 32]}})).contains("unknown variant `q9_9`"));
}

fn rows() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (prop::collection::vec(-3.0_f32..3.0, 512), prop::collection::vec(0.0_f32..2.0, 256))
}

proptest! {
    /// No number moves by more than a step where nothing matters more (the number on the other side of zero has no integer
    /// of its own), and by what a half-precision step is off.
    #[test]
    fn numbers_stay_within_a_step((numbers, _) in rows()) {
        for (kind, steps) in [(GgmlType::Q4_0, 8.0), (GgmlType::Q5_0, 16.0), (GgmlType::Q8_0, 254.0)] {
            let rounded = BlockWeight::round(&numbers, &[2, 256], kind, None).unwrap();
            let restored = rounded.dequantize().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (before, after) in numbers.chunks(32).zip(restored.chunks(32)) {
                let most = before.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
                for (before, after) in before.iter().zip(after) {
                    prop_assert!((before - after).abs() <= most / steps * 1.01 + most / 1024.0, "{kind}: {before} {after} {most}");
                }
            }
        }
    }

    /// Rows are rounded alone: the same bytes whatever stands before them.
    #[test]
    fn rows_do_not_know_each_other((numbers, importance) in rows()) {
        for kind in ALL {
            for importance in [None, Some(importance.as_slice())] {
                let both = BlockWeight::round(&numbers, &[2, 256], kind, importance).unwrap();
                let second = BlockWeight::round(&numbers[256..], &[1, 256], kind, importance).unwrap();
                prop_assert!(both.bytes.ends_with(&second.bytes));
                let finite = both.dequantize().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
                prop_assert!(finite.iter().all(|number| number.is_finite()));
            }
        }
    }
}

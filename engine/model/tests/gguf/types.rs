//! Every type of numbers.

use std::collections::BTreeSet;
use std::fs;

use paring_model::{Checkpoint, Weight};
use rstest::rstest;
use safetensors::SafeTensors;

use crate::writer::{file, novel, tensor};
use crate::{fixture, open};

/// The numbers that the gguf package makes of the same blocks, bit for bit.
#[test]
fn numbers_are_those_of_the_package() {
    let model = Checkpoint::open(&fixture("types.gguf")).unwrap();
    let bytes = fs::read(fixture("types.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let names: BTreeSet<&str> = expected.names().into_iter().collect();
    assert_eq!(model.names().iter().map(String::as_str).collect::<BTreeSet<_>>(), names);
    assert_eq!(names.len(), 26);
    for name in names {
        let view = expected.tensor(name).unwrap();
        let tensor = model.tensor(name).unwrap();
        assert_eq!(tensor.dims(), view.shape(), "{name}");
        let found: Vec<f32> =
            tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let numbers: Vec<f32> = view.data().as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
        let wrong = found.iter().zip(&numbers).position(|(found, expected)| found != expected);
        assert_eq!(wrong, None, "{name}: {:?}", wrong.map(|at| (found[at], numbers[at])));
        let spread = numbers.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
        assert!(spread > 0.0 && spread.is_finite(), "{name}");
        let plain = ["F32", "F16", "BF16"].contains(&name);
        assert_eq!(model.stored_type(name), (!plain).then(|| name.to_owned()));
    }
}

/// Types that the package does not read, by their definition; 0x3800 is one half.
#[rstest]
#[case::q8_1(9, 32, [&[0, 0x38, 9, 9], [2, 0xff, 0, 127].repeat(8).as_slice()].concat(), &[1.0, -0.5, 0.0, 63.5])]
#[case::q8_k(
    15,
    256,
    [0.5_f32.to_le_bytes().as_slice(), &[2, 0xff, 0, 127].repeat(64), &[9; 32]].concat(),
    &[1.0, -0.5, 0.0, 63.5]
)]
#[case::q1_0(41, 128, [[0, 0x38].as_slice(), &[0b1010_0011; 16]].concat(), &[0.5, 0.5, -0.5, -0.5, -0.5, 0.5, -0.5, 0.5])]
#[case::int16(25, 2, vec![2, 0, 0xff, 0xff], &[2.0, -1.0])]
#[case::int32(26, 2, vec![2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], &[2.0, -1.0])]
#[case::int64(27, 1, vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], &[-2.0])]
#[case::double(28, 1, 0.25_f64.to_le_bytes().to_vec(), &[0.25])]
fn numbers_are_those_of_the_definition(
    #[case] kind: u32,
    #[case] count: u64,
    #[case] block: Vec<u8>,
    #[case] period: &[f64],
    #[values(2, 3)] version: u32,
) {
    let model = open(&file(version, &novel(), &[tensor("a", kind, &[count, 1], &block)])).unwrap();
    let Weight::Dense { tensor, masked: false } = model.weight("a").unwrap() else { unreachable!("a plain tensor") };
    assert_eq!(tensor.dims(), [1, count as usize]);
    let found: Vec<f64> = tensor.to_dtype(candle_core::DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let expected: Vec<f64> = period.iter().copied().cycle().take(count as usize).collect();
    assert_eq!(found, expected);
}

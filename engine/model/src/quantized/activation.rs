//! How the input of a layer is quantized: how many bits, and whether its range is fixed or found anew for each row.

use candle_core::{DType, Device, Storage, Tensor};
use rayon::prelude::{IndexedParallelIterator as _, ParallelIterator as _, ParallelSlice as _, ParallelSliceMut as _};
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::fused::{self, Work};
use crate::int8::Inputs;

/// Where the range of a layer's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputRange {
    /// One scale and zero point, found before (by calibration or training) and stored with the layer.
    Fixed,
    /// Each row (of a convolution: each image) has the scale of its largest magnitude, found when it is seen. Nothing
    /// is stored.
    ByRow,
}

/// How the input of a layer is quantized, without its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputForm {
    /// Bits of one input, 2 to 12.
    pub bits: u8,
    /// Where its range comes from.
    pub range: InputRange,
}

/// A range that is the same for every input: q = clamp(round(x / scale) + zero_point, 0, 2^bits - 1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FixedInput {
    /// Bits of one input, 2 to 12.
    pub bits: u8,
    /// Step between two integers.
    pub scale: f32,
    /// The integer that stands for 0.0, 0 to 2^bits - 1.
    pub zero_point: u16,
}

/// How the input of a layer is quantized.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationScheme {
    /// In a range that does not change.
    Fixed(FixedInput),
    /// In a range found for each row, symmetric: scale = max |x| / ((2^bits - 1) / 2), q = clamp(round(x / scale)) from
    /// -2^(bits-1) to 2^(bits-1) - 1.
    ByRow {
        /// Bits of one input, 2 to 12.
        bits: u8,
    },
}

/// The integers of a layer's input, less their zero point, and what one of them stands for in each row.
pub(super) struct Integers {
    pub(super) numbers: Vec<i16>,
    pub(super) scales: Vec<f32>,
}

impl InputForm {
    /// Fewest bits of an input.
    pub const FEWEST_BITS: u8 = 2;
    /// Most bits of an input: sums of products with 8-bit weights stay exact in 32 bits.
    pub const MOST_BITS: u8 = 12;

    /// In a range that does not change.
    pub fn fixed(bits: u8) -> Self {
        Self { bits, range: InputRange::Fixed }
    }

    /// In a range found for each row.
    pub fn by_row(bits: u8) -> Self {
        Self { bits, range: InputRange::ByRow }
    }

    /// Checks the number of bits.
    pub(crate) fn check(self) -> std::result::Result<(), String> {
        let (fewest, most) = (Self::FEWEST_BITS, Self::MOST_BITS);
        if (fewest..=most).contains(&self.bits) {
            return Ok(());
        }
        Err(format!("its input has {} bits, expected {fewest} to {most}", self.bits))
    }
}

impl FixedInput {
    /// The largest integer.
    pub fn highest(self) -> u16 {
        (1 << self.bits.clamp(InputForm::FEWEST_BITS, InputForm::MOST_BITS)) - 1
    }

    /// The zero point as it is stored: moved to the range of signed integers.
    pub(crate) fn signed_zero_point(self) -> i16 {
        self.zero_point as i16 - ((self.highest() >> 1) + 1) as i16
    }

    /// The same from the zero point as it is stored.
    pub(crate) fn from_signed(bits: u8, scale: f32, zero_point: i16) -> Self {
        let unshifted = Self { bits, scale, zero_point: 0 };
        Self { zero_point: zero_point.wrapping_sub(unshifted.signed_zero_point()) as u16, ..unshifted }
    }
}

impl ActivationScheme {
    /// How inputs that are not quantized become integers: by row, in all of 16 bits.
    pub(super) const FINEST: Self = Self::ByRow { bits: 16 };

    /// Bits and range, without the numbers.
    pub fn form(self) -> InputForm {
        match self {
            Self::Fixed(fixed) => InputForm::fixed(fixed.bits),
            Self::ByRow { bits } => InputForm::by_row(bits),
        }
    }

    /// Checks that scale and zero point are some that can be computed with.
    pub(crate) fn check(self) -> std::result::Result<(), String> {
        self.form().check()?;
        let Self::Fixed(fixed) = self else { return Ok(()) };
        if !(fixed.scale.is_finite() && fixed.scale > 0.0) {
            return Err(format!("the scale of its input is `{}`", fixed.scale));
        }
        if fixed.zero_point > fixed.highest() {
            let signed = fixed.signed_zero_point();
            return Err(format!("the zero point `{signed}` of its input does not fit {} bits", fixed.bits));
        }
        Ok(())
    }

    /// The integers, less their zero point.
    pub(super) fn inputs(self) -> Inputs {
        match self {
            Self::Fixed(fixed) => {
                let zero_point = i32::from(fixed.zero_point);
                Inputs { lowest: -zero_point, highest: i32::from(fixed.highest()) - zero_point }
            }
            Self::ByRow { bits } => {
                let half = 1 << (bits.clamp(InputForm::FEWEST_BITS, 16) - 1);
                Inputs { lowest: -half, highest: half - 1 }
            }
        }
    }

    /// The integers of `x`, whose first dimension counts rows.
    ///
    /// # Errors
    /// When a number is not one.
    pub(super) fn quantize(self, name: &str, x: &Tensor) -> Result<Integers> {
        let rows = x.dim(0)?;
        let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        let (storage, layout) = x.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { return Err(ModelError::Unsupported("no CPU".to_owned())) };
        let numbers = fused::numbers(storage, layout)?;
        let mut found = Integers { numbers: vec![0; numbers.len()], scales: vec![0.0; rows] };
        let width = (numbers.len() / rows.max(1)).max(1);
        let size = ROWS_AT_ONCE * width;
        let chunks = numbers.par_chunks(size).zip(found.numbers.par_chunks_mut(size));
        let arch = pulp::Arch::new();
        let chunks = chunks.zip(found.scales.par_chunks_mut(ROWS_AT_ONCE)).map(|((x, integers), scales)| {
            let mut valid = true;
            fused::vectorized(arch, Round { scheme: self, width, x, integers, scales, valid: &mut valid });
            valid
        });
        if chunks.reduce(|| true, |one, other| one && other) {
            return Ok(found);
        }
        Err(ModelError::Input(format!("the input of `{name}` holds numbers that are not numbers (NaN)")))
    }
}

/// Rows that one thread rounds at a time.
const ROWS_AT_ONCE: usize = 16;

/// Adding it to a small number leaves the nearest whole number (halves to even) in the low bits.
const SHIFT: f32 = 12_582_912.0;

/// Rounds some rows.
struct Round<'a> {
    scheme: ActivationScheme,
    width: usize,
    x: &'a [f32],
    integers: &'a mut [i16],
    scales: &'a mut [f32],
    valid: &'a mut bool,
}

impl Work for Round<'_> {
    #[inline(always)]
    fn run(self) {
        let rows = self.x.chunks(self.width).zip(self.integers.chunks_mut(self.width)).zip(self.scales);
        for ((x, integers), scale) in rows {
            *self.valid &= !x.iter().fold(false, |found, number| found | number.is_nan());
            let (step, [low, high]) = self.scheme.range(x);
            *scale = step;
            // A row of zeros, or of numbers too small to divide by, is all zeros.
            let divisor = if step >= f32::MIN_POSITIVE { step } else { f32::INFINITY };
            for (integer, number) in integers.iter_mut().zip(x) {
                let rounded = (number / divisor).clamp(low, high) + SHIFT;
                *integer = rounded.to_bits() as i16;
            }
        }
    }
}

impl ActivationScheme {
    /// The step of a row, and the smallest and the largest of its integers less their zero point.
    #[inline(always)]
    fn range(self, row: &[f32]) -> (f32, [f32; 2]) {
        let Inputs { lowest, highest } = self.inputs();
        let (lowest, highest) = (lowest as f32, highest as f32);
        let step = match self {
            Self::Fixed(fixed) => fixed.scale,
            // Infinite numbers count as the largest.
            Self::ByRow { .. } => fused::largest(row, f32::abs).clamp(0.0, f32::MAX) / (highest + 0.5),
        };
        (step, [lowest, highest])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use rstest::rstest;

    use super::{ActivationScheme, FixedInput};

    fn integers<const N: usize>(scheme: ActivationScheme, x: &[[f32; 4]; N]) -> (Vec<i16>, Vec<f32>) {
        let found = scheme.quantize("head", &Tensor::new(x, &Device::Cpu).unwrap()).unwrap();
        (found.numbers, found.scales)
    }

    /// 4 bits, scale 0.5, zero point 3: integers 0 to 15, so -3 to 12 less the zero point.
    #[test]
    fn a_fixed_range_clips_on_both_sides() {
        let scheme = ActivationScheme::Fixed(FixedInput { bits: 4, scale: 0.5, zero_point: 3 });
        let found = integers(scheme, &[[-9.0, 0.75, 5.9, 9.0], [0.0, -1.5, f32::INFINITY, 0.25]]);
        assert_eq!(found, (vec![-3, 2, 12, 12, 0, -3, 12, 0], vec![0.5, 0.5]));
    }

    /// 8 bits: 255 / 2 steps to the largest magnitude, so 12.75 becomes 127.5 steps of 0.1, clipped to 127.
    #[test]
    fn every_row_has_its_own_range() {
        let scheme = ActivationScheme::ByRow { bits: 8 };
        let (numbers, scales) = integers(scheme, &[[12.75, -12.75, 0.1, 0.26], [0.0; 4], [2.55, 0.0, -1.0, 0.0]]);
        assert_eq!(numbers, [127, -128, 1, 3, 0, 0, 0, 0, 127, 0, -50, 0]);
        assert!((scales[0] - 0.1).abs() < 1e-7 && scales[1] == 0.0 && (scales[2] - 0.02).abs() < 1e-7, "{scales:?}");
    }

    /// The steps of 16 bits: 32767.5 to the largest magnitude.
    #[test]
    fn all_of_sixteen_bits_are_used() {
        let (numbers, scales) = integers(ActivationScheme::FINEST, &[[-1.0, 1.0, 0.5, -0.25]]);
        assert_eq!((numbers, scales), (vec![-32768, 32767, 16384, -8192], vec![1.0 / 32767.5]));
    }

    #[rstest]
    #[case(8, 201, 73)]
    #[case(8, 0, -128)]
    #[case(4, 15, 7)]
    #[case(12, 0, -2048)]
    fn zero_points_are_stored_signed(#[case] bits: u8, #[case] zero_point: u16, #[case] stored: i16) {
        let fixed = FixedInput { bits, scale: 1.0, zero_point };
        assert_eq!(fixed.signed_zero_point(), stored);
        assert_eq!(FixedInput::from_signed(bits, 1.0, stored), fixed);
    }

    #[test]
    fn what_cannot_be_computed_with_is_refused() {
        let fixed = FixedInput { bits: 4, scale: 1.0, zero_point: 3 };
        let message = |fixed| ActivationScheme::Fixed(fixed).check().unwrap_err();
        assert_eq!(message(FixedInput { bits: 13, ..fixed }), "its input has 13 bits, expected 2 to 12");
        assert_eq!(message(FixedInput { scale: f32::NAN, ..fixed }), "the scale of its input is `NaN`");
        let far = FixedInput { zero_point: 16, ..fixed };
        assert_eq!(message(far), "the zero point `8` of its input does not fit 4 bits");
        assert!(ActivationScheme::ByRow { bits: 1 }.check().is_err() && ActivationScheme::Fixed(fixed).check().is_ok());
    }
}

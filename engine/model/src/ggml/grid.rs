//! Blocks of 32 numbers: the step between their integers, chosen as llama.cpp's reference does (ggml-quants.c), the
//! integers, and the bytes.

use half::f16;

use super::GgmlType;

/// Numbers of a block.
pub(super) const WIDTH: usize = 32;

/// A layout of 32 numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Form {
    /// The integer that stands for zero; none where blocks have a minimum.
    pub(super) zero: u8,
    /// The largest integer.
    pub(super) highest: u8,
    /// Blocks have a minimum, and integers count steps from it.
    pub(super) from_minimum: bool,
}

impl Form {
    pub(super) const Q4_0: Self = Self { zero: 8, highest: 15, from_minimum: false };
    pub(super) const Q4_1: Self = Self { zero: 0, highest: 15, from_minimum: true };
    pub(super) const Q5_0: Self = Self { zero: 16, highest: 31, from_minimum: false };
    pub(super) const Q5_1: Self = Self { zero: 0, highest: 31, from_minimum: true };
    pub(super) const Q8_0: Self = Self { zero: 128, highest: 255, from_minimum: false };

    /// The layout of that type; none for types with larger blocks.
    pub(super) fn of(kind: GgmlType) -> Option<Self> {
        match kind {
            GgmlType::Q4_0 => Some(Self::Q4_0),
            GgmlType::Q4_1 => Some(Self::Q4_1),
            GgmlType::Q5_0 => Some(Self::Q5_0),
            GgmlType::Q5_1 => Some(Self::Q5_1),
            GgmlType::Q8_0 => Some(Self::Q8_0),
            GgmlType::Q2K | GgmlType::Q3K | GgmlType::Q4K | GgmlType::Q5K | GgmlType::Q6K => None,
        }
    }
}

/// How the numbers of a block become integers. The integer q stands for (q - zero) * scale + minimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grid {
    /// The step, as a file holds it.
    pub(super) scale: f16,
    /// The number that the integer 0 stands for where blocks have a minimum; else 0.
    pub(super) minimum: f16,
    /// Steps in 1.
    inverse: f32,
    /// Where steps are counted from.
    start: f32,
}

impl Grid {
    /// A grid of a given step; the integers are those whose numbers in the file are nearest.
    #[inline(always)]
    pub(super) fn given(scale: f32, minimum: f32) -> Self {
        let (scale, minimum) = (f16::from_f32(scale), f16::from_f32(minimum));
        let step = scale.to_f32();
        Self { scale, minimum, inverse: if step == 0.0 { 0.0 } else { step.recip() }, start: minimum.to_f32() }
    }

    /// The grid of the reference: with a minimum from the least to the largest number; without, the number farthest
    /// from zero gets the outermost integer (of 8 bits: 127 or -127).
    #[inline(always)]
    pub(super) fn reference(form: Form, block: &[f32; WIDTH]) -> Self {
        let (least, most) = extent(block);
        let (step, start) = match form {
            Form { from_minimum: true, highest, .. } => ((most - least) / f32::from(highest), least),
            Form { highest: u8::MAX, .. } => (most.max(-least) / 127.0, 0.0),
            Form { zero, .. } => (farthest(block, least, most) / -f32::from(zero), 0.0),
        };
        let inverse = if step == 0.0 { 0.0 } else { step.recip() };
        Self { scale: f16::from_f32(step), minimum: f16::from_f32(start), inverse, start }
    }

    /// The integers of a block, halves rounded as the reference rounds them.
    #[inline(always)]
    pub(super) fn codes(&self, form: Form, block: &[f32; WIDTH]) -> [u8; WIDTH] {
        let mut codes = [0; WIDTH];
        if form.highest == u8::MAX {
            for (code, &number) in codes.iter_mut().zip(block) {
                *code = (round(number * self.inverse).clamp(-127, 127) + 128) as u8;
            }
        } else if form.from_minimum {
            for (code, &number) in codes.iter_mut().zip(block) {
                *code = (((number - self.start) * self.inverse + 0.5) as i32).clamp(0, i32::from(form.highest)) as u8;
            }
        } else {
            let half = f32::from(form.zero) + 0.5;
            // Two roundings, as in llama.cpp where it is built for any processor of a kind.
            for (code, &number) in codes.iter_mut().zip(block) {
                let place = number * self.inverse + half;
                *code = (place as i32).clamp(0, i32::from(form.highest)) as u8;
            }
        }
        codes
    }

    /// The integers of a block less what stands for zero, halves up.
    #[inline(always)]
    pub(super) fn steps(&self, form: Form, block: &[f32; WIDTH]) -> [f32; WIDTH] {
        let (half, highest) = (f32::from(form.zero) + 0.5, f32::from(form.highest));
        let mut steps = [0.0; WIDTH];
        for (step, &number) in steps.iter_mut().zip(block) {
            let place = ((number - self.start) * self.inverse + half).clamp(0.0, highest);
            *step = (place as i32) as f32 - f32::from(form.zero);
        }
        steps
    }

    /// Writes a block: scale, minimum, fifth bits, and integers (those of the second half above those of the first).
    #[inline(always)]
    pub(super) fn write(&self, form: Form, codes: &[u8; WIDTH], out: &mut [u8]) {
        let (scale, mut rest) = out.split_at_mut(2);
        scale.copy_from_slice(&self.scale.to_le_bytes());
        if form.from_minimum {
            let (minimum, after) = rest.split_at_mut(2);
            minimum.copy_from_slice(&self.minimum.to_le_bytes());
            rest = after;
        }
        if form.highest == u8::MAX {
            for (byte, &code) in rest.iter_mut().zip(codes) {
                *byte = code ^ 128;
            }
            return;
        }
        if form.highest > 15 {
            let (fifth, after) = rest.split_at_mut(4);
            fifth.copy_from_slice(&fifth_bits(codes).to_le_bytes());
            rest = after;
        }
        let (first, second) = codes.split_at(WIDTH / 2);
        for ((byte, &low), &high) in rest.iter_mut().zip(first).zip(second) {
            *byte = low & 15 | high << 4;
        }
    }
}

#[inline(always)]
fn fifth_bits(codes: &[u8; WIDTH]) -> u32 {
    let mut bits = 0;
    for (place, &code) in codes.iter().enumerate() {
        bits |= u32::from(code >> 4 & 1) << place;
    }
    bits
}

/// The least and the largest number.
#[inline(always)]
pub(super) fn extent(block: &[f32; WIDTH]) -> (f32, f32) {
    let (mut least, mut most) = ([f32::INFINITY; 8], [f32::NEG_INFINITY; 8]);
    for chunk in block.as_chunks::<8>().0 {
        for ((least, most), &number) in least.iter_mut().zip(&mut most).zip(chunk) {
            *least = if number < *least { number } else { *least };
            *most = if number > *most { number } else { *most };
        }
    }
    for width in [4, 2, 1] {
        let ((least, others), (most, greater)) = (least.split_at_mut(width), most.split_at_mut(width));
        least.iter_mut().zip(others).for_each(|(it, other)| *it = if *other < *it { *other } else { *it });
        most.iter_mut().zip(greater).for_each(|(it, other)| *it = if *other > *it { *other } else { *it });
    }
    let ([least, ..], [most, ..]) = (least, most);
    (least, most)
}

/// The number farthest from zero, with its sign: the first of them.
#[inline(always)]
fn farthest(block: &[f32; WIDTH], least: f32, most: f32) -> f32 {
    if -least > most {
        least
    } else if most > -least {
        most
    } else {
        block.iter().copied().find(|number| number.abs() == most).unwrap_or(most)
    }
}

/// The nearest integer, halves away from zero.
#[inline(always)]
fn round(number: f32) -> i32 {
    // The largest number below one half: with one half itself, what lies just below it would become 1.
    (number + 0.499_999_97_f32.copysign(number)) as i32
}

//! Numbers that stand for others: types whose blocks hold places in a table of 8 or 4 numbers that are near each other in
//! trained weights (after E8 lattices, Tseng et al. 2024, QuIP#, section 4). The layouts are those of ggml-common.h; each
//! function adds the numbers of one block to a list.

use super::blocks::{byte, half_at, short_at, tail};
use half::f16;

/// Tables of two bytes for each entry: 8 numbers of 2 bits, or 4 of 4 bits, the lowest bits first.
static TABLES: &[u8] = include_bytes!("codebooks.bin");

/// A table, and what its bits stand for.
struct Codebook {
    /// Entries before it.
    start: usize,
    /// Bits of a number.
    bits: u32,
    numbers: &'static [i8],
}

const TWO: &[i8] = &[8, 25, 43];
const IQ2_XXS: Codebook = Codebook { start: 0, bits: 2, numbers: TWO };
const IQ2_XS: Codebook = Codebook { start: 256, bits: 2, numbers: TWO };
const IQ2_S: Codebook = Codebook { start: 768, bits: 2, numbers: TWO };
const IQ3_XXS: Codebook = Codebook { start: 1792, bits: 4, numbers: &[4, 12, 20, 28, 36, 44, 52, 62] };
const IQ3_S: Codebook = Codebook { start: 2048, bits: 4, numbers: &[1, 3, 5, 7, 9, 11, 13, 15] };
const IQ1: Codebook = Codebook { start: 2560, bits: 2, numbers: &[-1, 0, 1] };

impl Codebook {
    fn entry(&self, index: usize) -> impl Iterator<Item = f32> {
        let packed = short_at(TABLES, 2 * (self.start + index));
        let mask = (1 << self.bits) - 1;
        let number = move |at: u32| usize::from(packed >> (at * self.bits) & mask);
        (0..16 / self.bits).map(move |at| f32::from(self.numbers.get(number(at)).copied().unwrap_or_default()))
    }
}

/// Adds numbers with a scale and a sign each, one for each bit.
fn signed(numbers: impl Iterator<Item = f32>, scale: f32, signs: u8, out: &mut Vec<f32>) {
    out.extend(
        numbers.enumerate().map(|(at, number)| if signs >> at & 1 == 0 { scale * number } else { -(scale * number) }),
    );
}

/// The signs of 8 numbers, an even count of which is negative, of the first 7.
fn even(signs: u32) -> u8 {
    let seven = (signs & 127) as u8;
    seven | ((seven.count_ones() & 1) as u8) << 7
}

fn half_byte(bytes: &[u8], at: usize) -> f32 {
    f32::from(byte(bytes, at / 2) >> (4 * (at % 2)) & 15)
}

fn word_at(block: &[u8], at: usize) -> u32 {
    u32::from(short_at(block, at)) | u32::from(short_at(block, at + 2)) << 16
}

/// For each 32 numbers 4 places, then 4 bits of scale and 7 signs four times.
pub(super) fn iq2_xxs(block: &[u8], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    for group in tail(block, 2).chunks_exact(8) {
        let word = word_at(group, 4);
        let scale = scale * (0.5 + (word >> 28) as f32) * 0.25;
        for at in 0..4 {
            signed(IQ2_XXS.entry(byte(group, at).into()), scale, even(word >> (7 * at)), out);
        }
    }
}

/// For each 8 numbers 9 bits of place and 7 signs; a scale of 4 bits for each 16.
pub(super) fn iq2_xs(block: &[u8], out: &mut Vec<f32>) {
    let (scale, scales) = (half_at(block, 0), tail(block, 66));
    for at in 0..32 {
        let place = short_at(block, 2 + 2 * at);
        let scale = scale * (0.5 + half_byte(scales, at / 2)) * 0.25;
        signed(IQ2_XS.entry((place & 511).into()), scale, even((place >> 9).into()), out);
    }
}

/// Places of 10 bits and 8 signs for each 8 numbers; a scale of 4 bits for each 16.
pub(super) fn iq2_s(block: &[u8], out: &mut Vec<f32>) {
    let (scale, signs, high, scales) = (half_at(block, 0), tail(block, 34), tail(block, 66), tail(block, 74));
    for at in 0..32 {
        let place = usize::from(byte(block, 2 + at)) | usize::from(byte(high, at / 4) >> (2 * (at % 4)) & 3) << 8;
        let scale = scale * (0.5 + half_byte(scales, at / 2)) * 0.25;
        signed(IQ2_S.entry(place), scale, byte(signs, at), out);
    }
}

/// Places for each 4 numbers; for each 32 numbers 4 bits of scale and 7 signs four times.
pub(super) fn iq3_xxs(block: &[u8], out: &mut Vec<f32>) {
    let (scale, words) = (half_at(block, 0), tail(block, 66));
    for at in 0..32 {
        let word = word_at(words, at / 4 * 4);
        let scale = scale * (0.5 + (word >> 28) as f32) * 0.5;
        let place = |half: usize| byte(block, 2 + 2 * at + half).into();
        signed(IQ3_XXS.entry(place(0)).chain(IQ3_XXS.entry(place(1))), scale, even(word >> (7 * (at % 4))), out);
    }
}

/// Places of 9 bits for each 4 numbers, a sign for each, and a scale of 4 bits for each 32.
pub(super) fn iq3_s(block: &[u8], out: &mut Vec<f32>) {
    let (scale, high, signs, scales) = (half_at(block, 0), tail(block, 66), tail(block, 74), tail(block, 106));
    for at in 0..32 {
        let scale = scale * (1.0 + 2.0 * half_byte(scales, at / 4));
        let place = |half: usize| {
            let at = 2 * at + half;
            usize::from(byte(block, 2 + at)) | usize::from(byte(high, at / 8) >> (at % 8) & 1) << 8
        };
        signed(IQ3_S.entry(place(0)).chain(IQ3_S.entry(place(1))), scale, byte(signs, at), out);
    }
}

/// Places of 11 bits for each 8 numbers; for each 32 a scale of 3 bits and the sign of what is added to all.
pub(super) fn iq1_s(block: &[u8], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    for at in 0..32 {
        let high = short_at(block, 34 + at / 4 * 2);
        let place = usize::from(byte(block, 2 + at)) | usize::from(high >> (3 * (at % 4)) & 7) << 8;
        let scale = scale * (2.0 * f32::from(high >> 12 & 7) + 1.0);
        shifted(place, scale, high & 0x8000 != 0, out);
    }
}

/// Places of 11 bits for each 8 numbers with the sign of what is added to them; a scale of 3 bits for each 16, and one
/// for all of whose 16 bits four lie beside each four of those.
pub(super) fn iq1_m(block: &[u8], out: &mut Vec<f32>) {
    let scales = |at: usize| short_at(block, 48 + 2 * at);
    let all = (0..4).fold(0, |bits, at| bits | scales(at) >> 12 << (4 * at));
    let scale = f16::from_bits(all).to_f32();
    for at in 0..32 {
        let high = byte(block, 32 + at / 2) >> (4 * (at % 2));
        let place = usize::from(byte(block, at)) | usize::from(high & 7) << 8;
        let scale = scale * (2.0 * f32::from(scales(at / 8) >> (3 * (at / 2 % 4)) & 7) + 1.0);
        shifted(place, scale, high & 8 != 0, out);
    }
}

/// Adds numbers around a point beside zero.
fn shifted(place: usize, scale: f32, below: bool, out: &mut Vec<f32>) {
    let shift = if below { -0.125 } else { 0.125 };
    out.extend(IQ1.entry(place).map(|number| scale * (number + shift)));
}

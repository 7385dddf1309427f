//! Blocks of numbers that candle does not read, after the layouts of ggml-common.h. Each function adds the numbers of
//! one block to a list.

use half::f16;

/// The numbers that 4 bits stand for in IQ4_NL and IQ4_XS.
const NONLINEAR: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice the numbers that 4 bits stand for in MXFP4 (E2M1, Open Compute microscaling formats 1.0, table 5).
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 32 bytes after a scale and a sum.
pub(super) fn q8_1(block: &[u8], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    out.extend(tail(block, 4).iter().map(|&byte| scale * f32::from(byte as i8)));
}

/// 256 bytes after a scale, then sums.
pub(super) fn q8_k(block: &[u8], out: &mut Vec<f32>) {
    let (head, rest) = block.split_at(4);
    let scale = head.first_chunk().map_or(0.0, |&bytes| f32::from_le_bytes(bytes));
    out.extend(rest.iter().take(256).map(|&byte| scale * f32::from(byte as i8)));
}

/// 32 numbers of a table: low halves of bytes, then high ones.
pub(super) fn iq4_nl(block: &[u8], out: &mut Vec<f32>) {
    nibbles(tail(block, 2), half_at(block, 0), &NONLINEAR, out);
}

/// 256 numbers of the same table, with a scale of 6 bits for each 32.
pub(super) fn iq4_xs(block: &[u8], out: &mut Vec<f32>) {
    let (scale, high) = (half_at(block, 0), short_at(block, 2));
    for (index, bytes) in tail(block, 8).chunks_exact(16).enumerate() {
        let low = byte(block, 4 + index / 2) >> (4 * (index % 2)) & 15;
        let bits = i16::from(low) | ((high >> (2 * index) & 3) << 4) as i16;
        nibbles(bytes, scale * f32::from(bits - 32), &NONLINEAR, out);
    }
}

/// 32 numbers of 4 bits with a power of two.
pub(super) fn mxfp4(block: &[u8], out: &mut Vec<f32>) {
    // The table holds doubles, so the exponent's bias of 127 grows by one.
    let scale = (f32::from(byte(block, 0)) - 128.0).exp2();
    nibbles(tail(block, 1), scale, &E2M1, out);
}

/// 64 numbers of 4 bits, with a scale of 8 bits without a sign (E4M3) for each 16.
pub(super) fn nvfp4(block: &[u8], out: &mut Vec<f32>) {
    for (index, bytes) in tail(block, 4).chunks_exact(8).enumerate() {
        let bits = byte(block, index);
        let scale = match (bits >> 3 & 15, f32::from(bits & 7)) {
            _ if bits == 0x7f => 0.0,
            (0, digits) => digits * 2.0_f32.powi(-9),
            (exponent, digits) => (1.0 + digits / 8.0) * 2.0_f32.powi(i32::from(exponent) - 7),
        };
        nibbles(bytes, scale / 2.0, &E2M1, out);
    }
}

/// 128 numbers that are a scale or its negative.
pub(super) fn q1_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    for byte in tail(block, 2) {
        out.extend((0..8).map(|bit| if byte >> bit & 1 == 1 { scale } else { -scale }));
    }
}

/// 256 numbers -1, 0 or 1 of 2 bits each, then a scale.
pub(super) fn tq2_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half_at(block, 64);
    for bytes in block.chunks_exact(32).take(2) {
        for shift in [0, 2, 4, 6] {
            out.extend(bytes.iter().map(|byte| scale * (f32::from(byte >> shift & 3) - 1.0)));
        }
    }
}

/// 256 numbers -1, 0 or 1, five in a byte, the last 16 four in a byte, then a scale.
pub(super) fn tq1_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half_at(block, 52);
    let parts = [(0..32, 5), (32..48, 5), (48..52, 4)];
    for (range, digits) in parts {
        for power in [1_u8, 3, 9, 27, 81].into_iter().take(digits) {
            // A byte is a fraction in base three; a multiple brings the wanted digit to the front.
            let digit = |&byte: &u8| (u16::from(byte.wrapping_mul(power)) * 3) >> 8;
            let bytes = block.get(range.clone()).unwrap_or_default();
            out.extend(bytes.iter().map(|byte| scale * (f32::from(digit(byte)) - 1.0)));
        }
    }
}

/// Numbers of a table: those of the low halves of all bytes, then those of the high halves.
fn nibbles(bytes: &[u8], scale: f32, table: &[i8; 16], out: &mut Vec<f32>) {
    let number = |half: u8| scale * f32::from(table.get(usize::from(half)).copied().unwrap_or_default());
    out.extend(bytes.iter().map(|byte| number(byte & 15)));
    out.extend(bytes.iter().map(|byte| number(byte >> 4)));
}

pub(super) fn byte(block: &[u8], at: usize) -> u8 {
    block.get(at).copied().unwrap_or_default()
}

pub(super) fn short_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([byte(block, at), byte(block, at + 1)])
}

pub(super) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_bits(short_at(block, at)).to_f32()
}

pub(super) fn tail(block: &[u8], from: usize) -> &[u8] {
    block.get(from..).unwrap_or_default()
}

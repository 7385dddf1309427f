//! Integers of 2 to 8 bits in 32-bit words, as compressed-tensors 0.20 packs them (`pack_to_int32`): each value is
//! shifted to be unsigned (value + 2^(bits - 1)), value i of a row starts at bit i * bits counted from the lowest bit of
//! its first word, and no bit is left between values, so some straddle two words. Each row starts a new word.

/// How many words hold `count` values.
pub(crate) fn words(count: usize, bits: u8) -> usize {
    count.saturating_mul(usize::from(bits)).div_ceil(32)
}

/// Packs rows of `columns` values each.
pub(crate) fn pack(values: &[i8], columns: usize, bits: u8) -> Vec<i32> {
    let mut packed = Vec::with_capacity(values.len().div_ceil(columns.max(1)) * words(columns, bits));
    for row in values.chunks(columns.max(1)) {
        let (mut buffer, mut filled) = (0_u64, 0_u32);
        for &value in row {
            buffer |= (unsigned(value, bits)) << filled;
            filled += u32::from(bits);
            if filled >= 32 {
                packed.push(buffer as u32 as i32);
                buffer >>= 32;
                filled -= 32;
            }
        }
        if filled > 0 {
            packed.push(buffer as u32 as i32);
        }
    }
    packed
}

/// The values of rows of `columns` values each: the other half of [`pack`].
pub(crate) fn unpack(packed: &[i32], columns: usize, bits: u8) -> Vec<i8> {
    let length = words(columns, bits).max(1);
    let mut values = Vec::with_capacity(packed.len() / length * columns);
    for row in packed.chunks(length) {
        let mut words = row.iter();
        let (mut buffer, mut filled) = (0_u64, 0_u32);
        for _ in 0..columns {
            if filled < u32::from(bits) {
                buffer |= u64::from(words.next().copied().unwrap_or(0) as u32) << filled;
                filled += 32;
            }
            values.push(signed(buffer, bits));
            buffer >>= bits;
            filled -= u32::from(bits);
        }
    }
    values
}

/// Rows become columns: zero points are packed along the output channels.
pub(crate) fn transposed<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    let columns = columns.max(1);
    (0..columns).flat_map(|column| values.iter().skip(column).step_by(columns).copied()).collect()
}

fn unsigned(value: i8, bits: u8) -> u64 {
    let shifted = i16::from(value) + (1 << (bits - 1));
    (shifted as u64) & ((1 << bits) - 1)
}

fn signed(buffer: u64, bits: u8) -> i8 {
    let low = (buffer & ((1 << bits) - 1)) as i16;
    (low - (1 << (bits - 1))) as i8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::{pack, transposed, unpack, words};

    /// Two rows of 13 values that visit all of the range.
    fn values(bits: u8) -> Vec<i8> {
        let (lowest, count) = (-(1_i32 << (bits - 1)), 1 << bits);
        let row = |r: i32| (0..13).map(move |i| (lowest + (7 * i + 5 * r + i * i) % count) as i8);
        (0..2).flat_map(row).collect()
    }

    /// What `pack_to_int32` of compressed-tensors 0.20.0 gives for the same values.
    #[test]
    fn packs_as_compressed_tensors_does() {
        let reference: [(u8, &[i32]); 7] = [
            (2, &[10526880, 32896501]),
            (3, &[-2141565824, 76, -303261715, 23]),
            (4, &[785179264, 289288, 1930508245, 638813]),
            (5, &[-1194374912, 1126832147, 0, -1022239323, -1782661828, 0]),
            (6, &[746136064, -1539798801, 9242, 1905095493, -176317136, 10542]),
            (7, &[-1010531328, 2026191330, 105433736, 342214277, -36745717, 110717898]),
            (8, &[504498176, 1649294380, -961900424, 228, 588713221, 1733509425, -877685379, 233]),
        ];
        for (bits, packed) in reference {
            assert_eq!(pack(&values(bits), 13, bits), packed, "{bits} bits");
            assert_eq!(unpack(packed, 13, bits), values(bits), "{bits} bits");
        }
    }

    /// The same along the first dimension: 9 output channels of 2 zero points, 4 bits.
    #[test]
    fn packs_zero_points_as_compressed_tensors_does() {
        let zero_points: Vec<i8> =
            (0..9).flat_map(|row| (0..2).map(move |group| -8 + (3 * row + group) % 16)).collect();
        let packed = transposed(&pack(&transposed(&zero_points, 2), 9, 4), words(9, 4));
        assert_eq!(packed, [1392285232, 1661839169, 8, 9]);
    }

    proptest! {
        #[test]
        fn unpacks_what_it_packs(bits in 2_u8..=8, columns in 1_usize..70, seed in prop::collection::vec(0_u8..=255, 1..9)) {
            let reach = 1_i16 << bits;
            let cycle = seed.iter().cycle().take(columns * 3);
            let values: Vec<i8> = cycle.map(|&byte| (i16::from(byte) % reach - reach / 2) as i8).collect();
            let packed = pack(&values, columns, bits);
            prop_assert_eq!(packed.len(), 3 * words(columns, bits));
            prop_assert_eq!(unpack(&packed, columns, bits), values);
        }
    }
}

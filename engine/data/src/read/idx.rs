//! IDX, the format of the MNIST files: a magic number, big-endian dimensions, then numbers of one type.

use super::Found;
use super::ndarray::{Layout, column, count, shape_name};

/// Bytes of a number of each type code, and the type's name.
fn number_size(code: u8) -> Option<usize> {
    match code {
        0x08 | 0x09 => Some(1),
        0x0B => Some(2),
        0x0C | 0x0D => Some(4),
        0x0E => Some(8),
        _ => None,
    }
}

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Found, String> {
    let Some((&[zero, zero_too, code, dimensions], rest)) = bytes.split_first_chunk::<4>() else {
        return Err(format!("has {} bytes, expected at least 4", bytes.len()));
    };
    if (zero, zero_too) != (0, 0) {
        return Err("does not begin with two zero bytes".to_owned());
    }
    let Some(size) = number_size(code) else {
        return Err(format!("holds numbers of type 0x{code:02X}, expected 0x08, 0x09 or 0x0B to 0x0E"));
    };
    let header = usize::from(dimensions) * 4;
    let (Some(header), Some(data)) = (rest.get(..header), rest.get(header..)) else {
        return Err(format!("ends within its {dimensions} dimensions"));
    };
    let dimensions: Vec<usize> = header.chunks_exact(4).map(|word| big_endian(word) as usize).collect();
    check_size(&dimensions, size, data.len())?;
    let numbers = data.chunks_exact(size).map(|cell| Ok::<_, std::convert::Infallible>(decode(code, cell)));
    let (column, image) = column("features", &dimensions, Layout::RowMajor, numbers)?;
    Ok(Found { columns: vec![column], image })
}

fn check_size(dimensions: &[usize], size: usize, found: usize) -> Result<(), String> {
    let expected = count(dimensions)?.checked_mul(size);
    match expected {
        Some(expected) if expected == found => Ok(()),
        _ => {
            let expected = expected.map_or_else(|| "more than fit in memory".to_owned(), |bytes| bytes.to_string());
            Err(format!("has {found} bytes of numbers, its dimensions {} say {expected}", shape_name(dimensions)))
        }
    }
}

fn big_endian(word: &[u8]) -> u32 {
    word.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// One number. The caller cut `cell` to the type's size.
fn decode(code: u8, cell: &[u8]) -> f64 {
    let wide = cell.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    match code {
        0x08 => wide as f64,
        0x09 => f64::from(wide as u8 as i8),
        0x0B => f64::from(wide as u16 as i16),
        0x0C => f64::from(wide as u32 as i32),
        0x0D => f64::from(f32::from_bits(wide as u32)),
        _ => f64::from_bits(wide),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::read;
    use crate::cells::Cells;

    fn file(code: u8, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, code, dimensions.len() as u8];
        bytes.extend(dimensions.iter().flat_map(|dimension| dimension.to_be_bytes()));
        bytes.extend(data);
        bytes
    }

    #[rstest]
    #[case(0x08, &[255], 255.0)]
    #[case(0x09, &[255], -1.0)]
    #[case(0x0B, &[0xFF, 0xFE], -2.0)]
    #[case(0x0C, &[0, 1, 0, 0], 65536.0)]
    #[case(0x0D, &[0x3F, 0xC0, 0, 0], 1.5)]
    #[case(0x0E, &[0xC0, 0x04, 0, 0, 0, 0, 0, 0], -2.5)]
    fn every_type_is_big_endian(#[case] code: u8, #[case] cell: &[u8], #[case] value: f64) {
        let found = read(&file(code, &[1], cell)).unwrap();
        let Cells::Numbers(values) = &found.columns[0].cells else { panic!("not numbers") };
        assert_eq!(values, &[Some(value)]);
    }

    #[test]
    fn images_have_a_shape() {
        let found = read(&file(0x08, &[2, 1, 2], &[1, 2, 3, 4])).unwrap();
        assert_eq!(found.image, Some([1, 1, 2]));
        let Cells::Vectors { width, data, .. } = &found.columns[0].cells else { panic!("not vectors") };
        assert_eq!((*width, data.as_slice()), (2, &[1.0, 2.0, 3.0, 4.0][..]));
    }

    #[rstest]
    #[case(&[0, 0, 8], "has 3 bytes, expected at least 4")]
    #[case(&[1, 0, 8, 1], "does not begin with two zero bytes")]
    #[case(&[0, 0, 7, 1], "holds numbers of type 0x07, expected 0x08, 0x09 or 0x0B to 0x0E")]
    #[case(&[0, 0, 8, 2, 0, 0, 0, 1], "ends within its 2 dimensions")]
    fn a_bad_start_is_refused(#[case] bytes: &[u8], #[case] reason: &str) {
        assert_eq!(read(bytes).err().unwrap(), reason);
    }

    #[test]
    fn dimensions_that_lie_are_refused() {
        let reason = read(&file(0x08, &[3], &[1, 2])).err().unwrap();
        assert_eq!(reason, "has 2 bytes of numbers, its dimensions 3 say 3");
        let reason = read(&file(0x0E, &[u32::MAX, u32::MAX, 2], &[1])).err().unwrap();
        assert!(reason.contains("impossible") || reason.contains("say"), "{reason}");
    }
}

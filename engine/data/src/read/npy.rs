//! npy, numpy's file of one array. The crate that decodes it takes the header on trust, so it is looked over first.

use npyz::{DType, Deserialize, NpyFile, Order, TypeChar};

use super::Found;
use super::ndarray::{ArrayColumn, Layout, column, count, shape_name};
use super::source::lower;
use crate::cells::{Cells, NamedColumn};

/// Bytes that a header may have. numpy writes about 120.
const LARGEST_HEADER: usize = 1 << 16;
/// Brackets that a header may have. numpy writes two to eight.
const MOST_BRACKETS: usize = 64;

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Found, String> {
    let (column, image) = array("features", bytes)?;
    Ok(Found { columns: vec![column], image })
}

/// One array as a column.
pub(super) fn array(name: &str, bytes: &[u8]) -> Result<ArrayColumn, String> {
    let header = Header::look(bytes)?;
    let file = NpyFile::new(bytes).map_err(|error| lower(&error))?;
    let DType::Plain(kind) = file.dtype() else {
        return Err("holds records, expected numbers or text".to_owned());
    };
    let size = kind.num_bytes().unwrap_or_default();
    header.check_size(size)?;
    match (kind.type_char(), size) {
        (TypeChar::Float, 4) => numbers(name, &header, file, |value: f32| f64::from(value)),
        (TypeChar::Float, 8) => numbers(name, &header, file, |value: f64| value),
        (TypeChar::Bool, _) => numbers(name, &header, file, |value: bool| f64::from(u8::from(value))),
        (TypeChar::Int, 1) => numbers(name, &header, file, |value: i8| f64::from(value)),
        (TypeChar::Int, 2) => numbers(name, &header, file, |value: i16| f64::from(value)),
        (TypeChar::Int, 4) => numbers(name, &header, file, |value: i32| f64::from(value)),
        (TypeChar::Int, 8) => numbers(name, &header, file, |value: i64| value as f64),
        (TypeChar::Uint, 1) => numbers(name, &header, file, |value: u8| f64::from(value)),
        (TypeChar::Uint, 2) => numbers(name, &header, file, |value: u16| f64::from(value)),
        (TypeChar::Uint, 4) => numbers(name, &header, file, |value: u32| f64::from(value)),
        (TypeChar::Uint, 8) => numbers(name, &header, file, |value: u64| value as f64),
        (TypeChar::UnicodeStr, _) => text(name, &header, file),
        _ => {
            Err(format!("holds cells of type `{kind}`, expected 32- or 64-bit floats, whole numbers, booleans or text"))
        }
    }
}

fn numbers<T: Deserialize>(
    name: &str,
    header: &Header,
    file: NpyFile<&[u8]>,
    number: impl Fn(T) -> f64,
) -> Result<ArrayColumn, String> {
    let layout = match file.order() {
        Order::C => Layout::RowMajor,
        Order::Fortran => Layout::ColumnMajor,
    };
    let values = file.data::<T>().map_err(|error| lower(&error))?;
    column(name, &header.dimensions, layout, values.map(|value| value.map(&number)))
}

fn text(name: &str, header: &Header, file: NpyFile<&[u8]>) -> Result<ArrayColumn, String> {
    if header.dimensions.len() != 1 {
        return Err(format!("holds text in {} dimensions, expected 1", header.dimensions.len()));
    }
    let values = file.data::<String>().map_err(|error| lower(&error))?;
    let cells = values.map(|cell| cell.map(Some)).collect::<Result<_, _>>().map_err(|error| lower(&error))?;
    Ok((NamedColumn { name: name.to_owned(), cells: Cells::Text(cells) }, None))
}

/// What must be known before the header is trusted.
struct Header {
    dimensions: Vec<usize>,
    /// Bytes after the header.
    data: usize,
}

impl Header {
    /// Looks over the preamble and the header's text: its length, its nesting, and its one `shape`.
    fn look(bytes: &[u8]) -> Result<Self, String> {
        let (text, data) = header_text(bytes)?;
        let brackets = text.bytes().filter(|byte| matches!(byte, b'(' | b'[' | b'{')).count();
        if brackets > MOST_BRACKETS {
            return Err(format!("has {brackets} brackets in its header, expected at most {MOST_BRACKETS}"));
        }
        let dimensions = dimensions(text).ok_or("has a header without one readable `shape`")?;
        count(&dimensions)?;
        Ok(Self { dimensions, data })
    }

    /// Holds the bytes there are against the bytes that the header announces.
    fn check_size(&self, size: usize) -> Result<(), String> {
        match count(&self.dimensions)?.checked_mul(size) {
            Some(expected) if expected == self.data => Ok(()),
            _ => Err(format!(
                "has {} bytes of cells, its header says {} cells of {size} bytes",
                self.data,
                shape_name(&self.dimensions)
            )),
        }
    }
}

/// The header's text, by the preamble's length field (two bytes in version 1, four in versions 2 and 3), and how many
/// bytes follow it.
fn header_text(bytes: &[u8]) -> Result<(&str, usize), String> {
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or("does not begin as numpy's files do")?;
    let (length, rest) = match *rest {
        [1, _, low, high, ref rest @ ..] => (usize::from(u16::from_le_bytes([low, high])), rest),
        [2 | 3, _, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        _ => return Err("has a version that is not read, expected 1, 2 or 3".to_owned()),
    };
    if length > LARGEST_HEADER {
        return Err(format!("has a header of {length} bytes, expected at most {LARGEST_HEADER}"));
    }
    let text = rest.get(..length).ok_or_else(|| format!("ends within its header of {length} bytes"))?;
    let text = std::str::from_utf8(text).map_err(|_| "has a header that is not text".to_owned())?;
    Ok((text, rest.len() - length))
}

/// The numbers of `'shape': (2, 3)`.
fn dimensions(header: &str) -> Option<Vec<usize>> {
    let mut parts = header.split("shape");
    let (Some(_), Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let (_, after) = after.split_once('(')?;
    let (inside, _) = after.split_once(')')?;
    let words = inside.split(',').map(|word| word.trim().trim_end_matches('L')).filter(|word| !word.is_empty());
    words.map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{dimensions, read};

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn reason(bytes: &[u8]) -> String {
        read(bytes).err().unwrap()
    }

    #[test]
    fn the_shape_is_found() {
        assert_eq!(dimensions("{'descr': '<f8', 'shape': (2, 3), }"), Some(vec![2, 3]));
        assert_eq!(dimensions("{'shape': (5L,)}"), Some(vec![5]));
        assert_eq!(dimensions("{'shape': ()}"), Some(vec![]));
        assert_eq!(dimensions("{'shape': (1,), 'shape': (2,)}"), None);
        assert_eq!(dimensions("{'shape': (-1,)}"), None);
    }

    #[rstest]
    #[case(b"", "does not begin as numpy's files do")]
    #[case(b"\x93NUMPY\x09\x00\x00\x00", "has a version that is not read, expected 1, 2 or 3")]
    #[case(b"\x93NUMPY\x01\x00\xFF\x00{", "ends within its header of 255 bytes")]
    #[case(b"\x93NUMPY\x02\x00\xFF\xFF\xFF\xFF{", "has a header of 4294967295 bytes, expected at most 65536")]
    fn a_bad_start_is_refused(#[case] bytes: &[u8], #[case] expected: &str) {
        assert_eq!(reason(bytes), expected);
    }

    #[test]
    fn a_shape_that_lies_is_refused_before_anything_is_allocated() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }";
        assert_eq!(
            reason(&file(header, &[0; 16])),
            "has 16 bytes of cells, its header says 1000000x1000000 cells of 8 bytes"
        );
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (18446744073709551615, 16), }";
        assert!(reason(&file(header, &[0; 16])).starts_with("has impossible dimensions"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let header = format!("{{'shape': (1,), 'descr': {}}}", "(".repeat(60_000));
        assert!(reason(&file(&header, &[])).contains("brackets"));
    }

    #[test]
    fn types_that_are_not_read_are_named() {
        let header = "{'descr': '<c16', 'fortran_order': False, 'shape': (1,), }";
        assert!(reason(&file(header, &[0; 16])).starts_with("holds cells of type `<c16`, expected"));
        let header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }";
        assert!(reason(&file(header, &[])).contains("type `|O"), "{}", reason(&file(header, &[])));
    }

    #[test]
    fn no_dimensions_are_refused() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (), }";
        assert_eq!(reason(&file(header, &[0; 8])), "has 0 dimensions, expected 1 to 4");
    }
}

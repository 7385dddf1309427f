//! The header of a safetensors file: 8 bytes of length, then JSON with type, shape and place of each tensor. Nothing in
//! it is believed before it is checked against the file.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};

/// A longer header is refused: a hundred thousand tensors need a third of it.
const LONGEST: u64 = 32 << 20;

/// Where a tensor lies in its file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// Number type.
    pub(crate) dtype: Dtype,
    /// Shape.
    pub(crate) shape: Vec<usize>,
    /// Its bytes, counted from the start of the file.
    pub(crate) bytes: Range<usize>,
}

/// The tensors of a file, by name.
///
/// # Errors
/// Says what is wrong with the file.
pub(crate) fn parse(file: &[u8]) -> Result<BTreeMap<String, Place>, String> {
    let (header, data) = split(file)?;
    let Entries(entries) = serde_json::from_slice(header).map_err(|error| format!("in its header, {error}"))?;
    let start = file.len() - data.len();
    let mut places = BTreeMap::new();
    for (name, entry) in entries {
        let place = entry.place(&name, start, data.len())?;
        places.insert(name, place);
    }
    check_cover(&places, start..file.len())?;
    Ok(places)
}

/// The header's text and the bytes of all tensors.
fn split(file: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(format!("it has {} bytes, expected at least 8", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST {
        return Err(format!("its header claims {length} bytes, expected at most {LONGEST}"));
    }
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| format!("its header claims {length} bytes, but only {} follow", rest.len()))
}

/// Every byte of data belongs to exactly one tensor.
fn check_cover(places: &BTreeMap<String, Place>, data: Range<usize>) -> Result<(), String> {
    let mut sorted: Vec<(&String, &Place)> = places.iter().collect();
    sorted.sort_by_key(|(_, place)| (place.bytes.start, place.bytes.end));
    let mut end = data.start;
    let mut before = "";
    for (name, place) in sorted {
        if place.bytes.start < end {
            return Err(format!("tensors `{before}` and `{name}` overlap"));
        }
        if place.bytes.start > end {
            return Err(format!("{} bytes before tensor `{name}` belong to no tensor", place.bytes.start - end));
        }
        (end, before) = (place.bytes.end, name);
    }
    match data.end - end {
        0 => Ok(()),
        left => Err(format!("its last {left} bytes belong to no tensor")),
    }
}

/// One entry of the header, as written.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    fn place(self, name: &str, start: usize, length: usize) -> Result<Place, String> {
        let dtype =
            dtype_of(&self.dtype).ok_or_else(|| format!("tensor `{name}` has unknown type `{}`", self.dtype))?;
        let (from, to) = self.data_offsets;
        if from > to || to > length as u64 {
            return Err(format!(
                "tensor `{name}` claims bytes {from} to {to}, but the file holds {length} bytes of data"
            ));
        }
        let Entry { shape, dtype: type_name, .. } = self;
        let size =
            size(&shape, dtype).ok_or_else(|| format!("tensor `{name}` has shape {shape:?}, which is too large"))?;
        let what = format!("tensor `{name}` of type `{type_name}` and shape {shape:?}");
        match size {
            (_, bits) if bits > 0 => Err(format!("{what} ends within a byte")),
            (size, _) if size != to - from => Err(format!("{what} needs {size} bytes, but claims {}", to - from)),
            _ => Ok(Place {
                dtype,
                shape: shape.into_iter().map(|length| length as usize).collect(),
                bytes: start + from as usize..start + to as usize,
            }),
        }
    }
}

/// Whole bytes of a tensor, and the bits left over; `None` when no memory could hold it.
fn size(shape: &[u64], dtype: Dtype) -> Option<(u64, u64)> {
    let numbers = shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length))?;
    let bits = numbers.checked_mul(dtype.bitsize() as u64)?;
    shape.iter().all(|&length| usize::try_from(length).is_ok()).then_some((bits / 8, bits % 8))
}

/// The type of that name: `F32`, `BF16`, ...
pub(crate) fn dtype_of(name: &str) -> Option<Dtype> {
    Dtype::deserialize(StrDeserializer::<serde::de::value::Error>::new(name)).ok()
}

/// All entries but the notes under `__metadata__`.
struct Entries(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let entry = map.next_value::<Entry>().map_err(|error| explain(&name, &error))?;
            if entries.contains_key(&name) {
                return Err(A::Error::custom(format!("tensor `{name}` is listed twice")));
            }
            entries.insert(name, entry);
        }
        Ok(Entries(entries))
    }
}

/// The text's end stays what it is; anything else means that the entry has the wrong form.
fn explain<E: Error>(name: &str, error: &E) -> E {
    let error = error.to_string();
    match error.contains("EOF") {
        true => E::custom(format!("the text ends within tensor `{name}`")),
        false => E::custom(format!("tensor `{name}` lacks a proper `dtype`, `shape` or `data_offsets`")),
    }
}

#[cfg(test)]
mod tests {
    use safetensors::Dtype;

    use super::{Place, parse};

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    #[test]
    fn places_are_counted_from_the_start_of_the_file() {
        let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]},
            "a":{"dtype":"BF16","shape":[1,1],"data_offsets":[0,2]},"c":{"dtype":"I8","shape":[0,3],"data_offsets":[6,6]}}"#;
        let start = 8 + header.len();
        let places = parse(&file(header, 6)).unwrap();
        let place =
            |dtype, shape: &[usize], from, to| Place { dtype, shape: shape.to_vec(), bytes: start + from..start + to };
        assert_eq!(places["a"], place(Dtype::BF16, &[1, 1], 0, 2));
        assert_eq!(places["b"], place(Dtype::F32, &[1], 2, 6));
        assert_eq!(places["c"], place(Dtype::I8, &[0, 3], 6, 6));
    }

    #[test]
    fn a_file_without_tensors_is_fine() {
        assert!(parse(&file("{}", 0)).unwrap().is_empty());
    }
}

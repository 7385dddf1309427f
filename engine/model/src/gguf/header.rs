//! What comes before the numbers in a GGUF file (versions 2 and 3, <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>):
//! metadata by key, then name, type, shape and place of each tensor. Nothing is believed before it is checked against
//! the file, and lists stay where they are, so that a file costs no more memory than it has names.

use std::collections::BTreeMap;
use std::ops::Range;

use super::types::Type;
use super::value::Value;
use crate::storage::Reader;

/// How a file begins.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";

/// Tensors start at multiples of this, unless the file says otherwise.
const ALIGNMENT: u64 = 32;

/// Tensors have no more dimensions.
const MOST_DIMENSIONS: u32 = 4;

/// A file's metadata and tensors.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub(super) metadata: BTreeMap<&'a str, Value<'a>>,
    pub(super) tensors: BTreeMap<&'a str, Entry>,
}

/// One tensor.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Type,
    /// The longest stride first.
    pub(super) shape: Vec<usize>,
    /// Its bytes, counted from the start of the file.
    pub(super) bytes: Range<usize>,
}

/// An entry as written.
struct Raw {
    kind: Type,
    shape: Vec<u64>,
    offset: u64,
}

impl<'a> Header<'a> {
    /// Reads what comes before the numbers.
    ///
    /// # Errors
    /// Says what is wrong with the file.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, String> {
        let mut reader = Reader::new(file);
        if reader.take(4)? != MAGIC {
            return Err("it does not begin with `GGUF`".to_owned());
        }
        match reader.u32()? {
            2 | 3 => {}
            version if matches!(version.swap_bytes(), 1..=3) => return Err("its numbers are big-endian".to_owned()),
            version => return Err(format!("it has version {version}, expected 2 or 3")),
        }
        let (tensors, keys) = (reader.u64()?, reader.u64()?);
        let metadata = metadata(&mut reader, keys)?;
        let raw = raw_entries(&mut reader, tensors)?;
        let alignment = alignment(&metadata)?;
        let data = (reader.position() as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, entry) in raw {
            tensors.insert(name, entry.place(name, (data, file.len() as u64, alignment))?);
        }
        check_apart(&tensors)?;
        Ok(Self { metadata, tensors })
    }
}

fn metadata<'a>(reader: &mut Reader<'a>, count: u64) -> Result<BTreeMap<&'a str, Value<'a>>, String> {
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = reader.text("a key of its metadata")?;
        let value = reader.value().map_err(|reason| format!("key `{key}`: {reason}"))?;
        if metadata.insert(key, value).is_some() {
            return Err(format!("key `{key}` is there twice"));
        }
    }
    Ok(metadata)
}

fn raw_entries<'a>(reader: &mut Reader<'a>, count: u64) -> Result<BTreeMap<&'a str, Raw>, String> {
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let name = reader.text("the name of a tensor")?;
        let entry = Raw::read(reader).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
        if entries.insert(name, entry).is_some() {
            return Err(format!("tensor `{name}` is listed twice"));
        }
    }
    Ok(entries)
}

fn alignment(metadata: &BTreeMap<&str, Value<'_>>) -> Result<u64, String> {
    let Some(value) = metadata.get("general.alignment") else { return Ok(ALIGNMENT) };
    let found = value.count().filter(|found| found.is_power_of_two() && (8..=1 << 20).contains(found));
    found.ok_or_else(|| "key `general.alignment`: expected a power of two from 8".to_owned())
}

impl Raw {
    fn read(reader: &mut Reader<'_>) -> Result<Self, String> {
        let dimensions = reader.u32()?;
        if dimensions > MOST_DIMENSIONS {
            return Err(format!("it has {dimensions} dimensions, expected at most {MOST_DIMENSIONS}"));
        }
        let mut shape = (0..dimensions).map(|_| reader.u64()).collect::<Result<Vec<u64>, String>>()?;
        shape.reverse();
        let number = reader.u32()?;
        let kind = Type::of(number).ok_or_else(|| format!("its type has number {number}, which is not known"))?;
        Ok(Self { kind, shape, offset: reader.u64()? })
    }

    /// Where the tensor lies, checked against the length of the file.
    fn place(self, name: &str, (data, length, alignment): (u64, u64, u64)) -> Result<Entry, String> {
        let Self { kind, shape, offset } = self;
        let what = format!("tensor `{name}` of type `{}` and shape {shape:?}", kind.name());
        let (block, size) = kind.block();
        if !shape.last().copied().unwrap_or(1).is_multiple_of(block) {
            return Err(format!("{what}: its rows are no whole blocks of {block} numbers"));
        }
        if !offset.is_multiple_of(alignment) {
            return Err(format!("{what} starts at {offset}, expected a multiple of {alignment}"));
        }
        let numbers = shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length));
        let place = numbers.and_then(|numbers| {
            // Every number must be countable as four bytes, too: that is what it is read as.
            numbers.checked_mul(8)?;
            let start = data.checked_add(offset)?;
            Some(start..start.checked_add(numbers / block * size)?)
        });
        let place = place.ok_or_else(|| format!("{what} is too large"))?;
        if place.end > length {
            return Err(format!("{what} needs bytes {} to {}, but the file has {length}", place.start, place.end));
        }
        let shape = shape.into_iter().map(|length| length as usize).collect();
        Ok(Entry { kind, shape, bytes: place.start as usize..place.end as usize })
    }
}

/// No byte belongs to two tensors.
fn check_apart(tensors: &BTreeMap<&str, Entry>) -> Result<(), String> {
    let mut sorted: Vec<(&&str, &Entry)> = tensors.iter().filter(|(_, entry)| !entry.bytes.is_empty()).collect();
    sorted.sort_by_key(|(_, entry)| entry.bytes.start);
    let mut neighbours = sorted.iter().zip(sorted.iter().skip(1));
    match neighbours.find(|((_, one), (_, other))| one.bytes.end > other.bytes.start) {
        Some(((one, _), (other, _))) => Err(format!("tensors `{one}` and `{other}` overlap")),
        None => Ok(()),
    }
}

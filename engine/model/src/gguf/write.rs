//! Writes GGUF files (version 3): metadata and the list of tensors, then the bytes of each tensor, one at a time.

use std::io::Write;

use super::header::MAGIC;
use super::types::Type;
use crate::error::Result;

/// Tensors start at multiples of this.
pub(super) const ALIGNMENT: u64 = 32;

const VERSION: u32 = 3;

/// A value of metadata.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(u32),
    Numbers(Vec<u32>),
    Kinds(Vec<i32>),
    Float(f32),
    Floats(Vec<f32>),
    Flag(bool),
    Text(String),
    Texts(Vec<String>),
}

/// A tensor of the file: its name, its shape (the longest stride first), and the type of its numbers.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) kind: Type,
}

impl Listed {
    /// Bytes in the file.
    pub(super) fn size(&self) -> u64 {
        let (numbers, bytes) = self.kind.block();
        self.shape.iter().map(|&length| length as u64).product::<u64>() / numbers * bytes
    }
}

impl Value {
    fn kind(&self) -> u32 {
        match self {
            Value::Number(_) => 4,
            Value::Float(_) => 6,
            Value::Flag(_) => 7,
            Value::Text(_) => 8,
            Value::Numbers(_) | Value::Kinds(_) | Value::Floats(_) | Value::Texts(_) => 9,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Value::Number(number) => number.to_le_bytes().to_vec(),
            Value::Float(number) => number.to_le_bytes().to_vec(),
            Value::Flag(flag) => vec![u8::from(*flag)],
            Value::Text(value) => text(value),
            Value::Numbers(all) => list(4, all.iter().map(|number| number.to_le_bytes().to_vec())),
            Value::Kinds(all) => list(5, all.iter().map(|number| number.to_le_bytes().to_vec())),
            Value::Floats(all) => list(6, all.iter().map(|number| number.to_le_bytes().to_vec())),
            Value::Texts(all) => list(8, all.iter().map(|value| text(value))),
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn list(kind: u32, values: impl ExactSizeIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend((values.len() as u64).to_le_bytes());
    values.for_each(|value| bytes.extend(value));
    bytes
}

/// Everything before the first tensor.
pub(super) fn head(metadata: &[(String, Value)], tensors: &[Listed]) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        head.extend(text(key));
        head.extend(value.kind().to_le_bytes());
        head.extend(value.bytes());
    }
    let mut offset = 0_u64;
    for tensor in tensors {
        head.extend(text(&tensor.name));
        head.extend((tensor.shape.len() as u32).to_le_bytes());
        head.extend(tensor.shape.iter().rev().flat_map(|&length| (length as u64).to_le_bytes()));
        head.extend(tensor.kind.number().to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += tensor.size().next_multiple_of(ALIGNMENT);
    }
    head.resize(head.len().next_multiple_of(ALIGNMENT as usize), 0);
    head
}

/// Writes a file; `content` gives the bytes of the tensor of that index.
///
/// # Errors
/// What `content` says, and what writing says, which `unwritable` makes an error of.
pub(super) fn write(
    head: &[u8],
    tensors: &[Listed],
    content: &dyn Fn(usize) -> Result<Vec<u8>>,
    out: &mut dyn Write,
    unwritable: &dyn Fn(std::io::Error) -> crate::error::ModelError,
) -> Result<()> {
    out.write_all(head).map_err(unwritable)?;
    for index in 0..tensors.len() {
        let mut bytes = content(index)?;
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT as usize), 0);
        out.write_all(&bytes).map_err(unwritable)?;
    }
    Ok(())
}

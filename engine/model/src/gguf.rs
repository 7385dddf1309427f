//! GGUF files: one file with settings, tokenizer and weights, as llama.cpp reads them. Weights become numbers when they
//! are touched; settings, names and tokenizer become those that Hugging Face directories have.

mod blocks;
mod codebooks;
mod export;
mod header;
mod imatrix;
mod names;
mod settings;
mod tokenizer;
mod types;
mod value;
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{ModelError, Result};
use crate::storage::{Decoder, FileTensor, Mapped, Place};
use header::{Entry, Header};
use types::Type;

pub use export::Refusal;
pub use imatrix::ImportanceMatrix;

pub(crate) use export::Export;

/// What messages call such a file.
pub(crate) const FORMAT: &str = "GGUF";

/// What a GGUF file holds.
#[derive(Debug)]
pub(crate) struct Gguf {
    /// Tensors: by the names of Hugging Face where the architecture is known, else by their own.
    pub(crate) tensors: BTreeMap<String, FileTensor>,
    /// The keys of config.json; those of an unknown architecture name it alone.
    pub(crate) config: Map<String, Value>,
    /// The text of tokenizer.json, or why there is none.
    pub(crate) tokenizer: Result<Vec<u8>, String>,
    /// The text of tokenizer_config.json, where the file says how conversations are written.
    pub(crate) tokenizer_config: Option<Vec<u8>>,
}

/// Whether a file begins like one.
pub(crate) fn is_gguf(start: &[u8]) -> bool {
    start.starts_with(header::MAGIC)
}

/// Reads everything but the weights.
///
/// # Errors
/// When the file cannot be read, or is not what it says.
pub(crate) fn open(path: &Path) -> Result<Gguf> {
    let file = Mapped::open(path, FORMAT)?;
    let malformed = |reason| ModelError::Malformed { path: path.to_owned(), format: FORMAT, reason };
    let header = Header::parse(file.bytes()).map_err(malformed)?;
    let config = settings::config(&header, file.bytes()).map_err(malformed)?;
    let mut tensors = BTreeMap::new();
    for (own, entry) in &header.tensors {
        let Some(name) = names::name(&header, own) else { continue };
        let about = |reason| malformed(format!("tensor `{own}`: {reason}"));
        let order = order(&header, own, entry).map_err(about)?;
        if tensors.insert(name.clone(), tensor(&file, entry, order)).is_some() {
            return Err(malformed(format!("two tensors stand for `{name}`")));
        }
    }
    Ok(Gguf {
        tensors,
        config,
        tokenizer: tokenizer::text(&header.metadata),
        tokenizer_config: tokenizer::config(&header.metadata),
    })
}

/// The order of rows, where it is not that of Hugging Face.
fn order(header: &Header<'_>, name: &str, entry: &Entry) -> Result<Option<Interleaved>, String> {
    let Some(heads) = settings::interleaved_heads(header, name)? else { return Ok(None) };
    let rows = entry.shape.first().copied().unwrap_or(0);
    match heads > 0 && rows > 0 && rows.is_multiple_of(heads.saturating_mul(2)) {
        true => Ok(Some(Interleaved { rows, heads })),
        false => Err(format!("it has {rows} rows, expected pairs of them for each of {heads} heads")),
    }
}

fn tensor(file: &Arc<Mapped>, entry: &Entry, order: Option<Interleaved>) -> FileTensor {
    let kind = entry.kind;
    let place = Place { dtype: kind.reads_as(), shape: entry.shape.clone(), bytes: entry.bytes.clone() };
    let decoder: Option<Arc<dyn Decoder>> = match order {
        None if kind.is_plain() => None,
        order => Some(Arc::new(Blocks { kind, order })),
    };
    FileTensor::new(file, place, decoder)
}

/// Makes numbers of blocks, and the order of rows that Hugging Face has.
#[derive(Debug)]
struct Blocks {
    kind: Type,
    order: Option<Interleaved>,
}

/// Rows of heads in which rows that turn together are neighbours; Hugging Face has the first of all pairs before the
/// second.
#[derive(Debug, Clone, Copy)]
struct Interleaved {
    rows: usize,
    heads: usize,
}

impl Decoder for Blocks {
    fn decode(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        let numbers = self.kind.decode(stored)?;
        Ok(match self.order {
            Some(order) => order.apart(&numbers),
            None => numbers.into_owned(),
        })
    }

    fn stored_type(&self) -> Option<String> {
        (!self.kind.is_plain()).then(|| self.kind.name().to_owned())
    }
}

impl Interleaved {
    fn apart(self, numbers: &[u8]) -> Vec<u8> {
        let Self { rows, heads } = self;
        let (width, in_head) = (numbers.len() / rows, rows / heads);
        let pairs =
            |head| (0..2).flat_map(move |part| (0..in_head / 2).map(move |pair| head * in_head + 2 * pair + part));
        picked(numbers, width, (0..heads).flat_map(pairs))
    }

    /// The way back: rows that turn together become neighbours. Rows may be of any bytes.
    fn together(self, rows: &[u8]) -> Vec<u8> {
        let Self { rows: count, heads } = self;
        let (width, in_head) = (rows.len() / count.max(1), count / heads.max(1));
        let neighbours = |head| {
            (0..in_head / 2).flat_map(move |pair| (0..2).map(move |part| head * in_head + part * (in_head / 2) + pair))
        };
        picked(rows, width, (0..heads).flat_map(neighbours))
    }
}

/// Rows of `width` bytes, in that order.
fn picked(rows: &[u8], width: usize, order: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut picked = Vec::with_capacity(rows.len());
    order.for_each(|row| picked.extend_from_slice(rows.get(row * width..(row + 1) * width).unwrap_or_default()));
    picked
}

//! How a model lies on disk: safetensors headers, memory-mapped weights, and files that are written whole or not at all.

mod carried;
mod file;
mod header;
mod layout;
mod reader;
mod shards;
mod text;
mod write;

pub(crate) use carried::carried;
pub(crate) use file::{Decoder, FileTensor, Mapped, open_weights};
pub(crate) use header::Place;
pub(crate) use layout::{Part, Stored, file_size, header, in_order, layout, parts, weight_bytes, weight_of_packed};
pub(crate) use reader::Reader;
pub(crate) use shards::{Open, open_shards};
pub(crate) use text::{read_json, read_object, read_start};
pub(crate) use write::{sync_directory, write_whole};

/// Numbers as little-endian bytes.
pub(crate) fn little_endian<T: Copy, const N: usize>(numbers: &[T], to_bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    let mut bytes = vec![0; numbers.len() * N];
    bytes.as_chunks_mut().0.iter_mut().zip(numbers).for_each(|(chunk, &number)| *chunk = to_bytes(number));
    bytes
}

/// Settings: family, sizes, quantization.
pub(crate) const CONFIG: &str = "config.json";
/// Inputs, outputs and masks.
pub(crate) const PARING: &str = "paring.json";
/// Weights.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// Where weights lie that are spread over several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// Weights that `torch.save` wrote.
pub(crate) const PICKLED: &str = "pytorch_model.bin";
/// Where such weights lie that are spread over several files.
pub(crate) const PICKLED_INDEX: &str = "pytorch_model.bin.index.json";

//! Memory-mapped weight files: opening reads the header, and a tensor's pages are read when it is touched.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use memmap2::Mmap;
use safetensors::Dtype;

use super::header::{self, Place};
use crate::error::{ModelError, Result};

/// A mapped file.
#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    map: Mmap,
}

/// A tensor in a mapped file.
#[derive(Debug, Clone)]
pub(crate) struct FileTensor {
    file: Arc<Mapped>,
    place: Place,
}

impl FileTensor {
    /// Number type.
    pub(crate) fn dtype(&self) -> Dtype {
        self.place.dtype
    }

    /// Shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.place.shape
    }

    /// The file it lies in.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Its bytes, little-endian, row-major.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.file.map.get(self.place.bytes.clone()).unwrap_or_default()
    }

    /// A copy of its numbers in memory.
    ///
    /// # Errors
    /// When candle has no such number type.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        let dtype = DType::try_from(self.place.dtype).map_err(|_| {
            ModelError::Unsupported(format!(
                "cannot compute with tensor `{name}`: its numbers have type `{}`",
                self.place.dtype
            ))
        })?;
        Ok(Tensor::from_raw_buffer(self.bytes(), dtype, self.shape(), &Device::Cpu)?)
    }

    /// Whether both are the same bytes of the same mapped file.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.place == other.place
    }
}

/// The tensors of a safetensors file, by name. Reads its header only.
///
/// # Errors
/// When it cannot be read, or is not what its header says.
pub(crate) fn open_weights(path: &Path) -> Result<BTreeMap<String, FileTensor>> {
    let unreadable = |source| ModelError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(malformed(path, "it is not a regular file".to_owned()));
    }
    let mapped = map(&file).map_err(unreadable)?;
    let places = header::parse(&mapped).map_err(|reason| malformed(path, reason))?;
    let file = Arc::new(Mapped { path: path.to_owned(), map: mapped });
    Ok(places.into_iter().map(|(name, place)| (name, FileTensor { file: Arc::clone(&file), place })).collect())
}

#[allow(unsafe_code, reason = "a memory map is the only way to open a large file without reading it")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: The map is read-only and private to this process. Weight files are replaced by rename, never changed in
    // place, by this program; bytes are only ever read as plain numbers, so any content is a valid value.
    unsafe { Mmap::map(file) }
}

fn malformed(path: &Path, reason: String) -> ModelError {
    ModelError::Malformed { path: path.to_owned(), format: "safetensors", reason }
}

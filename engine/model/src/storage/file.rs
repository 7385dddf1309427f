//! Memory-mapped weight files: opening reads the header, and a tensor's pages are read when it is touched.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use memmap2::{Mmap, UncheckedAdvice};
use safetensors::Dtype;

use super::header::{self, Place};
use crate::error::{ModelError, Result};

/// A mapped file.
#[derive(Debug)]
pub(crate) struct Mapped {
    path: PathBuf,
    map: Mmap,
}

impl Mapped {
    /// Maps a file. Nothing is read yet.
    ///
    /// # Errors
    /// When it cannot be opened, or is no regular file.
    pub(crate) fn open(path: &Path, format: &'static str) -> Result<Arc<Self>> {
        let unreadable = |source| ModelError::Io { action: "read", path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        if !file.metadata().map_err(unreadable)?.is_file() {
            let reason = "it is not a regular file".to_owned();
            return Err(ModelError::Malformed { path: path.to_owned(), format, reason });
        }
        Ok(Arc::new(Self { path: path.to_owned(), map: map(&file).map_err(unreadable)? }))
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the memory of these bytes go; they are read from the file again when they are touched again.
    #[allow(unsafe_code, reason = "letting pages of a memory map go is the only way to stream a large file")]
    fn release(&self, bytes: Range<usize>) {
        // SAFETY: The map is read-only and of a file: pages that are let go are read anew with the same bytes.
        let released = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, bytes.start, bytes.len()) };
        // Only memory is at stake, not what is read.
        drop(released);
    }
}

/// Tensors of fewer bytes than this stay in memory once they were touched.
const SMALL: usize = 1 << 20;

/// Bytes of a large tensor that are touched at a time.
const PART: usize = 1 << 24;

/// Makes numbers of bytes that are not simply little-endian numbers in row-major order.
pub(crate) trait Decoder: fmt::Debug + Send + Sync {
    /// The numbers, little-endian and row-major, of a tensor's bytes in the file.
    ///
    /// # Errors
    /// Says what is wrong with the bytes.
    fn decode(&self, stored: &[u8]) -> Result<Vec<u8>, String>;

    /// The type in the file, where it is none that safetensors has: `Q4_1`.
    fn stored_type(&self) -> Option<String>;
}

/// A tensor in a mapped file.
#[derive(Debug, Clone)]
pub(crate) struct FileTensor {
    file: Arc<Mapped>,
    place: Place,
    decoder: Option<Arc<dyn Decoder>>,
}

impl FileTensor {
    /// A tensor whose bytes in the file are its numbers, unless a decoder makes them.
    pub(crate) fn new(file: &Arc<Mapped>, place: Place, decoder: Option<Arc<dyn Decoder>>) -> Self {
        Self { file: Arc::clone(file), place, decoder }
    }

    /// The tensor of another shape that a decoder makes of these bytes.
    pub(crate) fn decoded(&self, shape: Vec<usize>, decoder: Arc<dyn Decoder>) -> Self {
        let place = Place { shape, ..self.place.clone() };
        Self { file: Arc::clone(&self.file), place, decoder: Some(decoder) }
    }

    /// Number type.
    pub(crate) fn dtype(&self) -> Dtype {
        self.place.dtype
    }

    /// The type in the file, where it is none that safetensors has.
    pub(crate) fn stored_type(&self) -> Option<String> {
        self.decoder.as_ref().and_then(|decoder| decoder.stored_type())
    }

    /// Shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.place.shape
    }

    /// The file it lies in.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Its numbers as bytes, little-endian, row-major.
    ///
    /// # Errors
    /// When the bytes in the file stand for no numbers.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        let stored = self.file.bytes().get(self.place.bytes.clone()).unwrap_or_default();
        let Some(decoder) = &self.decoder else { return Ok(Cow::Borrowed(stored)) };
        let malformed = |reason| ModelError::Malformed { path: self.path().to_owned(), format: "model", reason };
        decoder.decode(stored).map(Cow::Owned).map_err(malformed)
    }

    /// A copy of its numbers in memory.
    ///
    /// # Errors
    /// When candle has no such number type, or the bytes in the file stand for no numbers.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor> {
        let dtype = DType::try_from(self.place.dtype).map_err(|_| {
            ModelError::Unsupported(format!(
                "cannot compute with tensor `{name}`: its numbers have type `{}`",
                self.place.dtype
            ))
        })?;
        if dtype == DType::F32 {
            // candle would copy twice.
            return Ok(Tensor::from_vec(self.floats(name)?, self.shape(), &Device::Cpu)?);
        }
        let tensor = Tensor::from_raw_buffer(&self.bytes()?, dtype, self.shape(), &Device::Cpu)?;
        self.release();
        Ok(tensor)
    }

    /// Its numbers in f32, row-major.
    ///
    /// # Errors
    /// When candle has no such number type, or the bytes in the file stand for no numbers.
    pub(crate) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        let mut numbers = Vec::with_capacity(self.shape().iter().product());
        self.floats_in_parts(name, &mut |part| numbers.extend_from_slice(part))?;
        Ok(numbers)
    }

    /// Shows its numbers in f32, row-major; a large tensor passes through memory a part at a time.
    ///
    /// # Errors
    /// As [`FileTensor::floats`].
    pub(crate) fn floats_in_parts(&self, name: &str, see: &mut dyn FnMut(&[f32])) -> Result<()> {
        let convert: fn(&[u8], &mut Vec<f32>) = match self.place.dtype {
            Dtype::F32 => |bytes, to| to.extend(bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number))),
            Dtype::F16 => |bytes, to| to.extend(bytes.as_chunks().0.iter().map(|&it| f16::from_le_bytes(it).to_f32())),
            Dtype::BF16 => {
                |bytes, to| to.extend(bytes.as_chunks().0.iter().map(|&it| bf16::from_le_bytes(it).to_f32()))
            }
            _ => {
                see(&self.tensor(name)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
                return Ok(());
            }
        };
        let mut numbers = Vec::new();
        self.bytes_in_parts(&mut |bytes| {
            if self.place.dtype == Dtype::F32
                && cfg!(target_endian = "little")
                && let Ok(in_place) = bytemuck::try_cast_slice(bytes)
            {
                return see(in_place);
            }
            numbers.clear();
            convert(bytes, &mut numbers);
            see(&numbers);
        })
    }

    /// Shows its bytes; those of a large tensor pass through memory a part at a time.
    ///
    /// # Errors
    /// When the bytes in the file stand for no numbers.
    pub(crate) fn bytes_in_parts(&self, see: &mut dyn FnMut(&[u8])) -> Result<()> {
        if self.decoder.is_some() {
            see(&self.bytes()?);
            self.release();
            return Ok(());
        }
        let Range { start, end } = self.place.bytes;
        for from in (start..end).step_by(PART) {
            let part = from..end.min(from + PART);
            see(self.file.bytes().get(part.clone()).unwrap_or_default());
            if part.len() >= SMALL {
                self.file.release(part);
            }
        }
        Ok(())
    }

    /// Lets the memory of its bytes go where it has many: whoever streams a model calls this when done with a tensor.
    pub(crate) fn release(&self) {
        let bytes = self.place.bytes.clone();
        if bytes.len() >= SMALL && bytes.end <= self.file.bytes().len() {
            self.file.release(bytes);
        }
    }

    /// Whether both are the same bytes of the same mapped file, read in the same way.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let decoders = match (&self.decoder, &other.decoder) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        Arc::ptr_eq(&self.file, &other.file) && self.place == other.place && decoders
    }
}

/// The tensors of a safetensors file, by name. Reads its header only.
///
/// # Errors
/// When it cannot be read, or is not what its header says.
pub(crate) fn open_weights(path: &Path) -> Result<BTreeMap<String, FileTensor>> {
    let file = Mapped::open(path, "safetensors")?;
    let malformed = |reason| ModelError::Malformed { path: path.to_owned(), format: "safetensors", reason };
    let places = header::parse(file.bytes()).map_err(malformed)?;
    Ok(places.into_iter().map(|(name, place)| (name, FileTensor::new(&file, place, None))).collect())
}

#[allow(unsafe_code, reason = "a memory map is the only way to open a large file without reading it")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: The map is read-only and private to this process. Weight files are replaced by rename, never changed in
    // place, by this program; bytes are only ever read as plain numbers, so any content is a valid value.
    unsafe { Mmap::map(file) }
}

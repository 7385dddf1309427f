//! Weights that `torch.save` wrote: an archive (zip) since PyTorch 1.6, pickles one after the other before. The pickle is
//! read as data: names of classes and functions are looked up in a list of those that hold weights, and no code of the
//! file, nor any that it names, is run. Weights stay in the file until they are touched.

mod archive;
mod globals;
mod legacy;
mod machine;
mod tensors;
mod value;

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{ModelError, Result};
use crate::storage::{FileTensor, Mapped};

/// What messages call such a file.
pub(crate) const FORMAT: &str = "PyTorch";

/// A pickle without its numbers is not larger: a hundred thousand tensors need a third of it.
const LARGEST: usize = 32 << 20;

/// Whether a file begins like one: an archive, or a pickle of protocol 2 to 5.
pub(crate) fn is_pickle(start: &[u8]) -> bool {
    // The length that a safetensors file begins with is followed by a brace.
    let pickle = matches!(start, [0x80, 2..=5, ..]) && start.get(8) != Some(&b'{');
    pickle || start.starts_with(archive::MAGIC)
}

/// The tensors of a file, by name. Reads what describes them only.
///
/// # Errors
/// When the file cannot be read, is not what it says, holds no dictionary of tensors, or names something that holds no
/// weights.
pub(crate) fn open(path: &Path) -> Result<BTreeMap<String, FileTensor>> {
    let file = Mapped::open(path, FORMAT)?;
    let malformed = |reason| ModelError::Malformed { path: path.to_owned(), format: FORMAT, reason };
    let bytes = file.bytes();
    let found = if bytes.starts_with(archive::MAGIC) { archive::read(bytes) } else { legacy::read(bytes) };
    found.and_then(|found| tensors::of(&file, &found)).map_err(malformed)
}

/// A pickle and where the numbers of its storages lie in the file.
#[derive(Debug)]
struct Found<'a> {
    root: value::Root<'a>,
    storages: BTreeMap<&'a [u8], std::ops::Range<usize>>,
}

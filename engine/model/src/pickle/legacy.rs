//! Files of `torch.save` before PyTorch 1.6: pickles of a magic number, a version, the writer's machine, the object and
//! the keys of its storages; then, for each key, a length and the numbers, little-endian.

use std::collections::BTreeMap;

use super::value::{Root, Value};
use super::{Found, machine};
use crate::storage::Reader;

/// The first pickle.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// The second.
const VERSION: i128 = 1001;

/// Reads the pickles and finds the storages after them.
///
/// # Errors
/// Says what is wrong with the file.
pub(super) fn read(file: &[u8]) -> Result<Found<'_>, String> {
    if file.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut reader = Reader::new(file);
    let foreign = || "it is a pickle that `torch.save` did not write".to_owned();
    match pickle(&mut reader).map_err(|reason| format!("{}: {reason}", foreign()))?.top() {
        Value::Int(MAGIC) => {}
        _ => return Err(foreign()),
    }
    match pickle(&mut reader)?.top() {
        Value::Int(VERSION) => {}
        _ => return Err(format!("its version is not {VERSION}")),
    }
    // What machine wrote it decides nothing: the numbers are little-endian on all.
    pickle(&mut reader)?;
    let root = pickle(&mut reader)?;
    let keys = pickle(&mut reader)?;
    let Value::List(list) = keys.top() else { return Err("its storages are not listed".to_owned()) };
    let sizes = root.storages();
    let mut storages = BTreeMap::new();
    for &key in list {
        let Value::Text(key) = *keys.get(key) else { return Err("the key of a storage is not a text".to_owned()) };
        let shown = String::from_utf8_lossy(key);
        let (&key, &width) = sizes.get_key_value(key).ok_or_else(|| format!("storage `{shown}` has no type"))?;
        let about = |reason: String| format!("storage `{shown}`: {reason}");
        let count = reader.u64().map_err(about)?;
        let start = reader.position();
        let size = count.checked_mul(width).ok_or_else(|| about(format!("it claims {count} numbers")))?;
        reader.take(size).map_err(about)?;
        if storages.insert(key, start..reader.position()).is_some() {
            return Err(about("it is there twice".to_owned()));
        }
    }
    match reader.rest() {
        [] => Ok(Found { root, storages }),
        rest => Err(format!("its last {} bytes belong to no storage", rest.len())),
    }
}

fn pickle<'a>(reader: &mut Reader<'a>) -> Result<Root<'a>, String> {
    let (root, length) = machine::read(reader.rest())?;
    reader.take(length as u64)?;
    Ok(root)
}

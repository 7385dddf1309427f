//! Archives of `torch.save` since PyTorch 1.6: `NAME/data.pkl`, and the numbers of each storage in `NAME/data/KEY`, none of
//! them compressed.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::{Found, LARGEST, machine};

/// How such a file begins.
pub(super) const MAGIC: &[u8] = b"PK\x03\x04";

/// The pickle's file in the archive.
const PICKLE: &str = "/data.pkl";

type Archive<'a> = ZipArchive<Cursor<&'a [u8]>>;

/// Reads the pickle and finds the storages that it names.
///
/// # Errors
/// Says what is wrong with the file.
pub(super) fn read(file: &[u8]) -> Result<Found<'_>, String> {
    let mut archive = ZipArchive::new(Cursor::new(file))
        .map_err(|error| format!("its archive cannot be read, as when a file was cut short ({error})"))?;
    let names = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned()));
    let names: Vec<String> = names.collect();
    let pickle = names.iter().find(|name| name.ends_with(PICKLE)).ok_or("its archive holds no `data.pkl`")?;
    let name = pickle.strip_suffix(PICKLE).unwrap_or_default();
    if names.iter().any(|other| other.strip_prefix(name) == Some("/constants.pkl")) {
        let cure = "save the weights alone: `torch.save(module.state_dict(), path)`";
        return Err(format!("it holds a TorchScript program; {cure}"));
    }
    if let Some(order) = names.iter().find(|other| other.strip_prefix(name) == Some("/byteorder")) {
        let place = place(&mut archive, file, order)?;
        if file.get(place) != Some(b"little") {
            return Err("its numbers are big-endian".to_owned());
        }
    }
    check(&mut archive, pickle)?;
    let place = place(&mut archive, file, pickle)?;
    let (root, _) = machine::read(file.get(place).unwrap_or_default())?;
    let mut storages = BTreeMap::new();
    for key in root.storages().into_keys() {
        let member = format!("{name}/data/{}", String::from_utf8_lossy(key));
        storages.insert(key, self::place(&mut archive, file, &member)?);
    }
    Ok(Found { root, storages })
}

/// Where the bytes of a member lie in the file.
fn place(archive: &mut Archive<'_>, file: &[u8], name: &str) -> Result<Range<usize>, String> {
    let about = |reason: String| format!("`{name}` of its archive: {reason}");
    let index = archive.index_for_name(name).ok_or_else(|| about("it is missing".to_owned()))?;
    let member = archive.by_index_raw(index).map_err(|error| about(error.to_string()))?;
    if member.compression() != CompressionMethod::Stored || member.encrypted() {
        return Err(about("it is compressed or encrypted".to_owned()));
    }
    let (start, size) = (member.data_start(), member.size());
    let end = start.and_then(|start| start.checked_add(size)).filter(|&end| end <= file.len() as u64);
    match (start, end) {
        (Some(start), Some(end)) => Ok(start as usize..end as usize),
        _ => Err(about(format!("it claims {size} bytes, but the file has {}", file.len()))),
    }
}

/// Reads the pickle through once, for its checksum.
fn check(archive: &mut Archive<'_>, name: &str) -> Result<(), String> {
    let index = archive.index_for_name(name).ok_or("its archive holds no `data.pkl`")?;
    let about = |error: String| format!("`{name}` of its archive: {error}");
    let member = archive.by_index(index).map_err(|error| about(error.to_string()))?;
    if member.size() > LARGEST as u64 {
        return Err(about(format!("it has {} bytes, expected at most {LARGEST}", member.size())));
    }
    std::io::copy(&mut member.take(LARGEST as u64), &mut std::io::sink()).map_err(|error| about(error.to_string()))?;
    Ok(())
}

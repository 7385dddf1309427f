//! A file's bytes: hashed as they are read, and unpacked with a limit when they end in `.gz`.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{DataError, Result};

/// A file in memory.
pub(crate) struct Source {
    /// Its bytes, unpacked.
    pub(crate) bytes: Vec<u8>,
    /// Digest (BLAKE3, hex) of the bytes on disk.
    pub(crate) digest: String,
}

/// Unpacked bytes that any packed file may have, however small it is: 256 MiB.
const UNPACKED_FREE: u64 = 256 << 20;
/// Unpacked bytes per packed byte beyond that. Numbers written as text pack to about a tenth.
const UNPACKED_RATIO: u64 = 100;

/// The most bytes that `packed` bytes may unpack to; more is taken for a decompression bomb.
pub(crate) fn unpacked_limit(packed: u64) -> u64 {
    UNPACKED_FREE.saturating_add(packed.saturating_mul(UNPACKED_RATIO))
}

/// Reads a file, unpacking `.gz`.
pub(crate) fn load(path: &Path) -> Result<Source> {
    let (bytes, digest) = read_hashed(path)?;
    if bytes.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    let bytes = if is_gz(path) { unpack(path, &bytes)? } else { bytes };
    Ok(Source { bytes, digest })
}

/// Digest (BLAKE3, hex) of a file's bytes, read in small pieces.
///
/// # Errors
/// When the file cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    let io = |source| DataError::Io { path: path.to_owned(), source };
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(io)?).map_err(io)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn read_hashed(path: &Path) -> Result<(Vec<u8>, String)> {
    let io = |source| DataError::Io { path: path.to_owned(), source };
    let bytes = std::fs::read(path).map_err(io)?;
    let digest = blake3::hash(&bytes).to_hex().to_string();
    Ok((bytes, digest))
}

fn unpack(path: &Path, packed: &[u8]) -> Result<Vec<u8>> {
    let malformed = |reason| DataError::Malformed { path: path.to_owned(), format: "gzip", reason };
    let limit = unpacked_limit(packed.len() as u64);
    read_limited(MultiGzDecoder::new(packed), limit).map_err(malformed)
}

/// Reads to the end, but no more than `limit` bytes.
pub(crate) fn read_limited(reader: impl Read, limit: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| lower(&error))?;
    if bytes.len() as u64 > limit {
        return Err(format!("unpacks to more than {limit} bytes, the most that is read from a file of its size"));
    }
    Ok(bytes)
}

/// Whether the name ends in `.gz`, in any case.
pub(crate) fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

/// Another library's message in our manner: starts lower case, no full stop.
pub(crate) fn lower(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let mut letters = text.trim_end_matches('.').chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::{digest, load, read_limited};

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn the_digest_is_that_of_the_bytes_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        let packed = gz(b"a,b\n1,2\n");
        std::fs::write(&path, &packed).unwrap();
        let source = load(&path).unwrap();
        assert_eq!(source.bytes, b"a,b\n1,2\n");
        assert_eq!(source.digest, blake3::hash(&packed).to_hex().to_string());
        assert_eq!(source.digest, digest(&path).unwrap());
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        assert_eq!(read_limited(&b"12345"[..], 5).unwrap(), b"12345");
        let reason = read_limited(&b"123456"[..], 5).unwrap_err();
        assert_eq!(reason, "unpacks to more than 5 bytes, the most that is read from a file of its size");
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_memory() {
        // 300 MiB of zeros pack to about 300 KiB, which may unpack to 256 MiB + 30 MiB.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zeros.csv.gz");
        std::fs::write(&path, gz(&vec![0; 300 << 20])).unwrap();
        let error = load(&path).err().unwrap().to_string();
        assert!(error.contains("unpacks to more than"), "{error}");
    }

    #[test]
    fn a_cut_packed_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cut.csv.gz");
        let packed = gz(b"a,b\n1,2\n3,4\n");
        std::fs::write(&path, &packed[..packed.len() - 6]).unwrap();
        assert!(load(&path).is_err());
    }
}

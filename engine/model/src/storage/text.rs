//! Small JSON files, read with a bound.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{ModelError, Result};

/// A larger JSON file is refused.
const LARGEST: u64 = 32 << 20;

/// The first bytes of a file, at most `count`.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_start(path: &Path, count: u64) -> Result<Vec<u8>> {
    let unreadable = |source| ModelError::Io { action: "read", path: path.to_owned(), source };
    let mut start = Vec::new();
    File::open(path).map_err(unreadable)?.take(count).read_to_end(&mut start).map_err(unreadable)?;
    Ok(start)
}

/// The bytes of a small file; `None` when there is none.
fn read_small(path: &Path, format: &'static str) -> Result<Option<Vec<u8>>> {
    let unreadable = |source| ModelError::Io { action: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    let refuse = |reason| Err(ModelError::Malformed { path: path.to_owned(), format, reason });
    if !file.metadata().map_err(unreadable)?.is_file() {
        return refuse("it is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return refuse(format!("it is larger than {LARGEST} bytes"));
    }
    Ok(Some(bytes))
}

/// The value in a JSON file; `None` when there is no file.
///
/// # Errors
/// When it cannot be read, is too large, or holds something else.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path, format: &'static str) -> Result<Option<T>> {
    let Some(bytes) = read_small(path, format)? else { return Ok(None) };
    let malformed =
        |error: serde_json::Error| ModelError::Malformed { path: path.to_owned(), format, reason: error.to_string() };
    serde_json::from_slice(&bytes).map(Some).map_err(malformed)
}

/// An object and the text it was read from.
pub(crate) type ObjectText = (Map<String, Value>, Vec<u8>);

/// The object in a JSON file, with its text; `None` when there is no file.
///
/// # Errors
/// As [`read_json`].
pub(crate) fn read_object(path: &Path, format: &'static str) -> Result<Option<ObjectText>> {
    let Some(bytes) = read_small(path, format)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(Some((object, bytes))),
        Ok(_) => {
            let reason = "it holds no object".to_owned();
            Err(ModelError::Malformed { path: path.to_owned(), format, reason })
        }
        Err(error) => Err(ModelError::Malformed { path: path.to_owned(), format, reason: error.to_string() }),
    }
}

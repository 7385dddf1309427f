//! Reading a recipe file: regular files of a sane size, UTF-8 with or without a byte order mark.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::MAX_BYTES;
use crate::diagnostic::Diagnostic;

/// Reads a recipe file. Never reads more than [`MAX_BYTES`], never opens what is not a regular file.
///
/// # Errors
/// When it is missing, not a file, too large or not UTF-8. The problem has no place: the caller knows who named it.
pub fn read_file(path: &Path) -> Result<String, Diagnostic> {
    let name = path.display();
    let unreadable =
        |error: std::io::Error| Diagnostic::new("Y001", format!("`{name}` cannot be read: {}", reason(&error)));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Diagnostic::new("Y001", format!("`{name}` is not a file")));
    }
    if metadata.len() > MAX_BYTES {
        return Err(too_large(&name.to_string(), metadata.len()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    decode(bytes, &name.to_string())
}

/// Bytes to text: checks the size, the encoding, and takes off a byte order mark.
pub(crate) fn decode(bytes: Vec<u8>, name: &str) -> Result<String, Diagnostic> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large(name, bytes.len() as u64));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Diagnostic::new("Y002", format!("`{name}` is not UTF-8: the first wrong byte is byte {}", at + 1))
            .help("save the file as UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn too_large(name: &str, bytes: u64) -> Diagnostic {
    let found = bytes.div_ceil(1_000_000);
    Diagnostic::new("Y001", format!("`{name}` is {found} MB, expected a recipe of at most 1 MiB (inclusive)"))
        .help("a recipe is a small YAML file; data and models are named in it by their path")
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission is denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn byte_order_mark_is_taken_off() {
        assert_eq!(decode(b"\xef\xbb\xbfparing: 1".to_vec(), "a").unwrap(), "paring: 1");
    }

    #[test]
    fn wrong_encoding_names_the_byte() {
        let problem = decode(b"name: \xff".to_vec(), "a.yaml").unwrap_err();
        assert_eq!(problem.message, "`a.yaml` is not UTF-8: the first wrong byte is byte 7");
    }
}

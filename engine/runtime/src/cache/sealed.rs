//! Files of words that carry a digest of their own: what was changed since it was written is not believed.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::output::write_atomically;

#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Digest (hex) of `content`, written compactly.
    digest: String,
    content: Value,
}

/// Writes a value with its digest, whole or not at all.
///
/// # Errors
/// The operating system's answer.
pub(super) fn write<T: Serialize>(path: &Path, value: &T) -> std::io::Result<()> {
    let content = serde_json::to_value(value)?;
    let sealed = Sealed { digest: digest(&content), content };
    write_atomically(path, &serde_json::to_vec_pretty(&sealed)?)
}

/// The value of a file; `None` where there is none or it is not as it was written.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let sealed: Sealed = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    if digest(&sealed.content) == sealed.digest { serde_json::from_value(sealed.content).ok() } else { None }
}

fn digest(content: &Value) -> String {
    let text = content.to_string();
    blake3::Hasher::new_derive_key("paring cache file v1").update(text.as_bytes()).finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn what_is_read_is_what_was_written_to_the_last_digit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("numbers.json");
        let numbers = vec![0.1_f32, 1e14, f32::MIN_POSITIVE, f32::MAX, -0.0];
        write(&path, &numbers).unwrap();
        assert_eq!(read::<Vec<f32>>(&path), Some(numbers));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("0.0", "1.0", 1)).unwrap();
        assert_eq!(read::<Vec<f32>>(&path), None);
    }
}

//! Plain text: one row a line, in the column `text`. Lines joined by line feeds are the file again.

use super::Found;
use crate::cells::{Cells, NamedColumn};

/// Reads UTF-8 text; a byte order mark is left out.
pub(super) fn read(bytes: &[u8]) -> Result<Found, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.split('\n').map(|line| Some(line.to_owned())).collect();
    Ok(Found { columns: vec![NamedColumn { name: "text".to_owned(), cells: Cells::Text(lines) }], image: None })
}

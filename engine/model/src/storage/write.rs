//! Files that appear whole or not at all: temporary file, sync, rename.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{ModelError, Result};

/// Writes a file of `directory` through a temporary one beside it, so that a reader sees the old or the new content.
///
/// # Errors
/// When the directory cannot be written to, or `content` fails.
pub(crate) fn write_whole(
    directory: &Path,
    name: &str,
    content: &mut dyn FnMut(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let path = directory.join(name);
    let unwritable = |source| ModelError::Io { action: "write", path: path.clone(), source };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".paring-").suffix(".tmp");
    shared_permissions(&mut builder);
    let temporary = builder.tempfile_in(directory).map_err(unwritable)?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file());
    content(&mut writer)?;
    writer.flush().map_err(unwritable)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(unwritable)?;
    temporary.persist(&path).map_err(|error| unwritable(error.error))?;
    Ok(())
}

/// Makes the renames in a directory last.
///
/// # Errors
/// When the directory cannot be synced.
pub(crate) fn sync_directory(directory: &Path) -> Result<()> {
    if cfg!(unix) {
        let failed = |source| ModelError::Io { action: "sync", path: directory.to_owned(), source };
        File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// Readable by whom the umask lets, as any other file; temporary files are the owner's alone by default.
#[cfg(unix)]
fn shared_permissions(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(std::fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn shared_permissions(_: &mut tempfile::Builder<'_, '_>) {}

//! The output directory: locked while a run writes to it, and files in it appear whole or not at all.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Begins the name of every file and directory that a run is still writing.
const UNFINISHED: &str = ".unfinished-";

/// A locked output directory.
#[derive(Debug)]
pub struct OutputDirectory {
    path: PathBuf,
    /// Held for the lock.
    _lock: File,
    /// This run created it: an empty one is removed again.
    created: bool,
}

/// Why the output directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// Another run is writing to it.
    #[error("another run is writing to `{}`", .0.display())]
    Locked(PathBuf),
    /// It cannot be created or written.
    #[error("cannot write to `{}`: {source}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

impl OutputDirectory {
    /// Creates the directory if need be, locks it, and removes what a killed run left unfinished.
    ///
    /// # Errors
    /// When it cannot be written or another run holds it.
    pub fn open(path: &Path) -> Result<Self, OutputError> {
        let wrong = |source| OutputError::Write { path: path.to_path_buf(), source };
        let created = !path.exists();
        std::fs::create_dir_all(path).map_err(wrong)?;
        let lock = File::open(path).map_err(wrong)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OutputError::Locked(path.to_path_buf())),
            Err(TryLockError::Error(source)) => return Err(wrong(source)),
        }
        let directory = Self { path: path.to_path_buf(), _lock: lock, created };
        directory.remove_unfinished().map_err(wrong)?;
        // Found out now rather than after the work.
        tempfile::tempfile_in(path).map_err(wrong)?;
        Ok(directory)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn remove_unfinished(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// A directory to write into; removed when dropped unless published.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn unfinished(&self) -> Result<tempfile::TempDir, OutputError> {
        let made = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.path);
        made.map_err(|source| OutputError::Write { path: self.path.clone(), source })
    }

    /// Puts a finished directory in place under `name`, replacing what an earlier run left there.
    ///
    /// # Errors
    /// When it cannot be moved; what was there before stays.
    pub fn publish(&self, finished: tempfile::TempDir, name: &str) -> Result<(), OutputError> {
        let target = self.path.join(name);
        let wrong = |source| OutputError::Write { path: target.clone(), source };
        let old = self.unfinished()?;
        let aside = old.path().join("old");
        if target.exists() {
            std::fs::rename(&target, &aside).map_err(wrong)?;
        }
        if let Err(source) = std::fs::rename(finished.path(), &target) {
            if aside.exists() {
                std::fs::rename(&aside, &target).map_err(wrong)?;
            }
            return Err(wrong(source));
        }
        // Renamed away: nothing is left for it to remove.
        drop(finished.keep());
        Ok(())
    }

    /// Writes a file whole.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        let path = self.path.join(name);
        write_through(UNFINISHED, &path, bytes).map_err(|source| OutputError::Write { path, source })
    }
}

impl Drop for OutputDirectory {
    fn drop(&mut self) {
        if self.created {
            // Fails, as it should, when there is something in it.
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// Writes a file through a temporary one in the same directory: flushed to disk, then renamed.
///
/// # Errors
/// The operating system's answer; the file of that name is then as it was before.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    write_through(".new-", path, bytes)
}

/// See [`write_atomically`]; the temporary file's name begins with `prefix`.
fn write_through(prefix: &str, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::with_prefix_in(prefix, directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

//! The output directory: locked while a run writes to it, and files in it appear whole or not at all.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Begins the name of every file and directory that a run is still writing.
const UNFINISHED: &str = ".unfinished-";

/// The files in which a run says what it did. Each is a map that has the file's stem, with a version, among its keys.
const RECORDS: [&str; 2] = [REPORT, "timings.json"];

/// The record that every run writes which is not interrupted: what lies beside it under an export's name is a run's.
const REPORT: &str = "report.json";

/// The directory of an export, by its place in the recipe's list.
pub(crate) fn export_name(index: usize) -> String {
    if index == 0 { "model".to_owned() } else { format!("model-{}", index + 1) }
}

/// Whether a file was written by a run.
fn is_record(path: &Path) -> bool {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&text).is_ok_and(|record| record.get(stem).is_some())
}

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
    /// Something lies where a result would, and no run wrote it.
    #[error("`{}` was not written by a run, and would be replaced", .0.display())]
    Foreign(PathBuf),
    /// The recipe's own model lies where a result would.
    #[error("`{}` holds the model that the recipe starts from, and would be replaced", .0.display())]
    Source(PathBuf),
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

    /// Makes sure that what a run with so many exports replaces was written by a run, and is not the model `source` from
    /// which it starts.
    ///
    /// # Errors
    /// What would be lost.
    pub fn check_replaced(&self, exports: usize, source: Option<&Path>) -> Result<(), OutputError> {
        for record in RECORDS {
            let path = self.path.join(record);
            if path.exists() && !is_record(&path) {
                return Err(OutputError::Foreign(path));
            }
        }
        let source = source.and_then(|source| source.canonicalize().ok());
        for path in (0..exports).map(|index| self.path.join(export_name(index))).filter(|path| path.exists()) {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            if source.as_ref().is_some_and(|source| source.starts_with(&real)) {
                return Err(OutputError::Source(path));
            }
            if !is_record(&self.path.join(REPORT)) && !path.join("paring.json").is_file() {
                return Err(OutputError::Foreign(path));
            }
        }
        Ok(())
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

    /// Writes a file of a stage whole, in its directory where its name has one.
    ///
    /// # Errors
    /// When it cannot be written, or something lies there that no run wrote.
    pub fn write_beside(&self, name: &str, bytes: &[u8]) -> Result<(), OutputError> {
        let path = self.path.join(name);
        if path.exists() && !is_record(&self.path.join(REPORT)) {
            return Err(OutputError::Foreign(path));
        }
        let wrong = |source| OutputError::Write { path: path.clone(), source };
        std::fs::create_dir_all(path.parent().unwrap_or(&self.path)).map_err(wrong)?;
        self.write(name, bytes)
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

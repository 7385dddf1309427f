//! The stage cache: results under the digest of everything that decides them. Entries appear whole or not at all,
//! failures never; an entry that does not hold what it says is not believed.

mod journal;
mod sealed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use paring_model::{Checkpoint, ModelError};
use paring_passes::Receipt;
use serde::{Deserialize, Serialize};

use crate::key::KeyParts;
use crate::output::write_atomically;
use crate::report::EngineReceipt;

pub use journal::Journal;

/// Begins the name of every entry that a run is still writing.
const UNFINISHED: &str = ".new-";

/// Where an entry keeps the files that the stage left beside the model.
const BESIDE: &str = "beside";

/// A cache directory. Several runs may use one at the same time.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

/// What a stage left.
#[derive(Debug, Clone)]
pub struct Cached {
    /// The model.
    pub model: Checkpoint,
    /// Its digest.
    pub digest: String,
    /// What the pass says it did.
    pub receipt: Receipt,
    /// What the engine found.
    pub engine: EngineReceipt,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    parts: KeyParts,
    result: String,
    receipt: Receipt,
    engine: EngineReceipt,
    /// Digest of each file of the model's directory.
    files: BTreeMap<String, String>,
    /// Digest of each file that the stage left beside the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    beside: BTreeMap<String, String>,
}

/// One entry, for a listing.
#[derive(Debug, Clone, Serialize)]
pub struct EntryInfo {
    /// Its key.
    pub key: String,
    /// Ids of the stage and those around it.
    pub stage: String,
    /// The pass.
    pub pass: String,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Cache {
    /// The cache in a directory, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().join("v1") }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.root
    }

    fn entry(&self, key: &str) -> PathBuf {
        self.root.join("stages").join(key.get(..2).unwrap_or("__")).join(key)
    }

    fn read_entry(&self, directory: &Path) -> Option<Entry> {
        sealed::read(&directory.join("entry.json"))
    }

    /// Digest of the stored result, without reading the model.
    pub fn result_digest(&self, parts: &KeyParts) -> Option<String> {
        let entry = self.read_entry(&self.entry(&parts.digest()))?;
        (entry.parts == *parts).then_some(entry.result)
    }

    /// The stored result, verified. An entry that is damaged is removed and counts as absent.
    pub fn load(&self, parts: &KeyParts) -> Option<Cached> {
        let directory = self.entry(&parts.digest());
        let entry = self.read_entry(&directory)?;
        let model = directory.join("model");
        let intact = entry.parts == *parts && file_digests(&model).is_ok_and(|found| found == entry.files);
        let beside = read_files(&directory.join(BESIDE), &entry.beside);
        match beside.filter(|_| intact).map(|files| Ok::<_, ModelError>((Checkpoint::open(&model)?, files))) {
            Some(Ok((model, files))) => {
                let receipt = Receipt { files, ..entry.receipt };
                Some(Cached { model, digest: entry.result, receipt, engine: entry.engine })
            }
            _ => {
                tracing::warn!(entry = %directory.display(), "a damaged cache entry is removed");
                // Whatever stands in the way will be met again, with a message, when the new result is stored.
                let _ = std::fs::remove_dir_all(&directory);
                None
            }
        }
    }

    /// Stores a result and gives back the model as it lies in the cache.
    ///
    /// # Errors
    /// When the cache cannot be written; nothing partial is left then.
    pub fn store(&self, parts: &KeyParts, cached: &Cached) -> Result<Checkpoint, CacheError> {
        let directory = self.entry(&parts.digest());
        let parent = directory.parent().unwrap_or(&self.root).to_path_buf();
        let wrong = |source| CacheError::Write { path: directory.clone(), source };
        std::fs::create_dir_all(&parent).map_err(wrong)?;
        let new = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&parent).map_err(wrong)?;
        cached.model.save(&new.path().join("model"))?;
        let beside = new.path().join(BESIDE);
        std::fs::create_dir(&beside).map_err(wrong)?;
        for (name, bytes) in &cached.receipt.files {
            let path = beside.join(name);
            std::fs::create_dir_all(path.parent().unwrap_or(&beside)).map_err(wrong)?;
            std::fs::write(path, bytes).map_err(wrong)?;
        }
        let entry = Entry {
            parts: parts.clone(),
            result: cached.digest.clone(),
            receipt: cached.receipt.clone(),
            engine: cached.engine.clone(),
            files: file_digests(&new.path().join("model")).map_err(wrong)?,
            beside: file_digests(&beside).map_err(wrong)?,
        };
        sealed::write(&new.path().join("entry.json"), &entry).map_err(wrong)?;
        self.publish(new, &directory).map_err(wrong)?;
        Ok(Checkpoint::open(&directory.join("model"))?)
    }

    fn publish(&self, new: tempfile::TempDir, directory: &Path) -> std::io::Result<()> {
        if self.read_entry(directory).is_some() {
            return Ok(()); // Another run was faster; results of one key are the same.
        }
        if directory.exists() {
            std::fs::remove_dir_all(directory)?;
        }
        match std::fs::rename(new.path(), directory) {
            Err(_) if self.read_entry(directory).is_some() => Ok(()), // Another run was faster by a hair.
            Err(error) => Err(error),
            Ok(()) => {
                // Renamed away: nothing is left for it to remove.
                drop(new.keep());
                Ok(())
            }
        }
    }

    /// Remembers the parts of a stage's last result, so that a later miss can be explained.
    pub fn remember(&self, recipe: &str, parts: &KeyParts) {
        let path = self.last_path(recipe, &parts.stream);
        let written = serde_json::to_vec(parts).map_err(std::io::Error::from).and_then(|text| {
            std::fs::create_dir_all(self.root.join("last"))?;
            write_atomically(&path, &text)
        });
        if let Err(error) = written {
            tracing::warn!(%error, "cannot remember why a stage ran");
        }
    }

    /// The parts of a stage's last result.
    pub fn last(&self, recipe: &str, stream: &[String]) -> Option<KeyParts> {
        serde_json::from_slice(&std::fs::read(self.last_path(recipe, stream)).ok()?).ok()
    }

    fn last_path(&self, recipe: &str, stream: &[String]) -> PathBuf {
        let name = blake3::hash(format!("{recipe}\n{}", stream.join("\n")).as_bytes()).to_hex();
        self.root.join("last").join(format!("{name}.json"))
    }

    /// Measures of a model on some rows, as far as they were taken before.
    pub fn measures(&self, model: &str, rows: &str) -> IndexMap<String, IndexMap<String, f64>> {
        sealed::read(&self.measures_path(model, rows)).unwrap_or_default()
    }

    /// Keeps measures of a model on some rows.
    pub fn keep_measures(&self, model: &str, rows: &str, measures: &IndexMap<String, IndexMap<String, f64>>) {
        let path = self.measures_path(model, rows);
        let written = std::fs::create_dir_all(self.root.join("measures")).and_then(|()| sealed::write(&path, measures));
        if let Err(error) = written {
            tracing::warn!(%error, "cannot keep measures in the cache");
        }
    }

    fn measures_path(&self, model: &str, rows: &str) -> PathBuf {
        let name = blake3::hash(format!("{model}\n{rows}").as_bytes()).to_hex();
        self.root.join("measures").join(format!("{name}.json"))
    }

    /// Every entry, sorted by key.
    pub fn entries(&self) -> Vec<EntryInfo> {
        let mut found: Vec<EntryInfo> = subdirectories(&self.root.join("stages"))
            .iter()
            .flat_map(|shelf| subdirectories(shelf))
            .filter_map(|directory| {
                let entry = self.read_entry(&directory)?;
                let key = directory.file_name()?.to_string_lossy().into_owned();
                let stage = entry.parts.stream.join("/");
                Some(EntryInfo { key, stage, pass: entry.parts.pass, bytes: directory_size(&directory) })
            })
            .collect();
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found
    }

    /// Removes everything.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<(), CacheError> {
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CacheError::Write { path: self.root.clone(), source: error })
            }
            _ => Ok(()),
        }
    }
}

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A file cannot be written or removed.
    #[error("cannot write the cache at `{}`: {source}", path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The model cannot be saved.
    #[error(transparent)]
    Model(#[from] paring_model::ModelError),
}

/// Directories in a directory, but those that a run is still writing.
fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let finished = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with(UNFINISHED));
    finished.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

fn directory_size(directory: &Path) -> u64 {
    let files = files(directory).unwrap_or_default();
    files.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// Files by name, where all are as they were.
fn read_files(directory: &Path, digests: &BTreeMap<String, String>) -> Option<BTreeMap<String, Vec<u8>>> {
    let read = |(name, digest): (&String, &String)| {
        let bytes = std::fs::read(directory.join(name)).ok()?;
        (blake3::hash(&bytes).to_hex().to_string() == *digest).then(|| (name.clone(), bytes))
    };
    digests.iter().map(read).collect()
}

fn file_digests(directory: &Path) -> std::io::Result<BTreeMap<String, String>> {
    let digest = |path: PathBuf| {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(&path)?)?;
        let name = path.strip_prefix(directory).unwrap_or(&path).to_string_lossy().into_owned();
        Ok((name, hasher.finalize().to_hex().to_string()))
    };
    files(directory)?.into_iter().map(digest).collect()
}

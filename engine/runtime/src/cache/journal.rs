//! What a stage that is still running has finished: units of its work under the stage's key, so that a run that was
//! killed is gone on with. A unit appears whole or not at all; one that is damaged counts as absent. A journal belongs to
//! one run at a time.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paring_model::Checkpoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use super::{Cache, CacheError, UNFINISHED, file_digests, sealed};

/// The journal of one stage.
#[derive(Debug, Clone)]
pub struct Journal {
    root: PathBuf,
    /// Kept for as long as the journal is.
    _held: Option<Arc<Held>>,
}

/// What makes a journal one run's.
#[derive(Debug)]
enum Held {
    /// The lock of the stage's journal.
    Lock { _file: File },
    /// A journal beside it, which goes with the run.
    Beside(TempDir),
}

#[derive(Debug, Serialize, Deserialize)]
struct Unit {
    note: Value,
    /// Digest of each file of the model's directory.
    files: BTreeMap<String, String>,
}

impl Cache {
    /// The journal of the stage with that key; one for this run alone while another run works on the same stage.
    pub fn journal(&self, key: &str) -> Journal {
        let journals = self.root.join("journals");
        // Where nothing can be written, keeping a unit says so.
        let held = hold(&journals, key).inspect_err(|error| tracing::warn!(%error, "cannot lock a journal")).ok();
        let root = match &held {
            Some(Held::Beside(directory)) => directory.path().to_owned(),
            _ => journals.join(key),
        };
        Journal { root, _held: held.map(Arc::new) }
    }
}

fn hold(journals: &Path, key: &str) -> std::io::Result<Held> {
    std::fs::create_dir_all(journals)?;
    let file = File::options().create(true).append(true).open(journals.join(format!("{key}.lock")))?;
    match file.try_lock() {
        Ok(()) => Ok(Held::Lock { _file: file }),
        Err(TryLockError::WouldBlock) => {
            tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(journals).map(Held::Beside)
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl Journal {
    /// Keeps a unit, and gives back its model as it lies in the journal.
    ///
    /// # Errors
    /// When it cannot be written; nothing partial is left then.
    pub fn keep(&self, unit: &str, part: &Checkpoint, note: &Value) -> Result<Checkpoint, CacheError> {
        let directory = self.root.join(unit);
        let wrong = |source| CacheError::Write { path: directory.clone(), source };
        std::fs::create_dir_all(&self.root).map_err(wrong)?;
        let new = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.root).map_err(wrong)?;
        let model = new.path().join("model");
        part.save(&model)?;
        let files = file_digests(&model).map_err(wrong)?;
        sealed::write(&new.path().join("unit.json"), &Unit { note: note.clone(), files }).map_err(wrong)?;
        if directory.exists() {
            std::fs::remove_dir_all(&directory).map_err(wrong)?;
        }
        std::fs::rename(new.keep(), &directory).map_err(wrong)?;
        Ok(Checkpoint::open(&directory.join("model"))?)
    }

    /// A unit that was kept, with its note.
    pub fn kept(&self, unit: &str) -> Option<(Checkpoint, Value)> {
        let directory = self.root.join(unit);
        let model = directory.join("model");
        let Unit { note, files } = sealed::read(&directory.join("unit.json"))?;
        let intact = file_digests(&model).is_ok_and(|found| found == files);
        Some((intact.then(|| Checkpoint::open(&model).ok())??, note))
    }

    /// Removes a unit, if there is one.
    pub fn discard(&self, unit: &str) {
        // What cannot be removed now goes with the whole journal.
        let _ = std::fs::remove_dir_all(self.root.join(unit));
    }

    /// Removes everything: the stage is done.
    pub fn finish(&self) {
        let _ = std::fs::remove_dir_all(&self.root);
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use paring_model::Checkpoint;
    use serde_json::json;

    use crate::cache::Cache;

    fn part(numbers: &[f32]) -> Checkpoint {
        Checkpoint::of_tensors([("a.weight".to_owned(), Tensor::new(numbers, &Device::Cpu).unwrap())])
    }

    fn numbers(model: &Checkpoint) -> Vec<f32> {
        model.tensor("a.weight").unwrap().to_vec1().unwrap()
    }

    #[test]
    fn a_unit_is_found_again_until_the_stage_is_done() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Cache::new(directory.path()).journal("key");
        assert!(journal.kept("one").is_none());
        let kept = journal.keep("one", &part(&[1.0, 2.0]), &json!({"error": 0.5})).unwrap();
        assert_eq!(numbers(&kept), [1.0, 2.0]);
        journal.keep("one", &part(&[3.0]), &json!(7)).unwrap();
        drop(journal);
        let journal = Cache::new(directory.path()).journal("key");
        let (model, note) = journal.kept("one").unwrap();
        assert_eq!((numbers(&model), note), (vec![3.0], json!(7)));
        assert!(Cache::new(directory.path()).journal("other").kept("one").is_none());
        journal.finish();
        assert!(journal.kept("one").is_none());
    }

    /// Two runs of one stage with one cache: neither takes the other's units away.
    #[test]
    fn a_journal_is_one_runs_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = [0, 1].map(|_| Cache::new(directory.path()).journal("key"));
        let kept = first.keep("one", &part(&[1.0]), &json!(null)).unwrap();
        assert!(second.kept("one").is_none());
        second.keep("one", &part(&[2.0]), &json!(null)).unwrap();
        second.finish();
        assert_eq!(numbers(&kept), [1.0]);
        assert!(first.kept("one").is_some());
        drop((first, second));
        assert!(Cache::new(directory.path()).journal("key").kept("one").is_some());
    }

    #[test]
    fn a_damaged_unit_counts_as_absent() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Cache::new(directory.path()).journal("key");
        journal.keep("one", &part(&[1.0, 2.0]), &json!(null)).unwrap();
        let file = journal.root.join("one/model/model.safetensors");
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        assert!(journal.kept("one").is_none());
    }
}

//! The files of a model directory that are not Paring's: a tokenizer, a licence, notes. They are remembered by path and
//! copied when the model is saved.

use std::collections::BTreeMap;
use std::fs::{DirEntry, read_dir};
use std::path::{Path, PathBuf};

use crate::error::{ModelError, Result};

/// More files than this are refused.
const MOST: usize = 10_000;

/// Deeper directories than this are refused.
const DEEPEST: usize = 16;

/// All files under `directory`, by relative path, but hidden ones and those that `own` names at the top.
///
/// # Errors
/// When a directory cannot be read, there are too many files, or a link leads out of the directory.
pub(crate) fn carried(directory: &Path, own: &dyn Fn(&str) -> bool) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let root = directory.canonicalize().map_err(|source| unreadable(directory, source))?;
    let roots = roots(&root);
    let mut found = BTreeMap::new();
    let mut open = vec![(root.clone(), PathBuf::new(), 0)];
    while let Some((path, relative, depth)) = open.pop() {
        for entry in read_dir(&path).map_err(|source| unreadable(&path, source))? {
            let entry = entry.map_err(|source| unreadable(&path, source))?;
            let name = entry.file_name();
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if hidden || depth == 0 && name.to_str().is_some_and(own) {
                continue;
            }
            let relative = relative.join(&name);
            match kind(&roots, &entry)? {
                Kind::Directory if depth < DEEPEST => open.push((entry.path(), relative, depth + 1)),
                Kind::Directory => return Err(refuse(&entry.path(), format!("it is more than {DEEPEST} levels deep"))),
                Kind::File => drop(found.insert(relative, entry.path())),
                Kind::Other => {}
            }
        }
        if found.len() > MOST {
            return Err(refuse(directory, format!("it holds more than {MOST} files")));
        }
    }
    Ok(found)
}

enum Kind {
    File,
    Directory,
    Other,
}

/// Where links may lead: the directory itself; and, where it is a snapshot in the cache of a model hub
/// (`models--org--name/snapshots/COMMIT`), the folder of that model's files, `blobs`.
fn roots(directory: &Path) -> Vec<PathBuf> {
    let mut roots = vec![directory.to_owned()];
    let snapshots = directory.parent().filter(|parent| parent.ends_with("snapshots"));
    let model = snapshots
        .and_then(Path::parent)
        .filter(|model| model.file_name().is_some_and(|name| name.to_string_lossy().starts_with("models--")));
    roots.extend(model.map(|model| model.join("blobs")));
    roots
}

/// Links are followed to files below `roots` only.
fn kind(roots: &[PathBuf], entry: &DirEntry) -> Result<Kind> {
    let path = entry.path();
    let kind = entry.file_type().map_err(|source| unreadable(&path, source))?;
    if !kind.is_symlink() {
        return Ok(if kind.is_dir() {
            Kind::Directory
        } else if kind.is_file() {
            Kind::File
        } else {
            Kind::Other
        });
    }
    let target = path.canonicalize().map_err(|source| unreadable(&path, source))?;
    match roots.iter().any(|root| target.starts_with(root)) && target.is_file() {
        true => Ok(Kind::File),
        false => Err(refuse(&path, "the link does not lead to a file of the model's directory".to_owned())),
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> ModelError {
    ModelError::Io { action: "read", path: path.to_owned(), source }
}

fn refuse(path: &Path, reason: String) -> ModelError {
    ModelError::Malformed { path: path.to_owned(), format: "model", reason }
}

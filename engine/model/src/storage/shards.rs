//! Weights spread over several files, and the index that says which tensor lies where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

use super::file::FileTensor;
use super::text::read_json;
use crate::error::{ModelError, Result};

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Tensors by name, and the names of the files they lie in.
pub(crate) type Shards = (BTreeMap<String, FileTensor>, BTreeSet<String>);

/// Opens one file of weights.
pub(crate) type Open = fn(&Path) -> Result<BTreeMap<String, FileTensor>>;

/// The tensors that an index lists, and the names of the files they lie in; `None` when there is no index.
///
/// # Errors
/// When a listed file lies outside the index's directory or is missing, or a listed tensor is not in its file.
pub(crate) fn open_shards(index: &Path, open: Open) -> Result<Option<Shards>> {
    let Some(Index { weight_map }) = read_json::<Index>(index, "weight index")? else { return Ok(None) };
    let malformed = |reason| ModelError::Malformed { path: index.to_owned(), format: "weight index", reason };
    let shards: BTreeSet<String> = weight_map.values().cloned().collect();
    let mut opened = BTreeMap::new();
    for shard in &shards {
        if !is_plain(shard) {
            return Err(malformed(format!("it lists `{shard}`, which is not a file of the same directory")));
        }
        let path = index.with_file_name(shard);
        if !path.exists() {
            return Err(malformed(format!("it lists `{shard}`, which does not exist")));
        }
        opened.insert(shard.clone(), open(&path)?);
    }
    let mut tensors = BTreeMap::new();
    for (name, shard) in weight_map {
        let tensor = opened.get_mut(&shard).and_then(|tensors| tensors.remove(&name));
        let missing = || malformed(format!("it lists tensor `{name}` in `{shard}`, which does not hold it"));
        tensors.insert(name.clone(), tensor.ok_or_else(missing)?);
    }
    Ok(Some((tensors, shards)))
}

/// Whether the name is that of a file right beside the index.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(only)), None) if only == name)
}

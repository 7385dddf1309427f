//! Opens bytes as a model, and reads what opens. Whatever the bytes, it must come back with a model or an error.

#![allow(dead_code, reason = "each target uses one of both")]

use std::cell::OnceCell;
use std::fs;
use std::path::Path;

use paring_model::Checkpoint;
use tempfile::TempDir;

thread_local! {
    static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() };
}

/// A file of that name with these bytes.
pub fn file(name: &str, bytes: &[u8]) {
    within(|directory| {
        let path = directory.join(name);
        fs::write(&path, bytes).expect("the directory can be written to");
        read(&path);
    });
}

/// A directory with that file beside a shard that holds tensor `a`.
pub fn directory(name: &str, bytes: &[u8]) {
    within(|directory| {
        let shard = directory.join("model-1.safetensors");
        if !shard.exists() {
            let header = br#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   "#;
            let bytes = [(header.len() as u64).to_le_bytes().as_slice(), header, &[7]].concat();
            fs::write(&shard, bytes).expect("the directory can be written to");
        }
        fs::write(directory.join(name), bytes).expect("the directory can be written to");
        read(directory);
    });
}

fn within(act: impl FnOnce(&Path)) {
    DIRECTORY.with(|cell| act(cell.get_or_init(|| TempDir::new().expect("a directory can be made")).path()));
}

fn read(path: &Path) {
    let Ok(model) = Checkpoint::open(path) else { return };
    for name in model.names() {
        let _ = model.weight(&name);
    }
    let _ = model.tokenizer();
}

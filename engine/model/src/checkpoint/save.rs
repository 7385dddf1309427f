//! Saving a model: every file whole or not at all, tensors one by one.

use std::fs::{File, create_dir_all};
use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::Checkpoint;
use super::paring::{Paring, config_text, pretty};
use super::sparse;
use crate::config::Spec;
use crate::error::{ModelError, Result};
use crate::families::Head;
use crate::sparse::SparseLayout;
use crate::storage::{CONFIG, PARING, Part, Stored, WEIGHTS, header, layout, sync_directory, write_whole};

/// See [`Checkpoint::save`] and [`Checkpoint::save_sparse`]. paring.json comes last: with it a directory is a model.
pub(super) fn save(model: &Checkpoint, directory: &Path, sparse: Option<SparseLayout>) -> Result<()> {
    create(directory)?;
    carry(model, directory)?;
    write_made(model, directory)?;
    write_head_files(model, directory)?;
    write_projections(model, directory)?;
    let mut layout = layout(&model.outline());
    let sparsity = sparse.map(|sparse| sparse::replace(model, &mut layout, sparse)).transpose()?;
    write_whole(directory, WEIGHTS, &mut |out| write_layout(model, &layout, &directory.join(WEIGHTS), out))?;
    if let Some(text) = config_text(model, sparsity)? {
        write_text(directory, CONFIG, &text)?;
    }
    write_text(directory, PARING, &Paring::of(model).text()?)?;
    sync_directory(directory)
}

/// The bytes of the weights file, whose path serves messages only.
pub(super) fn write_weights(model: &Checkpoint, path: &Path, out: &mut dyn Write) -> Result<()> {
    write_layout(model, &layout(&model.outline()), path, out)
}

fn write_layout(model: &Checkpoint, layout: &[Stored], path: &Path, out: &mut dyn Write) -> Result<()> {
    let unwritable = |source| ModelError::Io { action: "write", path: path.to_owned(), source };
    out.write_all(&header(layout)).map_err(unwritable)?;
    let inputs = model.inputs.as_ref().map(crate::inputs::Inputs::tensors).unwrap_or_default();
    for stored in layout {
        if let Some(bytes) = sparse::bytes(model, stored)? {
            out.write_all(&bytes).map_err(unwritable)?;
        } else if stored.part == Part::Input {
            let numbers = inputs.get(&stored.name).into_iter().flat_map(|(_, numbers)| numbers);
            let bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
            out.write_all(&bytes).map_err(unwritable)?;
        } else {
            model.entry(&stored.weight)?.write(stored, out)?.map_err(unwritable)?;
        }
    }
    Ok(())
}

/// Dense layers after pooling lie in the main file, where Paring reads them, and where stock loaders look for them.
fn write_projections(model: &Checkpoint, directory: &Path) -> Result<()> {
    let Some(Spec::Bert(spec)) = model.config().map(|config| &config.spec) else { return Ok(()) };
    let Head::Embedding { projections, .. } = &spec.head else { return Ok(()) };
    for projection in projections {
        let path = Path::new(&projection.directory).join(WEIGHTS);
        if !model.carried.files.contains_key(&path) {
            continue;
        }
        let prefix = format!("{}.", projection.directory);
        let mut part = Checkpoint { config: None, inputs: None, outputs: None, ..model.clone() };
        part.weights.clear();
        for (name, own) in model.weights.keys().filter_map(|name| Some((name, name.strip_prefix(&prefix)?))) {
            part.set_tensor(own, model.tensor(name)?);
        }
        let parent = directory.join(&projection.directory);
        write_whole(&parent, WEIGHTS, &mut |out| write_weights(&part, &directory.join(&path), out))?;
    }
    Ok(())
}

/// Writes the carried files that say what the head is, where the model is not what they said any more.
fn write_head_files(model: &Checkpoint, directory: &Path) -> Result<()> {
    let Some(Spec::Bert(spec)) = model.config().map(|config| &config.spec) else { return Ok(()) };
    for (name, value) in &spec.files {
        let Some(path) = model.carried.files.get(Path::new(name)) else { continue };
        let text =
            std::fs::read(path).map_err(|source| ModelError::Io { action: "read", path: path.clone(), source })?;
        if !serde_json::from_slice::<Value>(&text).is_ok_and(|said| said == *value) {
            write_text(directory, name, &pretty(value)?)?;
        }
    }
    Ok(())
}

fn write_text(directory: &Path, name: &str, text: &[u8]) -> Result<()> {
    let path = directory.join(name);
    write_whole(directory, name, &mut |out| {
        out.write_all(text).map_err(|source| ModelError::Io { action: "write", path: path.clone(), source })
    })
}

/// Copies the files that are carried through, but onto themselves.
fn carry(model: &Checkpoint, directory: &Path) -> Result<()> {
    for (relative, from) in &model.carried.files {
        let to = directory.join(relative);
        let unreadable = |source| ModelError::Io { action: "copy", path: from.clone(), source };
        if to.canonicalize().is_ok_and(|to| to == *from) {
            continue;
        }
        let (Some(parent), Some(name)) = (to.parent(), to.file_name().and_then(std::ffi::OsStr::to_str)) else {
            return Err(ModelError::Unsupported(format!("cannot copy `{}`: its name is not text", from.display())));
        };
        create(parent)?;
        write_whole(parent, name, &mut |mut out| {
            let mut file = File::open(from).map_err(unreadable)?;
            std::io::copy(&mut file, &mut out).map_err(unreadable)?;
            Ok(())
        })?;
    }
    Ok(())
}

/// Writes the files that were made of the model's one file.
fn write_made(model: &Checkpoint, directory: &Path) -> Result<()> {
    for (name, text) in &model.carried.made {
        write_text(directory, &name.to_string_lossy(), text)?;
    }
    Ok(())
}

fn create(directory: &Path) -> Result<()> {
    create_dir_all(directory).map_err(|source| ModelError::Io { action: "create", path: directory.to_owned(), source })
}

//! Resolving what a recipe names: paths, the model's headers, the rows and their parts.

pub mod hub;
mod paths;
mod rows;
mod text;

pub use rows::{ProjectData, load_data};

use std::path::{Path, PathBuf};

use paring_model::config::Spec;
use paring_model::{Checkpoint, families};
use paring_schema::language::ModelSource;
use paring_schema::{Diagnostic, Loaded};

use crate::problems;

pub use paths::Places;
pub use text::{adopt, reads_tokens};

/// Where the model that the recipe starts from lies among its files; nowhere when it is one from nothing or of a hub.
///
/// # Errors
/// When there is none, or the recipe may not read it.
pub fn find_model(loaded: &Loaded, places: &Places) -> Result<Option<PathBuf>, Diagnostic> {
    match &loaded.recipe.model {
        ModelSource::Load(path) if !hub::is_address(path) => {
            places.find(loaded, Path::new(path), "/model/load").map(Some)
        }
        _ => Ok(None),
    }
}

/// Opens the model that the recipe starts from: headers of a file, or settings and fitted inputs of a model from
/// nothing.
///
/// # Errors
/// When it cannot be read, or a model from nothing has no data to fit its ends to.
pub fn load_model(loaded: &Loaded, places: &Places, data: Option<&ProjectData>) -> Result<Checkpoint, Diagnostic> {
    match &loaded.recipe.model {
        ModelSource::Load(path) => open_model(loaded, places, path, "/model/load"),
        ModelSource::Family(family, settings) => {
            let spec = Spec::from_parts(family, settings).map_err(|error| problems::of_model(loaded, &error))?;
            unbuilt(loaded, spec, data)
        }
    }
}

/// Opens the model that a path or the address of a hub names. `pointer` is where the recipe names it.
///
/// # Errors
/// When there is none, the recipe may not read it, or it is no model.
pub fn open_model(loaded: &Loaded, places: &Places, path: &str, pointer: &str) -> Result<Checkpoint, Diagnostic> {
    let found = if hub::is_address(path) {
        hub::fetch(path).map_err(|error| {
            let diagnostic = Diagnostic::new("M003", error.to_string()).label(loaded.span(pointer), "");
            error.help().into_iter().fold(diagnostic, Diagnostic::help)
        })?
    } else {
        places.find(loaded, Path::new(path), pointer)?
    };
    Checkpoint::open(&found).map_err(|error| Diagnostic::new("M001", error.to_string()).label(loaded.span(pointer), ""))
}

fn unbuilt(loaded: &Loaded, spec: Spec, data: Option<&ProjectData>) -> Result<Checkpoint, Diagnostic> {
    let Some((inputs, outputs)) = data.and_then(|data| data.ends.clone()) else {
        let message = "a model from nothing needs data: its input and output widths come from the rows";
        let place = loaded.span("/model");
        return Err(Diagnostic::new("M002", message).label(place, "").help("add a `data` block with a `label`"));
    };
    families::blueprint(&spec, &inputs, &outputs).map_err(|error| problems::of_model(loaded, &error))?;
    Ok(Checkpoint::unbuilt(spec, inputs, outputs))
}

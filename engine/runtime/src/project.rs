//! A recipe with everything it names: configured stages, the model's headers, the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paring_model::{Checkpoint, ModelError};
use paring_passes::{NamedFile, PassInfo, Problem, Step};
use paring_schema::{Catalog, Diagnostic, Diagnostics, LoadOptions, Loaded, Stage};

use crate::catalog::Registry;
use crate::named::NamedModels;
use crate::problems;
use crate::resolve::{Places, ProjectData, adopt, find_model, load_data, load_model};

/// What the command line adds to a recipe.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `name=value`, as in `--set`.
    pub set: Vec<String>,
    /// Directories that the recipe may read besides its own.
    pub roots: Vec<PathBuf>,
}

/// A stage whose pass is configured.
pub struct ConfiguredStage {
    /// The stage as written.
    pub stage: Stage,
    /// Its pass as data.
    pub info: PassInfo,
    /// Its pass, ready to plan and run once it has the files that it names.
    pub step: Box<dyn Step>,
    /// Digests of these files, by their paths as written.
    pub files: BTreeMap<String, String>,
    /// Paths as written of the models that it names.
    pub models: BTreeSet<String>,
}

/// A recipe that fits the language, with its stages configured.
pub struct Checked {
    /// The recipe with its places.
    pub loaded: Loaded,
    /// The stages, in order.
    pub stages: Vec<ConfiguredStage>,
    /// The passes.
    pub registry: Arc<Registry>,
    /// What recipes may name.
    pub catalog: Catalog,
}

/// A recipe with everything it names.
pub struct Project {
    /// The recipe and its stages.
    pub checked: Checked,
    /// The model that the recipe starts from.
    pub model: Checkpoint,
    /// The file or directory that it lies in; none for a model from nothing or of a hub.
    pub source: Option<PathBuf>,
    /// The rows.
    pub data: Option<ProjectData>,
    /// Where it may read.
    pub places: Places,
    /// Models that stages name.
    named: NamedModels,
}

/// Most sets of values of a sweep whose files are looked for.
const MOST_SAMPLES: usize = 64;

/// Checks a recipe against the language and its passes' parameters. Reads no file but the recipe and what it extends.
///
/// # Errors
/// Every problem found.
pub fn check(path: &Path, options: &Options, registry: Arc<Registry>) -> Result<Checked, Box<Diagnostics>> {
    let catalog = registry.catalog();
    let load = LoadOptions { set: options.set.clone(), roots: options.roots.clone() };
    let loaded = paring_schema::load::load(path, &catalog, &load).map_err(Box::new)?;
    let mut problems = Vec::new();
    let mut stages = Vec::new();
    for stage in &loaded.recipe.stages {
        match configure(&loaded, &registry, stage) {
            Ok(configured) => stages.push(configured),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() {
        Ok(Checked { loaded, stages, registry, catalog })
    } else {
        Err(Box::new(Diagnostics::new(loaded.sources, problems)))
    }
}

/// Configures a stage's pass.
///
/// # Errors
/// Problems of its parameters.
pub fn configure(loaded: &Loaded, registry: &Registry, stage: &Stage) -> Result<ConfiguredStage, Vec<Diagnostic>> {
    let Some(pass) = registry.find(&stage.pass) else {
        let message = format!("there is no pass `{}`", stage.pass);
        let place = loaded.key_span(&problems::pass_key(stage));
        return Err(vec![Diagnostic::new("R010", message).label(place, "")]);
    };
    let mut problems = if pass.takes_targets() { Vec::new() } else { targets(loaded, stage) };
    match pass.configure(&stage.parameters) {
        Ok(step) if problems.is_empty() => {
            let (files, models) = (BTreeMap::new(), BTreeSet::new());
            Ok(ConfiguredStage { stage: stage.clone(), info: pass.info(), step, files, models })
        }
        Ok(_) => Err(problems),
        Err(found) => {
            problems.extend(found.iter().map(|problem| problems::of_pass("P005", loaded, stage, problem)));
            Err(problems)
        }
    }
}

/// Reads the files that a stage's parameters name, and gives them to its pass.
fn supply(loaded: &Loaded, places: &Places, configured: &mut ConfiguredStage) -> Result<(), Diagnostic> {
    for NamedFile { pointer, path } in configured.step.files() {
        let stage = &configured.stage;
        let written = format!("{}{pointer}", problems::pass_key(stage));
        let found = places.find(loaded, Path::new(&path), &written)?;
        let bytes = std::fs::read(&found).map_err(|error| {
            let problem = Problem::new(pointer, format!("cannot be read: {error}"));
            problems::of_pass("P006", loaded, stage, &problem)
        })?;
        let supplied = configured.step.supply(pointer, &bytes);
        supplied.map_err(|problem| problems::of_pass("P006", loaded, &configured.stage, &problem))?;
        configured.files.insert(path, blake3::hash(&bytes).to_hex().to_string());
    }
    Ok(())
}

/// A problem for each selector list of a stage whose pass takes none.
fn targets(loaded: &Loaded, stage: &Stage) -> Vec<Diagnostic> {
    let lists = [("targets", &stage.targets), ("ignore", &stage.ignore)];
    let written = lists.iter().filter(|(_, selectors)| !selectors.is_empty());
    written
        .map(|(list, _)| {
            let message = format!(
                "stage `{}`: pass `{}` works on the whole model, so it takes no `{list}`",
                stage.id, stage.pass
            );
            let place = loaded.key_span(&format!("{}/{list}", stage.pointer));
            Diagnostic::new("P015", message).label(place, "").help(format!("remove `{list}` from the stage"))
        })
        .collect()
}

impl Project {
    /// Checks a recipe and opens everything it names: rows are read, of the model only headers.
    ///
    /// # Errors
    /// Every problem of the recipe; or what is wrong with its data or its model.
    pub fn open(path: &Path, options: &Options, registry: Arc<Registry>) -> Result<Self, Box<Diagnostics>> {
        let mut checked = check(path, options, registry)?;
        let places = Places::new(path, &options.roots);
        let Checked { loaded, stages, .. } = &mut checked;
        let supplied: Vec<_> = stages.iter_mut().filter_map(|stage| supply(loaded, &places, stage).err()).collect();
        if !supplied.is_empty() {
            return Err(Box::new(Diagnostics::new(checked.loaded.sources, supplied)));
        }
        let opened = load_data(&checked.loaded, &places).and_then(|mut data| {
            let mut model = load_model(&checked.loaded, &places, data.as_ref())?;
            data.as_mut().map_or(Ok(()), |data| adopt(&checked.loaded, &mut model, data))?;
            Ok((data, find_model(&checked.loaded, &places)?, model))
        });
        let (data, source, model) = match opened {
            Ok(opened) => opened,
            Err(problem) => return Err(Box::new(Diagnostics::new(checked.loaded.sources, vec![problem]))),
        };
        let named = NamedModels::default();
        let Checked { loaded, stages, .. } = &mut checked;
        let supply = |stage| named.supply((loaded, &places, &model), stage).err();
        let problems: Vec<_> = stages.iter_mut().filter_map(supply).collect();
        if !problems.is_empty() {
            return Err(Box::new(Diagnostics::new(checked.loaded.sources, problems)));
        }
        Ok(Self { checked, model, source, data, places, named })
    }

    /// Configures a nested stage whose variables are bound.
    ///
    /// # Errors
    /// Problems of its parameters and of files and models that they name.
    pub fn configure(&self, stage: &Stage) -> Result<ConfiguredStage, Vec<Diagnostic>> {
        let mut configured = configure(self.loaded(), &self.checked.registry, stage)?;
        supply(self.loaded(), &self.places, &mut configured)
            .and_then(|()| self.named.supply((self.loaded(), &self.places, &self.model), &mut configured))
            .map_err(|problem| vec![problem])?;
        Ok(configured)
    }

    /// Digests of the files and models that a stage and those nested in it name, by their paths as written.
    ///
    /// # Errors
    /// When a model cannot be read.
    pub fn digests(&self, configured: &ConfiguredStage) -> Result<BTreeMap<String, String>, ModelError> {
        let (mut digests, mut models) = (configured.files.clone(), configured.models.clone());
        if !configured.stage.nested.is_empty() {
            for nested in self.nested(&configured.stage) {
                digests.extend(nested.files);
                models.extend(nested.models);
            }
        }
        for path in models {
            let digest = self.named.digest(&path)?;
            digests.insert(path, digest);
        }
        Ok(digests)
    }

    /// The stages nested in one, with values that a sweep may bind.
    fn nested(&self, stage: &Stage) -> impl Iterator<Item = ConfiguredStage> {
        let bound = self.loaded().sampled_values(stage, MOST_SAMPLES).into_iter();
        let bound = bound.filter_map(|values| self.loaded().bind(stage, &values, &self.checked.catalog).ok());
        bound.flatten().filter_map(|stage| self.configure(&stage).ok())
    }

    /// The recipe with its places.
    pub fn loaded(&self) -> &Loaded {
        &self.checked.loaded
    }

    /// Problems with this recipe's texts.
    pub fn diagnostics(&self, list: Vec<Diagnostic>) -> Box<Diagnostics> {
        Box::new(Diagnostics::new(self.checked.loaded.sources.clone(), list))
    }
}

//! Cache keys: a digest of everything that decides a stage's result, kept in parts so that a miss can be explained.

use std::collections::BTreeMap;

use paring_model::ModelError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ENGINE_FORMAT;
use crate::cache::Cache;
use crate::catalog::Registry;
use crate::project::{ConfiguredStage, Project};

/// Everything that decides a stage's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyParts {
    /// [`ENGINE_FORMAT`].
    pub engine: u32,
    /// Digest of the model before.
    pub model: String,
    /// The pass.
    pub pass: String,
    /// Its version.
    pub version: u32,
    /// Every parameter with its value.
    pub parameters: Value,
    /// Selectors.
    pub targets: Vec<String>,
    /// Selectors.
    pub ignore: Vec<String>,
    /// Nested stages, with variables.
    pub nested: Vec<Value>,
    /// Passes of the nested stages at any depth, in the order written, each with its version.
    pub nested_passes: Vec<(String, u32)>,
    /// Digests of the files and models that parameters name, those of nested stages too, by their paths as written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Names of the recipe's measures, for a stage that chooses by them.
    pub measures: Vec<String>,
    /// Digest of rows and parts.
    pub data: Option<String>,
    /// The recipe's seed.
    pub seed: u64,
    /// Ids of the stage and those around it: the name of its random stream.
    pub stream: Vec<String>,
}

/// Whether the cache holds a stage's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CacheState {
    /// The result is there.
    pub hit: bool,
    /// Why, or why not.
    pub why: String,
    /// Digest of the result, where it is there.
    #[serde(skip)]
    pub result: Option<String>,
}

impl KeyParts {
    /// The key: a digest (hex) of all parts.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        blake3::Hasher::new_derive_key("paring stage cache v1").update(&text).finalize().to_hex().to_string()
    }

    /// What differs from another key, in words; empty when nothing does.
    pub fn differences(&self, old: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |differs: bool, what: String| {
            if differs {
                found.push(what);
            }
        };
        note(self.pass != old.pass, format!("the pass was `{}`", old.pass));
        note(self.version != old.version, format!("version {} of the pass gave the last result", old.version));
        note(self.engine != old.engine, "an engine of another format gave the last result".to_owned());
        note(self.parameters != old.parameters, parameters_changed(&self.parameters, &old.parameters));
        note(self.targets != old.targets || self.ignore != old.ignore, "its selectors changed".to_owned());
        note(self.nested != old.nested, "its nested stages changed".to_owned());
        for ((pass, version), (old_pass, old_version)) in self.nested_passes.iter().zip(&old.nested_passes) {
            let differs = pass == old_pass && version != old_version;
            note(differs, format!("version {old_version} of the nested pass `{pass}` gave the last result"));
        }
        for (path, digest) in &self.files {
            let differs = old.files.get(path).is_some_and(|old| old != digest);
            note(differs, format!("the file `{path}` changed"));
        }
        note(self.measures != old.measures, "the measures it chooses by changed".to_owned());
        note(self.data != old.data, "the data or its split changed".to_owned());
        note(self.seed != old.seed, format!("the seed was {}", old.seed));
        note(self.model != old.model, "the model before it changed".to_owned());
        found
    }
}

fn parameters_changed(new: &Value, old: &Value) -> String {
    let empty = serde_json::Map::new();
    let (new, old) = (new.as_object().unwrap_or(&empty), old.as_object().unwrap_or(&empty));
    let names: Vec<String> = new
        .keys()
        .chain(old.keys().filter(|name| !new.contains_key(*name)))
        .filter(|name| new.get(*name) != old.get(*name))
        .map(|name| format!("`{name}`"))
        .collect();
    format!("{} changed", names.join(", "))
}

/// The key parts of a stage. `around` holds the ids of the stages that it is nested in.
///
/// # Errors
/// When a model that its parameters name cannot be read.
pub fn parts(
    project: &Project,
    configured: &ConfiguredStage,
    around: &[String],
    model: &str,
) -> Result<KeyParts, ModelError> {
    let recipe = &project.loaded().recipe;
    let stage = &configured.stage;
    let chooses = !stage.nested.is_empty();
    Ok(KeyParts {
        engine: ENGINE_FORMAT,
        model: model.to_owned(),
        pass: stage.pass.clone(),
        version: configured.info.version,
        parameters: configured.step.resolved(),
        targets: stage.targets.clone(),
        ignore: stage.ignore.clone(),
        nested: stage.nested.clone(),
        nested_passes: nested_passes(&project.checked.registry, &stage.nested),
        files: project.digests(configured)?,
        measures: if chooses { recipe.measure.clone() } else { Vec::new() },
        data: project.data.as_ref().map(|data| data.digest.clone()),
        seed: recipe.seed,
        stream: around.iter().chain([&stage.id]).cloned().collect(),
    })
}

/// The passes that nested stages name, with their versions.
fn nested_passes(registry: &Registry, stages: &[Value]) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    for (key, value) in stages.iter().filter_map(Value::as_object).flatten() {
        match (registry.find(key), key.as_str(), value.as_array()) {
            (Some(pass), ..) => found.push((key.clone(), pass.info().version)),
            (None, "stages", Some(inner)) => found.extend(nested_passes(registry, inner)),
            _ => {}
        }
    }
    found
}

/// Whether the cache holds the result of these parts; without parts (a stage before it misses) it cannot.
pub fn state(cache: &Cache, recipe: &str, configured: &ConfiguredStage, parts: Option<&KeyParts>) -> CacheState {
    let miss = |why: String| CacheState { hit: false, why, result: None };
    let Some(parts) = parts else { return miss("a stage before it runs again".to_owned()) };
    if let Some(result) = cache.result_digest(parts) {
        return CacheState {
            hit: true,
            why: "nothing that decides its result has changed".to_owned(),
            result: Some(result),
        };
    }
    match cache.last(recipe, &parts.stream) {
        None => miss(format!("`{}` has never run to its end here", configured.stage.id)),
        Some(old) => {
            let differences = parts.differences(&old);
            if differences.is_empty() {
                miss("its result was removed from the cache".to_owned())
            } else {
                miss(differences.join("; "))
            }
        }
    }
}

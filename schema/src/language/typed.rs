//! A recipe value that fits the JSON Schema to the typed recipe.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::{Error, Value};

use super::{DataSpec, Export, Gate, ModelSource, Recipe, Stage, Task};

/// What a stage may have besides its pass.
pub(crate) const STAGE_KEYS: [&str; 5] = ["id", "targets", "ignore", "require", "stages"];

impl Recipe {
    /// Types a value that fits the schema.
    ///
    /// # Errors
    /// When it does not fit after all.
    pub(crate) fn from_json(value: &Value) -> Result<Self, Error> {
        let task: Task = field(value, "task")?;
        let data: Option<DataSpec> = field_or_default(value, "data")?;
        let require = field_or_default(value, "require")?;
        let stages = stages_from_json(&field_or_default::<Vec<Value>>(value, "stages")?, "/stages")?;
        let measure = match value.get("measure") {
            Some(given) => serde_json::from_value(given.clone())?,
            None => default_measures(task, data.is_some(), &require, &stages),
        };
        Ok(Self {
            paring: field(value, "paring")?,
            name: field(value, "name")?,
            description: field_or_default(value, "description")?,
            seed: field_or_default(value, "seed")?,
            model: model(value.get("model").unwrap_or(&Value::Null))?,
            task,
            data,
            measure,
            stages,
            require,
            on_fail: field_or_default(value, "on_fail")?,
            export: exports(value.get("export"))?,
        })
    }
}

/// All stages of a list. Ids that are given are taken before any is made.
pub(crate) fn stages_from_json(values: &[Value], pointer: &str) -> Result<Vec<Stage>, Error> {
    let given = values.iter().filter_map(|stage| stage.get("id")?.as_str());
    let mut ids = Ids { taken: given.map(str::to_owned).collect(), counts: BTreeMap::new() };
    let stage = |(index, value)| stage_from_json(value, &format!("{pointer}/{index}"), &mut ids);
    values.iter().enumerate().map(stage).collect()
}

fn stage_from_json(value: &Value, pointer: &str, ids: &mut Ids) -> Result<Stage, Error> {
    let map = value.as_object().ok_or_else(|| Error::custom("a stage is not a map"))?;
    let (pass, parameters) = map
        .iter()
        .find(|(key, _)| !STAGE_KEYS.contains(&key.as_str()))
        .ok_or_else(|| Error::custom("a stage has no pass"))?;
    let given = map.get("id").and_then(Value::as_str).map(str::to_owned);
    Ok(Stage {
        id: given.unwrap_or_else(|| ids.unused(&pass.replace('/', "-"))),
        pass: pass.clone(),
        parameters: parameters.clone(),
        targets: field_or_default(value, "targets")?,
        ignore: field_or_default(value, "ignore")?,
        require: field_or_default(value, "require")?,
        nested: field_or_default(value, "stages")?,
        pointer: pointer.to_owned(),
    })
}

/// Ids in use, and how often each default was wanted.
struct Ids {
    taken: BTreeSet<String>,
    counts: BTreeMap<String, usize>,
}

impl Ids {
    /// `base`, or `base-2`, `base-3`, ... for the first that is free.
    fn unused(&mut self, base: &str) -> String {
        let count = self.counts.entry(base.to_owned()).or_insert(0);
        loop {
            *count += 1;
            let id = if *count == 1 { base.to_owned() } else { format!("{base}-{count}") };
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

/// Size; what the answers are worth, where there are rows to tell it; and what gates ask for.
fn default_measures(task: Task, rows: bool, require: &IndexMap<String, Gate>, stages: &[Stage]) -> Vec<String> {
    let quality = match task {
        Task::Classify if rows => Some("accuracy"),
        Task::Regress if rows => Some("rmse"),
        _ => None,
    };
    let gates = stages.iter().flat_map(|stage| stage.require.keys()).chain(require.keys());
    let mut measures: Vec<String> = quality.into_iter().chain(["size"]).map(str::to_owned).collect();
    for name in gates {
        if !measures.contains(name) {
            measures.push(name.clone());
        }
    }
    measures
}

fn model(value: &Value) -> Result<ModelSource, Error> {
    let (key, settings) = one_entry(value)?;
    match settings.as_str() {
        Some(path) if key == "load" => Ok(ModelSource::Load(path.to_owned())),
        _ => Ok(ModelSource::Family(key, settings.clone())),
    }
}

fn exports(value: Option<&Value>) -> Result<Vec<Export>, Error> {
    let items = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let export = |item| one_entry(item).map(|(format, settings)| Export { format, settings: settings.clone() });
    items.iter().map(export).collect()
}

fn one_entry(value: &Value) -> Result<(String, &Value), Error> {
    let entry = value.as_object().and_then(|map| map.iter().next());
    entry.map(|(key, value)| (key.clone(), value)).ok_or_else(|| Error::custom("a map has no key"))
}

fn field<T: DeserializeOwned>(value: &Value, key: &str) -> Result<T, Error> {
    serde_json::from_value(value.get(key).cloned().unwrap_or(Value::Null))
}

fn field_or_default<T: DeserializeOwned + Default>(value: &Value, key: &str) -> Result<T, Error> {
    value.get(key).map_or_else(|| Ok(T::default()), |found| serde_json::from_value(found.clone()))
}

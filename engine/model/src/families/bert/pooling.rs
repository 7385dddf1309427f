//! How an encoder's tokens become one vector, as the files of the sentence-transformers layout say: modules.json and a
//! directory a module.

use serde_json::{Map, Value};

use super::NAME;
use super::spec::Head;
use crate::error::Result;
use crate::families::transformer::keys::Keys;
use crate::families::transformer::nonlinearity::Nonlinearity;

const MODULES: &str = "modules.json";
const POOLING: &str = "1_Pooling";

/// How the tokens' vectors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Their mean, padding left out.
    Mean,
    /// The first.
    First,
}

/// A dense layer after pooling.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// The directory that it lies in; its site is `{directory}.linear`.
    pub directory: String,
    /// After it.
    pub activation: Nonlinearity,
}

impl Projection {
    /// The site's name.
    pub(crate) fn site(&self) -> String {
        format!("{}.linear", self.directory)
    }

    /// The file of its settings.
    fn file(&self) -> String {
        format!("{}/config.json", self.directory)
    }

    /// The name of its weight.
    pub(crate) fn weight(&self) -> String {
        format!("{}.linear.weight", self.directory)
    }
}

/// Reads the modules; without their files the tokens' mean is the embedding. What was read goes to `read`.
pub(super) fn read(file: &dyn Fn(&str) -> Result<Option<Value>>, read: &mut Map<String, Value>) -> Result<Head> {
    let mut modules = Modules { file, read, pooling: Pooling::Mean, projections: Vec::new(), normalize: false };
    match file(MODULES)? {
        Some(list) => modules.list(&list)?,
        None => modules.pooling(POOLING)?,
    }
    let Modules { pooling, projections, normalize, .. } = modules;
    Ok(Head::Embedding { pooling, projections, normalize })
}

/// Writes how wide the tokens' vectors are into the files that say so.
pub(super) fn settle(head: &Head, hidden: usize, files: &mut Map<String, Value>) {
    let first = match head {
        Head::Embedding { projections, .. } => projections.first().map(Projection::file),
        Head::Text | Head::Token => None,
    };
    for (name, file) in files {
        let key = if first.as_ref() == Some(name) { "in_features" } else { "word_embedding_dimension" };
        file.get_mut(key).into_iter().for_each(|width| *width = Value::from(hidden));
    }
}

/// The directories of the dense layers after pooling that a modules.json names.
pub(crate) fn projection_directories(list: &Value) -> Vec<String> {
    let modules = list.as_array().into_iter().flatten();
    let dense = modules.filter(|module| kind(module) == Some("Dense"));
    dense.filter_map(|module| module.get("path").and_then(Value::as_str)).map(str::to_owned).collect()
}

/// The last part of a module's type.
fn kind(module: &Value) -> Option<&str> {
    module.get("type").and_then(Value::as_str)?.rsplit('.').next()
}

struct Modules<'a> {
    file: &'a dyn Fn(&str) -> Result<Option<Value>>,
    read: &'a mut Map<String, Value>,
    pooling: Pooling,
    projections: Vec<Projection>,
    normalize: bool,
}

impl Modules<'_> {
    fn list(&mut self, list: &Value) -> Result<()> {
        self.read.insert(MODULES.to_owned(), list.clone());
        let empty = Map::new();
        let keys = Keys::of_file(NAME, MODULES, &empty);
        let Some(modules) = list.as_array() else { return Err(keys.wrong("it holds no list of modules".to_owned())) };
        for (index, module) in modules.iter().enumerate() {
            let path = module.get("path").and_then(Value::as_str).unwrap_or_default();
            match kind(module) {
                Some("Transformer") if path.is_empty() => {}
                Some("Pooling") => self.pooling(path)?,
                Some("Dense") => self.projection(path)?,
                Some("Normalize") => self.normalize = true,
                _ => {
                    let wanted = "a Transformer at the top, Pooling, Dense or Normalize";
                    return Err(keys.unexpected(&index.to_string(), module, wanted));
                }
            }
        }
        Ok(())
    }

    fn pooling(&mut self, directory: &str) -> Result<()> {
        let name = format!("{directory}/config.json");
        let Some(map) = self.object(&name)? else { return Ok(()) };
        let mut keys = Keys::of_file(NAME, &name, &map);
        let flags = [("mean_tokens", Pooling::Mean), ("cls_token", Pooling::First)];
        let mut found = Vec::new();
        for (mode, pooling) in flags {
            if keys.flag(&format!("pooling_mode_{mode}"))? == Some(true) {
                found.push(pooling);
            }
        }
        match keys.text("pooling_mode")? {
            Some("mean") => found = vec![Pooling::Mean],
            Some("cls") => found = vec![Pooling::First],
            Some(other) => return Err(keys.unexpected("pooling_mode", &Value::from(other), "mean or cls")),
            None => {}
        }
        let is_other = |(key, value): (&String, &Value)| {
            let known = flags.iter().any(|(mode, _)| *key == format!("pooling_mode_{mode}"));
            key.starts_with("pooling_mode_") && !known && *value == Value::Bool(true)
        };
        match found.as_slice() {
            &[one] if !map.iter().any(is_other) => self.pooling = one,
            _ => {
                let wanted = "expected one of `pooling_mode_mean_tokens` and `pooling_mode_cls_token` to be true";
                return Err(keys.wrong(format!("the ways of pooling are others, {wanted}")));
            }
        }
        Ok(())
    }

    fn projection(&mut self, directory: &str) -> Result<()> {
        let name = format!("{directory}/config.json");
        let map = self.object(&name)?.unwrap_or_default();
        let mut keys = Keys::of_file(NAME, &name, &map);
        let activation = keys.text("activation_function")?.unwrap_or("Tanh");
        let activation = match activation.rsplit('.').next() {
            Some("Tanh") => Nonlinearity::Tanh,
            Some("Identity") => Nonlinearity::Identity,
            Some("ReLU") => Nonlinearity::Relu,
            Some("GELU") => Nonlinearity::Gelu,
            Some("SiLU") => Nonlinearity::Silu,
            _ => {
                let wanted = "Tanh, Identity, ReLU, GELU or SiLU";
                return Err(keys.unexpected("activation_function", &Value::from(activation), wanted));
            }
        };
        self.projections.push(Projection { directory: directory.to_owned(), activation });
        Ok(())
    }

    fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>> {
        let Some(value) = (self.file)(name)? else { return Ok(None) };
        self.read.insert(name.to_owned(), value.clone());
        match value {
            Value::Object(map) => Ok(Some(map)),
            _ => {
                let empty = Map::new();
                Err(Keys::of_file(NAME, name, &empty).wrong("it holds no object".to_owned()))
            }
        }
    }
}

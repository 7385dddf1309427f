//! `config.json`: one flat object of the family's name (`model_type`), its settings and the model's two ends. Keys of
//! others are not looked at; the checkpoint carries them through. Files that others wrote keep their own keys.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::Spec;
use crate::error::{ModelError, Result};
use crate::families;

/// The typed part of `config.json`: the settings and the two ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Family and settings. Widths in it are those of the weights: structured pruning rewrites them.
    pub spec: Spec,
    /// Shape of one input row as the network sees it; empty for a model that reads tokens, whose rows have any length.
    pub input: Vec<usize>,
    /// Numbers the head gives.
    pub output: usize,
}

impl Config {
    /// The typed part of a whole `config.json` of a family that Paring builds; keys that are not the family's are left
    /// alone.
    ///
    /// # Errors
    /// When the family is not one of Paring's own, or a setting is missing or wrong.
    pub fn from_map(map: &Map<String, Value>) -> Result<Self> {
        let family = map.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let known = families::setting_names(family)?;
        let settings: Map<String, Value> = map
            .iter()
            .filter(|(key, _)| known.contains(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let spec = Spec::from_parts(family, &Value::Object(settings))?;
        Ok(Self { input: end(map, family, "input")?, output: end(map, family, "output")?, spec })
    }

    /// The keys of `config.json` that hold this, in the order they are written.
    ///
    /// # Errors
    /// When a number cannot be written as JSON.
    pub fn to_map(&self) -> Result<Map<String, Value>> {
        let family = self.spec.family();
        let wrong = |error: serde_json::Error| wrong(family, error.to_string());
        let settings = match &self.spec {
            Spec::Mlp(spec) => serde_json::to_value(spec),
            Spec::Convnet(spec) => serde_json::to_value(spec),
            Spec::Bert(spec) => return Ok(spec.keys.clone()),
            Spec::Llama(spec) => return Ok(spec.keys.clone()),
        };
        let mut map = Map::new();
        map.insert("model_type".to_owned(), Value::from(family));
        if let Value::Object(settings) = settings.map_err(wrong)? {
            map.extend(settings);
        }
        map.insert("input".to_owned(), Value::from(self.input.clone()));
        map.insert("output".to_owned(), Value::from(self.output));
        Ok(map)
    }
}

impl Config {
    /// Everything in the files beside the weights that decides what the model computes, whatever the order of keys.
    pub(crate) fn identity(&self) -> Result<Map<String, Value>> {
        let mut map = self.to_map()?;
        if let Spec::Bert(spec) = &self.spec {
            map.extend(spec.files.clone());
        }
        map.sort_keys();
        Ok(map)
    }
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.to_map().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let map = Map::deserialize(deserializer)?;
        Config::from_map(&map).map_err(serde::de::Error::custom)
    }
}

/// One of the model's two ends, which every family has.
fn end<T: serde::de::DeserializeOwned>(map: &Map<String, Value>, family: &str, key: &str) -> Result<T> {
    let value = map.get(key).ok_or_else(|| wrong(family, format!("`{key}` is missing")))?;
    serde_json::from_value(value.clone()).map_err(|error| wrong(family, format!("`{key}`: {error}")))
}

fn wrong(family: &str, reason: String) -> ModelError {
    ModelError::Config { family: family.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Config;
    use crate::config::{Activation, MlpSpec, Spec};

    fn digits() -> Config {
        let spec = MlpSpec { hidden: vec![32, 16], activation: Activation::Gelu, dropout: 0.1 };
        Config { spec: Spec::Mlp(spec), input: vec![64], output: 10 }
    }

    #[test]
    fn is_one_flat_object() {
        let expected = json!({"model_type": "mlp", "hidden": [32, 16], "activation": "gelu", "dropout": 0.1,
            "input": [64], "output": 10});
        assert_eq!(serde_json::to_value(digits()).unwrap(), expected);
    }

    #[test]
    fn reads_what_it_writes_among_keys_of_others() {
        let mut map = digits().to_map().unwrap();
        map.insert("transformers_version".to_owned(), json!("4.40.0"));
        assert_eq!(Config::from_map(&map).unwrap(), digits());
    }

    #[test]
    fn a_convnet_keeps_its_image_shape() {
        let text = r#"{"model_type": "convnet", "layers": [{"conv": {"channels": 4}}, {"max_pool": {}}],
            "input": [1, 8, 8], "output": 2}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let again: Config = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
        assert_eq!(config, again);
        assert_eq!(config.input, [1, 8, 8]);
    }

    #[test]
    fn names_what_is_wrong() {
        let message = |text: &str| serde_json::from_str::<Config>(text).unwrap_err().to_string();
        assert_eq!(
            message(r#"{"model_type": "bilstm"}"#),
            "no model family is called `bilstm`; known families: mlp, convnet"
        );
        assert_eq!(
            message(r#"{"model_type": "mlp", "hidden": [3], "output": 1}"#),
            "the `mlp` configuration is wrong: `input` is missing"
        );
    }
}

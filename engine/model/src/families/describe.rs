//! The table of families, and reading settings by a family's name.

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{ConvnetSpec, MlpSpec, Spec};
use crate::error::{ModelError, Result};

/// The families' names.
pub const FAMILIES: &[&str] = &["mlp", "convnet"];

/// One family as a catalog shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilyInfo {
    /// Its name in recipes and in `config.json`.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// JSON Schema of its settings.
    pub schema: Value,
}

/// Every family, in the order of [`FAMILIES`].
pub fn described() -> Vec<FamilyInfo> {
    vec![
        FamilyInfo {
            name: "mlp",
            summary: "a fully connected network for rows of features",
            schema: schema_of::<MlpSpec>(),
        },
        FamilyInfo {
            name: "convnet",
            summary: "a convolutional network for images: convolutions, residual blocks, pooling, dense layers",
            schema: schema_of::<ConvnetSpec>(),
        },
    ]
}

impl Spec {
    /// The settings of the family called `name`.
    ///
    /// # Errors
    /// When there is no such family, or a setting is unknown, missing or of another type.
    pub fn from_parts(name: &str, settings: &Value) -> Result<Self> {
        match name {
            "mlp" => parse(name, settings).map(Spec::Mlp),
            "convnet" => parse(name, settings).map(Spec::Convnet),
            _ => Err(unknown(name)),
        }
    }
}

/// Names of the settings of the family called `family`.
///
/// # Errors
/// When there is no such family.
pub(crate) fn setting_names(family: &str) -> Result<Vec<String>> {
    let info = described().into_iter().find(|info| info.name == family).ok_or_else(|| unknown(family))?;
    let properties = info.schema.get("properties").and_then(Value::as_object);
    Ok(properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default())
}

fn schema_of<T: JsonSchema>() -> Value {
    let schema: Schema = schema_for!(T);
    schema.to_value()
}

fn parse<T: DeserializeOwned>(family: &str, settings: &Value) -> Result<T> {
    T::deserialize(settings)
        .map_err(|error| ModelError::Config { family: family.to_owned(), reason: error.to_string() })
}

fn unknown(found: &str) -> ModelError {
    let known = FAMILIES.iter().map(|&name| name.to_owned()).collect();
    ModelError::UnknownFamily { found: found.to_owned(), known }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{FAMILIES, described, setting_names};
    use crate::config::Spec;

    #[test]
    fn the_table_and_the_names_agree() {
        let names: Vec<&str> = described().iter().map(|info| info.name).collect();
        assert_eq!(names, FAMILIES);
    }

    #[test]
    fn settings_are_read_by_name() {
        let spec = Spec::from_parts("mlp", &json!({"hidden": [8]})).unwrap();
        assert_eq!(spec.family(), "mlp");
        assert_eq!(setting_names("mlp").unwrap(), ["hidden", "activation", "dropout"]);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = Spec::from_parts("mlp", &json!({"hiden": [8]})).unwrap_err().to_string();
        assert!(error.starts_with("the `mlp` configuration is wrong: unknown field `hiden`"), "{error}");
    }
}

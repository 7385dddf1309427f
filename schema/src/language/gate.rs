//! `require`: what a measure must show, with units where a person would write them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::units::{is_percentage, parse_bytes, parse_seconds};

/// A gate on one measure. All bounds that are given must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "examples" = [{ "max_drop": 0.01 }, { "max": "20MB" }, { "max_ratio": 0.1 }]))]
pub struct Gate {
    /// Smallest value allowed (inclusive), in the unit of the measure.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "quantity")]
    #[schemars(with = "Quantity", extend("examples" = [0.95, "95%"]))]
    pub min: Option<f64>,
    /// Largest value allowed (inclusive), in the unit of the measure. Sizes and times may carry a unit.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "quantity")]
    #[schemars(with = "Quantity", extend("examples" = ["20MB", "5ms"]))]
    pub max: Option<f64>,
    /// How far it may fall: before less after, at most this (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "quantity")]
    #[schemars(with = "Quantity", extend("examples" = [0.01, "1%"]))]
    pub max_drop: Option<f64>,
    /// How far it may rise: after less before, at most this (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "quantity")]
    #[schemars(with = "Quantity", extend("examples" = [0.05, "1ms"]))]
    pub max_rise: Option<f64>,
    /// Largest value of after divided by before (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "quantity")]
    #[schemars(with = "f64", range(min = 0.0), extend("examples" = [0.1, "10%"]))]
    pub max_ratio: Option<f64>,
    /// Smallest value of after divided by before (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "quantity")]
    #[schemars(with = "f64", range(min = 0.0), extend("examples" = [0.9, "90%"]))]
    pub min_ratio: Option<f64>,
}

/// A number, or a number with a unit.
pub(crate) struct Quantity;

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number" },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?(%|B|kB|KB|MB|GB|KiB|MiB|GiB|us|µs|ms|s|min|h)$" },
        ] })
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

fn quantity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Number(number) => Ok(Some(number)),
        Written::Text(text) => match parse_quantity(&text) {
            Some((value, _)) => Ok(Some(value)),
            None => Err(serde::de::Error::custom(format!("`{text}` is not a quantity"))),
        },
    }
}

/// The kind of unit that a quantity carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// `%`: fits a measure without a unit.
    Percent,
    /// Sizes: the value is in bytes.
    Bytes,
    /// Durations: the value is in milliseconds.
    Milliseconds,
}

/// A quantity in the unit of its measure: a ratio, bytes, or milliseconds.
pub(crate) fn parse_quantity(text: &str) -> Option<(f64, UnitKind)> {
    if is_percentage(text) {
        return crate::units::parse_ratio(text).ok().map(|ratio| (ratio, UnitKind::Percent));
    }
    if let Ok(bytes) = parse_bytes(text) {
        return Some((bytes as f64, UnitKind::Bytes));
    }
    parse_seconds(text).ok().map(|seconds| (seconds * 1000.0, UnitKind::Milliseconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Gate;

    #[test]
    fn units_become_numbers_in_the_unit_of_the_measure() {
        let gate: Gate = serde_json::from_value(json!({ "max": "20MB", "max_ratio": "10%", "min": 0.5 })).unwrap();
        assert_eq!(gate, Gate { max: Some(2e7), max_ratio: Some(0.1), min: Some(0.5), ..Gate::default() });
        let gate: Gate = serde_json::from_value(json!({ "max_rise": "5ms" })).unwrap();
        assert_eq!(gate.max_rise, Some(5.0));
    }
}

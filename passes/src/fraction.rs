//! Fractions in parameter blocks: `0.3` or `30%`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::Problem;

/// A part of a whole, from 0 (exclusive) to 1 (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Fraction(f64);

impl Fraction {
    /// The fraction as a number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// The problem with a fraction at `pointer` that is not between its bounds.
    pub fn problem(self, pointer: &str) -> Option<Problem> {
        let message = || format!("is `{}`, expected a number from 0 (exclusive) to 1 (exclusive)", self.0);
        (self.0 <= 0.0 || self.0 >= 1.0).then(|| Problem::new(pointer, message()))
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => percentage(&text).map(Self).ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "is `{text}`, expected a number or a percentage, such as `0.3` or `30%`"
                ))
            }),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Text(String),
}

fn percentage(text: &str) -> Option<f64> {
    let number = text.strip_suffix('%')?.trim().parse::<f64>().ok()?;
    number.is_finite().then_some(number / 100.0)
}

impl JsonSchema for Fraction {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fraction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A part of a whole: a number from 0 (exclusive) to 1 (exclusive), or a percentage such as `30%`.",
            "type": ["number", "string"],
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "pattern": "^[0-9]+(\\.[0-9]+)?%$",
            "examples": [0.3, "30%"]
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Fraction;

    fn read(value: &serde_json::Value) -> Option<f64> {
        serde_json::from_value::<Fraction>(value.clone()).ok().map(Fraction::value)
    }

    #[test]
    fn numbers_and_percentages() {
        assert_eq!(read(&json!(0.3)), Some(0.3));
        assert_eq!(read(&json!("30%")), Some(0.3));
        assert_eq!(read(&json!("12.5%")), Some(0.125));
        assert_eq!(read(&json!("0.3")), None);
        assert_eq!(read(&json!("many%")), None);
    }

    #[test]
    fn the_bounds_do_not_belong() {
        for (value, wrong) in [(json!(0), true), (json!("100%"), true), (json!(0.999), false)] {
            let fraction: Fraction = serde_json::from_value(value).unwrap();
            assert_eq!(fraction.problem("/ratio").is_some(), wrong, "{fraction:?}");
        }
        let problem = serde_json::from_value::<Fraction>(json!("150%")).unwrap().problem("/ratio").unwrap();
        assert_eq!(problem.message, "is `1.5`, expected a number from 0 (exclusive) to 1 (exclusive)");
    }
}

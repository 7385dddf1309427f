//! Fractions in parameter blocks: `0.3`, which a recipe may also write as `30%`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::error::Problem;

/// A part of a whole, from 0 (exclusive) to 1 (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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
        let between = 0.0 < self.0 && self.0 < 1.0;
        (!between).then(|| Problem::new(pointer, message()))
    }
}

impl JsonSchema for Fraction {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fraction".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A part of a whole, from 0 (exclusive) to 1 (exclusive).",
            "type": "number",
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "examples": [0.3]
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::Fraction;

    #[rstest]
    #[case(json!(0), true)]
    #[case(json!(0.001), false)]
    #[case(json!(0.999), false)]
    #[case(json!(1), true)]
    fn the_bounds_do_not_belong(#[case] value: Value, #[case] wrong: bool) {
        let fraction: Fraction = serde_json::from_value(value).unwrap();
        assert_eq!(fraction.problem("/ratio").is_some(), wrong, "{fraction:?}");
    }

    #[test]
    fn found_and_wanted_are_said() {
        let problem = serde_json::from_value::<Fraction>(json!(1.5)).unwrap().problem("/ratio").unwrap();
        assert_eq!(problem.message, "is `1.5`, expected a number from 0 (exclusive) to 1 (exclusive)");
    }
}

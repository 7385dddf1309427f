//! Quantities with units: ratios (`0.1`, `10%`), sizes (`20MB`), durations (`5ms`).

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// A ratio as a setting of a pass: a number, or a percentage such as `10%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize)]
pub struct Ratio(pub f64);

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(number) => Ok(Self(number)),
            Written::Text(text) => parse_ratio(&text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// A plain number: a percentage in a recipe has become one when a pass reads its block.
impl JsonSchema for Ratio {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Ratio".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number" })
    }
}

const SIZES: [(&str, f64); 9] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("", 1.0),
];

const TIMES: [(&str, f64); 6] = [("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0)];

/// A size in bytes: `20MB` (10^6), `20MiB` (2^20), `512B`, or a plain number of bytes.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wanted = "a size with B, kB, MB, GB, KiB, MiB or GiB, such as `20MB`";
    let bytes = quantity(text, &SIZES).ok_or_else(|| format!("is `{text}`, expected {wanted}"))?;
    Ok(bytes.round() as u64)
}

/// A duration in seconds: `5ms`, `2s`, `10min`, `1h`.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    let wanted = "a duration with us, ms, s, min or h, such as `5ms`";
    quantity(text, &TIMES).ok_or_else(|| format!("is `{text}`, expected {wanted}"))
}

/// A ratio: `10%` is 0.1, `0.1` is itself.
///
/// # Errors
/// What was found and what was expected.
pub fn parse_ratio(text: &str) -> Result<f64, String> {
    quantity(text, &[("%", 0.01), ("", 1.0)])
        .ok_or_else(|| format!("is `{text}`, expected a number or a percentage, such as `0.1` or `10%`"))
}

/// Whether the text is a percentage.
pub fn is_percentage(text: &str) -> bool {
    text.ends_with('%') && parse_ratio(text).is_ok()
}

/// A number and one of the units, with or without a space between; never negative.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    let value = number.parse::<f64>().ok()?;
    // Dividing keeps `10%` at 0.1 exactly, where multiplying by 0.01 would not.
    let value = if *factor < 1.0 { value / (1.0 / factor).round() } else { value * factor };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{parse_bytes, parse_ratio, parse_seconds};

    #[rstest]
    #[case("20MB", Some(20_000_000))]
    #[case("20 MiB", Some(20_971_520))]
    #[case("1.5kB", Some(1500))]
    #[case("512", Some(512))]
    #[case("20mb", None)]
    #[case("-1B", None)]
    #[case("MB", None)]
    #[case("1.2.3B", None)]
    fn sizes(#[case] text: &str, #[case] expected: Option<u64>) {
        assert_eq!(parse_bytes(text).ok(), expected);
    }

    #[rstest]
    #[case("5ms", Some(0.005))]
    #[case("2s", Some(2.0))]
    #[case("10min", Some(600.0))]
    #[case("1h", Some(3600.0))]
    #[case("5", None)]
    fn durations(#[case] text: &str, #[case] expected: Option<f64>) {
        assert_eq!(parse_seconds(text).ok(), expected);
    }

    #[rstest]
    #[case("10%", Some(0.1))]
    #[case("0.1", Some(0.1))]
    #[case("7%", Some(0.07))]
    #[case("ten%", None)]
    fn ratios(#[case] text: &str, #[case] expected: Option<f64>) {
        assert_eq!(parse_ratio(text).ok(), expected);
    }

    #[test]
    fn a_wrong_size_says_what_was_found_and_wanted() {
        let message = parse_bytes("20mb").unwrap_err();
        assert_eq!(message, "is `20mb`, expected a size with B, kB, MB, GB, KiB, MiB or GiB, such as `20MB`");
    }
}

//! N:M patterns, as written in a recipe: `"2:4"`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// At most `keep` of each `of` consecutive weights are not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    /// Weights that stay in each group.
    pub keep: usize,
    /// Weights in a group.
    pub of: usize,
}

impl Pattern {
    /// Whether at most `keep` of each `of` weights are not zero either.
    pub fn holds(self, keep: usize, of: usize) -> bool {
        let groups = if self.of.is_multiple_of(of) { 1 } else { of / self.of };
        (self.of.is_multiple_of(of) || of.is_multiple_of(self.of)) && groups * self.keep <= keep
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.keep, self.of)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(keep, of)| Some((keep.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((keep, of)) if 0 < keep && keep < of && of <= 1024 => Ok(Self { keep, of }),
            Some(_) => Err(format!("is `{text}`, expected `n:m` with n from 1 to less than m, and m at most 1024")),
            None => Err(format!("is `{text}`, expected two numbers such as `2:4`")),
        }
    }
}

impl JsonSchema for Pattern {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`n:m`: at most n of each m consecutive weights are not zero.",
            "type": "string",
            "pattern": "^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$",
            "examples": ["2:4"]
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::Pattern;

    #[rstest]
    #[case("2:4", Some(Pattern { keep: 2, of: 4 }))]
    #[case("1:16", Some(Pattern { keep: 1, of: 16 }))]
    #[case("4:4", None)]
    #[case("0:4", None)]
    #[case("2:2048", None)]
    #[case("2/4", None)]
    fn patterns_are_read(#[case] text: &str, #[case] expected: Option<Pattern>) {
        assert_eq!(Pattern::try_from(text.to_owned()).ok(), expected);
        assert!(expected.is_none_or(|pattern| pattern.to_string() == text));
    }

    #[rstest]
    #[case("2:4", true)]
    #[case("1:2", true)]
    #[case("2:8", true)]
    #[case("1:16", true)]
    #[case("3:4", false)]
    #[case("4:8", false)]
    #[case("1:3", false)]
    #[case("2:6", false)]
    fn some_patterns_are_two_of_four(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(Pattern::try_from(text.to_owned()).unwrap().holds(2, 4), expected);
    }
}

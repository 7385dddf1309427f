//! Keys of a config.json that others wrote. Each key that a family reads is remembered, so that it can be written back
//! and takes part in the model's digest.

use serde_json::{Map, Value};

use crate::error::{ModelError, Result};

/// The largest number that a setting may be; sizes computed from settings stay far from overflow.
const LARGEST: u64 = 1 << 31;

/// The keys of a JSON object, read one by one.
pub(crate) struct Keys<'a> {
    family: &'static str,
    /// What the keys are keys of: nothing for config.json itself, else `1_Pooling/config.json: `.
    place: String,
    map: &'a Map<String, Value>,
    /// The keys read so far that are there.
    read: Map<String, Value>,
}

impl<'a> Keys<'a> {
    /// Of the config.json of a model of `family`.
    pub(crate) fn new(family: &'static str, map: &'a Map<String, Value>) -> Self {
        Self { family, place: String::new(), map, read: Map::new() }
    }

    /// Of another file of the model.
    pub(crate) fn of_file(family: &'static str, file: &str, map: &'a Map<String, Value>) -> Self {
        Self { place: format!("`{file}`: "), ..Self::new(family, map) }
    }

    /// The keys read that are there.
    pub(crate) fn into_read(self) -> Map<String, Value> {
        self.read
    }

    /// A value as it is; `null` counts as missing.
    pub(crate) fn value(&mut self, key: &str) -> Option<&'a Value> {
        let value = self.map.get(key)?;
        self.read.insert(key.to_owned(), value.clone());
        Some(value).filter(|value| !value.is_null())
    }

    /// A whole number from 1.
    pub(crate) fn count(&mut self, key: &str) -> Result<Option<usize>> {
        self.whole(key, 1)
    }

    /// A whole number from 0.
    pub(crate) fn index(&mut self, key: &str) -> Result<Option<usize>> {
        self.whole(key, 0)
    }

    /// A whole number from 1 that must be there.
    pub(crate) fn required(&mut self, key: &str) -> Result<usize> {
        let missing = self.wrong(format!("`{key}` is missing, expected a whole number from 1 to {LARGEST}"));
        self.count(key)?.ok_or(missing)
    }

    /// A finite number above 0, or `default`.
    pub(crate) fn positive(&mut self, key: &str, default: f64) -> Result<f64> {
        let number = |number: &f64| number.is_finite() && *number > 0.0;
        self.parsed(key, "a number above 0", |value| value.as_f64().filter(number)).map(|it| it.unwrap_or(default))
    }

    /// A probability below 1, or `default`.
    pub(crate) fn rate(&mut self, key: &str, default: f64) -> Result<f64> {
        let wanted = "a number from 0 (inclusive) to 1 (exclusive)";
        let number = |value: &Value| value.as_f64().filter(|number| (0.0..1.0).contains(number));
        self.parsed(key, wanted, number).map(|it| it.unwrap_or(default))
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, "true or false", Value::as_bool)
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &str) -> Result<Option<&'a str>> {
        self.parsed(key, "a text", Value::as_str)
    }

    /// An object.
    pub(crate) fn object(&mut self, key: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.parsed(key, "an object", Value::as_object)
    }

    /// Refuses any value but the one that this program computes.
    pub(crate) fn only(&mut self, key: &str, wanted: &Value) -> Result<()> {
        match self.value(key) {
            Some(found) if found != wanted => Err(self.unexpected(key, found, &format!("`{wanted}`"))),
            _ => Ok(()),
        }
    }

    /// The error for a value that is not one of those known.
    pub(crate) fn unexpected(&self, key: &str, found: &Value, wanted: &str) -> ModelError {
        let mut shown: String = found.to_string().chars().take(60).collect();
        if shown.len() < found.to_string().len() {
            shown.push_str("...");
        }
        self.wrong(format!("`{key}` is `{shown}`, expected {wanted}"))
    }

    /// The error for settings that do not describe a model.
    pub(crate) fn wrong(&self, reason: String) -> ModelError {
        ModelError::Config { family: self.family.to_owned(), reason: format!("{}{reason}", self.place) }
    }

    fn whole(&mut self, key: &str, smallest: u64) -> Result<Option<usize>> {
        let wanted = format!("a whole number from {smallest} to {LARGEST}");
        let number = |value: &Value| {
            let whole = value.as_u64().filter(|number| (smallest..=LARGEST).contains(number))?;
            usize::try_from(whole).ok()
        };
        self.parsed(key, &wanted, number)
    }

    fn parsed<T>(&mut self, key: &str, wanted: &str, parse: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| self.unexpected(key, value, wanted))
    }
}

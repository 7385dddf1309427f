//! Rules that a JSON Schema cannot state: passes of a stage, ids, gates, splits.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::words::list;
use super::{Part, Violation};
use crate::catalog::Catalog;
use crate::language::{STAGE_KEYS, UnitKind, parse_quantity};
use crate::node::escape;

/// Everything that breaks such a rule.
pub(crate) fn broken_rules(recipe: &Value, catalog: &Catalog) -> Vec<Violation> {
    let mut rules = Rules { catalog, measured: measured(recipe), violations: Vec::new() };
    rules.stages(recipe.get("stages"), "/stages");
    rules.gates(recipe.get("require"), "/require");
    if let Some(Value::Object(split)) = recipe.pointer("/data/split") {
        rules.split(split);
    }
    rules.violations
}

fn measured(recipe: &Value) -> Option<Vec<&str>> {
    Some(recipe.get("measure")?.as_array()?.iter().filter_map(Value::as_str).collect())
}

struct Rules<'a> {
    catalog: &'a Catalog,
    /// What `measure` lists, if the recipe says.
    measured: Option<Vec<&'a str>>,
    violations: Vec<Violation>,
}

impl<'a> Rules<'a> {
    fn add(&mut self, code: &'static str, pointer: String, part: Part, message: String) -> &mut Violation {
        let violation = Violation { pointer, part, code, message, label: String::new(), help: None, also: Vec::new() };
        self.violations.push(violation);
        let last = self.violations.len() - 1;
        &mut self.violations[last]
    }

    fn stages(&mut self, stages: Option<&'a Value>, pointer: &str) {
        let mut ids: BTreeMap<&str, String> = BTreeMap::new();
        for (index, stage) in stages.and_then(Value::as_array).into_iter().flatten().enumerate() {
            let pointer = format!("{pointer}/{index}");
            let Value::Object(map) = stage else { continue };
            self.passes(map, &pointer);
            self.gates(map.get("require"), &format!("{pointer}/require"));
            self.stages(map.get("stages"), &format!("{pointer}/stages"));
            let Some(id) = map.get("id").and_then(Value::as_str) else { continue };
            let pointer = format!("{pointer}/id");
            match ids.get(id) {
                Some(first) => self.same_id(id, pointer, first),
                None => drop(ids.insert(id, pointer)),
            }
        }
    }

    fn same_id(&mut self, id: &str, pointer: String, first: &str) {
        let violation = self.add("R013", pointer, Part::Value, format!("two stages have the id `{id}`"));
        violation.label = "stands here again".to_owned();
        violation.also.push((first.to_owned(), "stands here first".to_owned()));
        violation.help = Some("give one of them another id".to_owned());
    }

    fn passes(&mut self, stage: &'a Map<String, Value>, pointer: &str) {
        let others = stage.keys().filter(|key| !STAGE_KEYS.contains(&key.as_str()));
        let (passes, unknown): (Vec<&str>, Vec<&str>) = others.map(String::as_str).partition(|key| key.contains('/'));
        match passes.as_slice() {
            [] if unknown.is_empty() => {
                let violation = self.add(
                    "R008",
                    pointer.to_owned(),
                    Part::Key,
                    "the stage has no pass, expected exactly one".to_owned(),
                );
                violation.label = "no key of this stage names a pass".to_owned();
                violation.help = Some("add one, such as `prune/magnitude: {}`; `paring passes` lists them".to_owned());
            }
            [] => {}
            [pass] => self.nesting(pass, stage.get("stages"), pointer),
            [first, second, ..] => {
                let message = format!(
                    "the stage has {} passes, {}, expected exactly one",
                    passes.len(),
                    list(passes.iter().copied())
                );
                let violation = self.add("R009", format!("{pointer}/{}", escape(second)), Part::Key, message);
                violation.label = "a second pass".to_owned();
                violation.also.push((format!("{pointer}/{}", escape(first)), "the first pass".to_owned()));
                violation.help = Some(format!("begin a new stage: `- {second}:`"));
            }
        }
    }

    fn nesting(&mut self, pass: &str, stages: Option<&Value>, pointer: &str) {
        let Some(described) = self.catalog.passes.iter().find(|known| known.name == pass) else { return };
        let is_empty = stages.is_none_or(|stages| stages.as_array().is_some_and(Vec::is_empty));
        if described.nests && is_empty {
            let message = format!("the pass `{pass}` runs nested stages, but the stage has no `stages`");
            let violation = self.add("R011", format!("{pointer}/{}", escape(pass)), Part::Key, message);
            violation.label = "needs `stages` beside it".to_owned();
            violation.help = Some("add `stages` with what it runs".to_owned());
        }
        if !described.nests && stages.is_some() {
            let message = format!("the pass `{pass}` runs no nested stages");
            let violation = self.add("R011", format!("{pointer}/stages"), Part::Key, message);
            violation.label = "no pass runs these".to_owned();
            violation.help = Some("move these stages after this one".to_owned());
        }
    }

    fn gates(&mut self, gates: Option<&'a Value>, pointer: &str) {
        for (measure, gate) in gates.and_then(Value::as_object).into_iter().flatten() {
            let pointer = format!("{pointer}/{}", escape(measure));
            let known = self.catalog.measures.iter().any(|known| known.name == *measure);
            let unmeasured = self.measured.as_ref().is_some_and(|names| !names.contains(&measure.as_str()));
            if known && unmeasured {
                let message = format!("the gate is on `{measure}`, which `measure` does not list");
                let violation = self.add("R012", pointer.clone(), Part::Key, message);
                violation.label = "not measured".to_owned();
                violation.also.push(("/measure".to_owned(), "what is measured".to_owned()));
                violation.help = Some(format!("add `{measure}` to `measure`"));
            }
            self.gate(measure, gate, &pointer);
        }
    }

    fn gate(&mut self, measure: &str, gate: &Value, pointer: &str) {
        for (bound, value) in gate.as_object().into_iter().flatten() {
            self.unit(measure, bound, value, &format!("{pointer}/{}", escape(bound)));
        }
        let number = |key: &str| gate.get(key).and_then(quantity);
        if let (Some(min), Some(max)) = (number("min"), number("max"))
            && min > max
        {
            let message = format!("the gate on `{measure}` can never be met: `min` is above `max`");
            let violation = self.add("R027", format!("{pointer}/min"), Part::Value, message);
            violation.also.push((format!("{pointer}/max"), "below `min`".to_owned()));
        }
    }

    /// A unit must be one of the measure's.
    fn unit(&mut self, measure: &str, bound: &str, value: &Value, pointer: &str) {
        let known = self.catalog.measures.iter().find(|known| known.name == measure);
        let unit = known.and_then(|known| known.schema.get("unit")).and_then(Value::as_str);
        let written = value.as_str().and_then(parse_quantity);
        let (Some(unit), Some((_, written))) = (unit, written) else { return };
        let fits = match written {
            UnitKind::Percent => unit.is_empty() || bound.ends_with("_ratio"),
            UnitKind::Bytes => unit == "bytes",
            UnitKind::Milliseconds => unit == "ms",
        };
        if !fits {
            let wanted = match unit {
                "bytes" => "a size, such as `20MB`",
                "ms" => "a duration, such as `5ms`",
                _ => "a number without a unit",
            };
            let found = value.as_str().unwrap_or_default();
            let message = format!("`{bound}` of the gate on `{measure}` is `{found}`, expected {wanted}");
            self.add("R028", pointer.to_owned(), Part::Value, message).label = format!("expected {wanted}");
        }
    }

    fn split(&mut self, split: &Map<String, Value>) {
        let place = |key: &str| format!("/data/split/{key}");
        let fractions = ["train", "validate", "calibrate", "test"].map(|key| (key, split.get(key).and_then(quantity)));
        let given = fractions.iter().find(|(_, value)| value.is_some());
        if let (Some((key, _)), true) = (given, split.contains_key("folds")) {
            let message = "the split has folds and fractions, expected one or the other".to_owned();
            let violation = self.add("R024", place("folds"), Part::Key, message);
            violation.also.push((place(key), "a fraction".to_owned()));
            violation.help = Some("keep `folds`, or keep the fractions".to_owned());
            return;
        }
        self.folds(split);
        let sum: f64 = fractions.iter().filter_map(|(_, value)| *value).sum();
        let train = fractions[0].1;
        if sum > 1.0 + 1e-9 {
            let message = format!("the fractions of the split sum to {}, expected at most 1 (inclusive)", rounded(sum));
            self.add("R024", "/data/split".to_owned(), Part::Key, message).help = Some("lower one of them".to_owned());
        } else if train == Some(0.0) || (train.is_none() && sum > 1.0 - 1e-9) {
            let message = "the split leaves no rows to train on".to_owned();
            self.add("R024", "/data/split".to_owned(), Part::Key, message).help =
                Some("give `train` a fraction".to_owned());
        }
    }

    fn folds(&mut self, split: &Map<String, Value>) {
        let number = |key: &str| split.get(key).and_then(Value::as_u64);
        match (number("folds"), number("fold")) {
            (None, Some(_)) if !split.contains_key("folds") => {
                let message = "the split names a `fold`, but has no `folds`".to_owned();
                self.add("R024", "/data/split/fold".to_owned(), Part::Key, message).help =
                    Some("add `folds`, such as `folds: 5`".to_owned());
            }
            (Some(folds), Some(fold)) if fold >= folds => {
                let message =
                    format!("`fold` is `{fold}`, expected a whole number from 0 (inclusive) to {folds} (exclusive)");
                let violation = self.add("R004", "/data/split/fold".to_owned(), Part::Value, message);
                violation.also.push(("/data/split/folds".to_owned(), "folds count from 0".to_owned()));
            }
            _ => {}
        }
    }
}

/// A number, or the number that a text with a unit means.
fn quantity(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str().and_then(parse_quantity).map(|(number, _)| number))
}

fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

//! Gates: what a measure must show, before and after.

use indexmap::IndexMap;
use paring_schema::language::Gate;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// One bound of a gate, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The measure.
    pub measure: String,
    /// `min`, `max`, `max_drop`, `max_rise`, `max_ratio` or `min_ratio`.
    pub bound: String,
    /// The bound's value.
    pub limit: f64,
    /// What was found: the value, the drop, the rise or the ratio; `null` where that is no number (a ratio to 0).
    #[serde(deserialize_with = "or_nan")]
    #[schemars(with = "Option<f64>")]
    pub found: f64,
    /// Whether it holds.
    pub met: bool,
}

impl Verdict {
    /// `accuracy: drop 0.0315, allowed at most 0.02`.
    pub fn sentence(&self) -> String {
        let what = match self.bound.as_str() {
            "max_drop" => " drops by",
            "max_rise" => " rises by",
            "max_ratio" | "min_ratio" => " after / before is",
            _ => " is",
        };
        let side = if self.bound.starts_with("min") { "at least" } else { "at most" };
        format!("`{}`{what} {}, required is {side} {}", self.measure, shown(self.found), shown(self.limit))
    }
}

fn or_nan<'de, D: Deserializer<'de>>(found: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(found)?.unwrap_or(f64::NAN))
}

/// A figure with at most six significant digits.
fn shown(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

/// Judges gates. A bound relative to a model before is left out when there is none (a model from nothing).
pub fn judge(
    gates: &IndexMap<String, Gate>,
    before: Option<&IndexMap<String, f64>>,
    after: &IndexMap<String, f64>,
) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (measure, gate) in gates {
        let now = after.get(measure).copied().unwrap_or(f64::NAN);
        let was = before.and_then(|before| before.get(measure)).copied();
        let mut judge = |bound: &str, limit: Option<f64>, found: Option<f64>, rounding: f64| {
            let (Some(limit), Some(found)) = (limit, found) else { return };
            // Written so that a value that is not a number meets no bound.
            let met = if bound.starts_with("min") { found >= limit } else { found <= limit };
            let met = met || (found.is_finite() && (found - limit).abs() <= rounding);
            verdicts.push(Verdict { measure: measure.clone(), bound: bound.to_owned(), limit, found, met });
        };
        judge("min", gate.min, Some(now), 0.0);
        judge("max", gate.max, Some(now), 0.0);
        let rounding = was.map_or(0.0, |was| difference_rounding(was, now));
        judge("max_drop", gate.max_drop, was.map(|was| was - now), rounding);
        judge("max_rise", gate.max_rise, was.map(|was| now - was), rounding);
        let ratio = was.map(|was| now / was);
        let rounding = ratio.map_or(0.0, |ratio| 2.0 * f64::EPSILON * ratio.abs());
        judge("max_ratio", gate.max_ratio, ratio, rounding);
        judge("min_ratio", gate.min_ratio, ratio, rounding);
    }
    verdicts
}

/// How far a difference may lie from the exact one: both values, the difference and the bound were each rounded once.
/// So a drop from 0.8 to 0.7, which comes out a little above 0.1, is one of 0.1.
fn difference_rounding(was: f64, now: f64) -> f64 {
    2.0 * f64::EPSILON * (was.abs() + now.abs())
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use paring_schema::language::Gate;

    use super::judge;

    fn measures(accuracy: f64) -> IndexMap<String, f64> {
        IndexMap::from([("accuracy".to_owned(), accuracy)])
    }

    #[test]
    fn bounds_are_inclusive_and_relative_ones_need_a_model_before() {
        let gate = Gate { min: Some(0.5), max_drop: Some(0.25), ..Gate::default() };
        let gates = IndexMap::from([("accuracy".to_owned(), gate)]);
        let met = |before: Option<f64>, after: f64| {
            let before = before.map(measures);
            judge(&gates, before.as_ref(), &measures(after)).iter().map(|verdict| verdict.met).collect::<Vec<_>>()
        };
        assert_eq!(met(Some(0.75), 0.5), [true, true]);
        assert_eq!(met(Some(0.875), 0.5), [true, false]);
        assert_eq!(met(None, 0.25), [false]);
        assert_eq!(met(Some(0.75), f64::NAN), [false, false]);
    }

    #[test]
    fn a_ratio_to_nothing_is_not_met_and_is_null_in_a_report() {
        let gate = Gate { max_ratio: Some(2.0), ..Gate::default() };
        let gates = IndexMap::from([("accuracy".to_owned(), gate)]);
        let verdicts = judge(&gates, Some(&measures(0.0)), &measures(0.5));
        assert!(!verdicts[0].met);
        let text = serde_json::to_value(&verdicts[0]).unwrap();
        assert!(text["found"].is_null(), "{text}");
        assert!(serde_json::from_value::<super::Verdict>(text).unwrap().found.is_nan());
    }
}

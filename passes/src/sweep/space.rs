//! The space of a sweep: the variables that it binds for its nested stages, and the values they may take.

use indexmap::IndexMap;
use rand::RngExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Problem;

/// Variables by name: `$name` stands for the value in the nested stages.
pub type Space = IndexMap<String, Axis>;

/// What one variable may be: exactly one of `choice`, `range` and `int`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// One of these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 10000), extend("examples" = [[32, 64, 128]]))]
    pub choice: Option<Vec<Value>>,
    /// A number from the first (inclusive) to the second (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [[1e-4, 1e-1]]))]
    pub range: Option<[f64; 2]>,
    /// A whole number from the first (inclusive) to the second (inclusive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [[8, 128]]))]
    pub int: Option<[i64; 2]>,
    /// How a range is spaced: `log` for values that differ by factors, such as learning rates.
    #[serde(default)]
    pub scale: AxisScale,
    /// How many values of a range a grid tries, both ends among them. Only for grids; needed for `range`, and for `int`
    /// every whole number is tried without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 10000), example = 5)]
    pub points: Option<usize>,
}

/// How a range is spaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AxisScale {
    /// Evenly.
    #[default]
    Linear,
    /// By factors; both ends must be above 0.
    Log,
}

/// What is wrong with the axes, apart from what a grid or a random sweep asks of them.
pub(super) fn problems(space: &Space) -> Vec<Problem> {
    if space.is_empty() {
        return vec![Problem::new("/space", "has no variable, expected at least one")];
    }
    space.iter().filter_map(|(name, axis)| axis.problem(&format!("/space/{name}"))).collect()
}

/// Axes that say how many points a grid tries of them, for passes that are no grid.
pub(super) fn points_problems(space: &Space) -> impl Iterator<Item = Problem> {
    space.iter().filter(|(_, axis)| axis.points.is_some()).map(|(name, _)| {
        let message = "has `points`, which only a grid uses";
        Problem::new(format!("/space/{name}/points"), message).help("remove `points`")
    })
}

/// How many different combinations there are; `None` with a continuous range.
pub(super) fn combinations(space: &Space) -> Option<usize> {
    space.values().try_fold(1_usize, |product, axis| Some(product.saturating_mul(axis.count()?)))
}

impl Axis {
    fn problem(&self, pointer: &str) -> Option<Problem> {
        let kinds = [self.choice.is_some(), self.range.is_some(), self.int.is_some()];
        if kinds.iter().filter(|given| **given).count() != 1 {
            let message = "needs exactly one of `choice`, `range` and `int`";
            return Some(Problem::new(pointer, message).help("such as `{ range: [0.001, 0.1], scale: log }`"));
        }
        if self.choice.as_ref().is_some_and(Vec::is_empty) {
            return Some(Problem::new(pointer, "has no value in `choice`, expected at least one"));
        }
        let (low, high) = self.ends()?;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Some(Problem::new(
                pointer,
                format!("goes from `{low}` to `{high}`, expected the smaller end first"),
            ));
        }
        (self.scale == AxisScale::Log && low <= 0.0)
            .then(|| Problem::new(pointer, format!("starts at `{low}`, expected an end above 0 for the scale `log`")))
    }

    fn ends(&self) -> Option<(f64, f64)> {
        let whole = self.int.map(|[low, high]| (low as f64, high as f64));
        self.range.map(|[low, high]| (low, high)).or(whole)
    }

    /// How many different values there are; `None` for a continuous range.
    pub(super) fn count(&self) -> Option<usize> {
        let whole =
            self.int.map(|[low, high]| usize::try_from(high.abs_diff(low)).unwrap_or(usize::MAX).saturating_add(1));
        self.choice.as_ref().map(Vec::len).or(whole)
    }

    /// How many values a grid tries; `None` where the axis does not say.
    pub(super) fn grid_count(&self) -> Option<usize> {
        match (&self.choice, self.points) {
            (Some(choice), _) => Some(choice.len()),
            (None, Some(points)) => Some(self.count().map_or(points, |count| points.min(count))),
            (None, None) => self.count(),
        }
    }

    /// Value `index` of `count` on a grid, both ends among them.
    pub(super) fn grid_value(&self, index: usize, count: usize) -> Value {
        if let Some(choice) = &self.choice {
            return choice.get(index).cloned().unwrap_or(Value::Null);
        }
        let share = if count > 1 { index as f64 / (count - 1) as f64 } else { 0.0 };
        self.at(share)
    }

    /// A random value.
    pub(super) fn draw(&self, rng: &mut impl rand::Rng) -> Value {
        match (&self.choice, self.int) {
            (Some(choice), _) => choice.get(rng.random_range(0..choice.len().max(1))).cloned().unwrap_or(Value::Null),
            (None, Some([low, high])) if self.scale == AxisScale::Linear => rng.random_range(low..=high).into(),
            _ => self.at(rng.random::<f64>()),
        }
    }

    /// The value a share (0 to 1) of the way from the low end to the high end.
    fn at(&self, share: f64) -> Value {
        let (low, high) = self.ends().unwrap_or_default();
        let value = match self.scale {
            AxisScale::Linear => low + share * (high - low),
            AxisScale::Log => (low.ln() + share * (high.ln() - low.ln())).exp(),
        };
        let value = value.clamp(low, high);
        if self.int.is_some() { Value::from(value.round() as i64) } else { Value::from(value) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Axis;

    fn axis(value: serde_json::Value) -> Axis {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_log_grid_has_equal_factors_between_its_values() {
        let axis = axis(json!({ "range": [0.01, 1.0], "scale": "log", "points": 3 }));
        let values: Vec<f64> = (0..3).map(|index| axis.grid_value(index, 3).as_f64().unwrap()).collect();
        for (value, expected) in values.iter().zip([0.01, 0.1, 1.0]) {
            assert!((value - expected).abs() < 1e-12, "{value} is not {expected}");
        }
    }

    #[test]
    fn whole_numbers_are_tried_one_by_one_unless_fewer_points_are_asked_for() {
        let all = axis(json!({ "int": [2, 5] }));
        assert_eq!((0..4).map(|index| all.grid_value(index, 4)).collect::<Vec<_>>(), [2, 3, 4, 5]);
        assert_eq!(all.grid_count(), Some(4));
        assert_eq!(axis(json!({ "int": [2, 5], "points": 2 })).grid_count(), Some(2));
    }

    #[test]
    fn an_axis_is_one_kind_with_its_ends_in_order() {
        let message = |value| axis(value).problem("/space/x").map(|problem| problem.message);
        assert!(message(json!({ "choice": [1], "range": [0.0, 1.0] })).unwrap().contains("exactly one"));
        assert!(message(json!({ "range": [1.0, 0.5] })).unwrap().contains("smaller end first"));
        assert!(message(json!({ "range": [0.0, 0.5], "scale": "log" })).unwrap().contains("above 0"));
        assert_eq!(message(json!({ "range": [0.1, 0.5], "scale": "log" })), None);
    }
}

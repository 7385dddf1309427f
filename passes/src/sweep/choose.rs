//! Choosing among trials: objectives, the Pareto front, and the point of it that becomes the stage's result.

use indexmap::IndexMap;
use paring_train::measure::info;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::effect::PlanCx;
use crate::error::Problem;

/// Measures to be made large or small, most important first.
pub type Objectives = IndexMap<String, Goal>;

/// What to do with a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The larger the better.
    Maximize,
    /// The smaller the better.
    Minimize,
}

/// Which trial becomes the stage's result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pick {
    /// The best by the first objective; of equals, by the second, and so on; of equals in all, the earliest.
    #[default]
    Best,
    /// The point of the Pareto front that is nearest to the best value of every objective at once, each objective
    /// scaled to 0..1 over the front.
    Knee,
    /// The trial of the smallest `size` among those whose measure is at most this much worse than the best trial's:
    /// `{ smallest_within: { accuracy: 0.01 } }`. Needs the measure `size`.
    SmallestWithin(IndexMap<String, f64>),
}

impl Goal {
    /// The measure turned so that larger is better.
    fn turned(self, value: f64) -> f64 {
        match self {
            Goal::Maximize => value,
            Goal::Minimize => -value,
        }
    }
}

/// What is wrong with objectives and choice for this recipe.
pub(super) fn problems(objectives: &Objectives, pick: &Pick, cx: &PlanCx<'_>) -> Vec<Problem> {
    let taken = |name: &str| cx.measures.iter().any(|measure| measure == name);
    let known = || cx.measures.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let unmeasured = |name: &str, pointer: String| {
        let message = format!("`{name}` is not among the recipe's measures");
        Problem::new(pointer, message).help(format!("add it to `measure`; measured are {}", known()))
    };
    let mut found: Vec<Problem> = objectives
        .keys()
        .filter(|name| !taken(name))
        .map(|name| unmeasured(name, format!("/objectives/{name}")))
        .collect();
    if objectives.is_empty() {
        found.push(Problem::new("/objectives", "names no measure, expected at least one"));
    }
    if let Pick::SmallestWithin(limits) = pick {
        let wanted = limits.keys().map(String::as_str).chain(["size"]);
        found.extend(wanted.filter(|name| !taken(name)).map(|name| unmeasured(name, "/pick".to_owned())));
    }
    found
}

/// Numbers of the points that no other point beats: at least as good in all objectives and better in one.
pub(super) fn front(objectives: &Objectives, points: &[IndexMap<String, f64>]) -> Vec<usize> {
    let values: Vec<Vec<f64>> = points.iter().map(|point| turned(objectives, point)).collect();
    let beats = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a >= b) && a.iter().zip(b).any(|(a, b)| a > b);
    (0..points.len()).filter(|&i| !values.iter().any(|other| beats(other, &values[i]))).collect()
}

/// The number of the point that `pick` chooses; `None` without points.
pub(super) fn choose(objectives: &Objectives, pick: &Pick, points: &[IndexMap<String, f64>]) -> Option<usize> {
    match pick {
        Pick::Best => best(objectives, points, 0..points.len()),
        Pick::Knee => knee(objectives, points),
        Pick::SmallestWithin(limits) => smallest_within(objectives, limits, points),
    }
}

/// A point's objectives, turned so that larger is better. A missing or undefined value is the worst there is.
fn turned(objectives: &Objectives, point: &IndexMap<String, f64>) -> Vec<f64> {
    let value = |(name, goal): (&String, &Goal)| {
        let value = point.get(name).map_or(f64::NAN, |value| goal.turned(*value));
        if value.is_nan() { f64::NEG_INFINITY } else { value }
    };
    objectives.iter().map(value).collect()
}

fn best(
    objectives: &Objectives,
    points: &[IndexMap<String, f64>],
    among: impl Iterator<Item = usize>,
) -> Option<usize> {
    let better = |a: &[f64], b: &[f64]| a.partial_cmp(b) == Some(std::cmp::Ordering::Greater);
    among
        .map(|index| (index, turned(objectives, &points[index])))
        .reduce(|first, next| if better(&next.1, &first.1) { next } else { first })
        .map(|(index, _)| index)
}

fn knee(objectives: &Objectives, points: &[IndexMap<String, f64>]) -> Option<usize> {
    let front = front(objectives, points);
    let values: Vec<Vec<f64>> = front.iter().map(|&index| turned(objectives, &points[index])).collect();
    let distance = |point: &[f64]| -> f64 {
        let gap = |axis: usize| {
            let along = values.iter().map(|value| value[axis]);
            let (low, high) = along.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
            if high > low { (high - point[axis]) / (high - low) } else { 0.0 }
        };
        (0..point.len()).map(|axis| gap(axis).powi(2)).sum()
    };
    let nearest = (0..front.len()).min_by(|&a, &b| distance(&values[a]).total_cmp(&distance(&values[b])))?;
    front.get(nearest).copied()
}

fn smallest_within(
    objectives: &Objectives,
    limits: &IndexMap<String, f64>,
    points: &[IndexMap<String, f64>],
) -> Option<usize> {
    let within = |index: usize| {
        limits.iter().all(|(name, allowed)| {
            let goal = objectives.get(name).copied().unwrap_or_else(|| usual_goal(name));
            let value = |point: &IndexMap<String, f64>| point.get(name).map_or(f64::NAN, |v| goal.turned(*v));
            let best = points.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
            best - value(&points[index]) <= *allowed
        })
    };
    let size = |index: &usize| points[*index].get("size").copied().unwrap_or(f64::INFINITY);
    (0..points.len()).filter(|&index| within(index)).min_by(|a, b| size(a).total_cmp(&size(b)))
}

/// Which way a measure is better, for one that is no objective.
fn usual_goal(name: &str) -> Goal {
    match info(name).map(|info| info.direction) {
        Some(paring_train::measure::Direction::Lower) => Goal::Minimize,
        _ => Goal::Maximize,
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::json;

    use super::{Objectives, Pick, choose, front};

    fn objectives() -> Objectives {
        serde_json::from_value(json!({ "accuracy": "maximize", "size": "minimize" })).unwrap()
    }

    fn points(values: &[(f64, f64)]) -> Vec<IndexMap<String, f64>> {
        let point = |&(accuracy, size)| IndexMap::from([("accuracy".to_owned(), accuracy), ("size".to_owned(), size)]);
        values.iter().map(point).collect()
    }

    #[test]
    fn the_front_holds_what_nothing_beats() {
        let points = points(&[(0.9, 100.0), (0.8, 10.0), (0.8, 50.0), (0.95, 200.0), (0.7, 20.0)]);
        assert_eq!(front(&objectives(), &points), [0, 1, 3]);
    }

    #[test]
    fn the_best_is_by_the_first_objective_then_the_second() {
        let points = points(&[(0.9, 100.0), (0.9, 50.0), (0.8, 10.0), (f64::NAN, 1.0)]);
        assert_eq!(choose(&objectives(), &Pick::Best, &points), Some(1));
        assert_eq!(choose(&objectives(), &Pick::Best, &[]), None);
    }

    #[test]
    fn the_knee_is_nearest_to_the_best_of_both() {
        // Scaled over the front: (1, 0), (0.9, 0.9), (0, 1): distances to (1, 1) are 1, 0.14, 1.
        let points = points(&[(1.0, 100.0), (0.9, 10.0), (0.0, 0.0)]);
        assert_eq!(choose(&objectives(), &Pick::Knee, &points), Some(1));
    }

    #[test]
    fn the_smallest_within_a_hundredth() {
        let pick = Pick::SmallestWithin(IndexMap::from([("accuracy".to_owned(), 0.0101)]));
        let points = points(&[(0.90, 100.0), (0.89, 40.0), (0.80, 10.0)]);
        assert_eq!(choose(&objectives(), &pick, &points), Some(1));
    }
}

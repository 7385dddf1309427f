//! Learning-rate schedules: a factor for each optimizer step.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate changes over the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same all the way.
    Constant,
    /// Half a cosine from the full rate to zero (Loshchilov & Hutter 2017, without restarts).
    #[default]
    Cosine,
    /// A straight line from the full rate to zero.
    Linear,
    /// Up from a 25th to the full rate over the first 30%, then down to a 250,000th, both by cosine (Smith & Topin
    /// 2018, as PyTorch's OneCycleLR sets it).
    OneCycle,
}

impl Schedule {
    /// The factor on the learning rate at `step` (from 0) of `total`, with `warmup` steps of linear rise before: they
    /// have 1/(warmup+1), 2/(warmup+1), ..., and the schedule's first step is the one after them.
    pub fn factor(self, step: usize, total: usize, warmup: usize) -> f64 {
        if step < warmup {
            return (step as f64 + 1.0) / (warmup as f64 + 1.0);
        }
        let length = total.saturating_sub(warmup).max(1) as f64;
        let position = (step - warmup) as f64;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Cosine => between(1.0, 0.0, position / length),
            Schedule::Linear => 1.0 - (position / length).min(1.0),
            Schedule::OneCycle => one_cycle(position, length),
        }
    }
}

/// Half a cosine from one value to another; `part` from 0 to 1.
fn between(from: f64, to: f64, part: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * part.min(1.0)).cos())
}

fn one_cycle(position: f64, length: f64) -> f64 {
    const START: f64 = 1.0 / 25.0;
    const END: f64 = START / 1e4;
    let top = 0.3 * length - 1.0;
    let last = length - 1.0;
    if position <= top {
        between(START, 1.0, position / top)
    } else {
        between(1.0, END, (position - top) / (last - top))
    }
}

#[cfg(test)]
mod tests {
    use super::Schedule;

    /// Factors at steps 0, 1, 2, ... of `total`.
    fn factors(schedule: Schedule, total: usize, warmup: usize) -> Vec<f64> {
        (0..total).map(|step| schedule.factor(step, total, warmup)).collect()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "found {found}, expected {expected}");
        }
    }

    #[test]
    fn cosine_falls_by_the_closed_form() {
        let half = f64::sqrt(0.5);
        assert_close(&factors(Schedule::Cosine, 4, 0), &[1.0, (1.0 + half) / 2.0, 0.5, (1.0 - half) / 2.0]);
    }

    #[test]
    fn linear_falls_by_equal_steps() {
        assert_close(&factors(Schedule::Linear, 4, 0), &[1.0, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn warm_up_rises_to_the_first_step_of_the_schedule() {
        assert_close(&factors(Schedule::Linear, 5, 3), &[0.25, 0.5, 0.75, 1.0, 0.5]);
        assert_close(&factors(Schedule::Constant, 3, 1), &[0.5, 1.0, 1.0]);
    }

    /// The formula of PyTorch's `OneCycleLR` (its documented defaults, `max_lr` 1), computed in float64 with Python.
    #[test]
    fn one_cycle_follows_the_published_formula() {
        let expected = [
            0.040000000000000036,
            0.52,
            1.0,
            0.9504846320134737,
            0.8117456539497631,
            0.6112620219362893,
            0.38874197806371075,
            0.18825834605023697,
            0.049519367986526286,
            4e-06,
        ];
        assert_close(&factors(Schedule::OneCycle, 10, 0), &expected);
    }

    #[test]
    fn a_run_of_one_step_has_a_finite_rate() {
        for schedule in [Schedule::Constant, Schedule::Cosine, Schedule::Linear, Schedule::OneCycle] {
            let factor = schedule.factor(0, 1, 0);
            assert!(factor > 0.0 && factor <= 1.0, "{schedule:?}: {factor}");
        }
    }
}

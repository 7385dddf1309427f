//! Making a function of several numbers small along its slopes: L-BFGS (Nocedal & Wright 2006, algorithm 7.5) with the
//! line search of More & Thuente 1994.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;

/// Pairs of steps and gradient changes that are remembered.
const HISTORY: usize = 8;

/// How often value or gradient are asked for, for each look.
const ASKED: usize = 6;

/// When a descent ends.
pub(super) struct Ends {
    /// Most points that are looked at.
    pub looks: usize,
    /// The smallest change of the value in one step.
    pub change: f64,
}

/// The lowest point that is found from `start` on, with its value; `None` where `start` has no finite value.
pub(super) fn descend(
    start: Vec<f64>,
    evaluate: impl Fn(&[f64]) -> (f64, Vec<f64>),
    ends: &Ends,
) -> Option<(Vec<f64>, f64)> {
    let slope = Slope { evaluate, looks: ends.looks, seen: RefCell::default() };
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), HISTORY).with_tolerance_cost(ends.change).ok()?;
    let executor = Executor::new(&slope, solver).configure(|state| state.param(start).max_iters(ends.looks as u64));
    // Where the search breaks off, the best that it saw counts.
    let _ = executor.ctrlc(false).timer(false).run();
    slope.seen.into_inner().best
}

/// The function, as argmin wants it.
struct Slope<F> {
    evaluate: F,
    looks: usize,
    seen: RefCell<Seen>,
}

/// The search asks for value and gradient one after the other, and they come from one computation.
#[derive(Default)]
struct Seen {
    looks: usize,
    asked: usize,
    last: Option<(Vec<f64>, f64, Vec<f64>)>,
    best: Option<(Vec<f64>, f64)>,
}

impl<F: Fn(&[f64]) -> (f64, Vec<f64>)> Slope<F> {
    fn at<T>(&self, point: &[f64], pick: impl Fn(f64, &[f64]) -> T) -> Result<T, Error> {
        let mut seen = self.seen.borrow_mut();
        seen.asked += 1;
        // A line search that stands still asks for the same point again and again.
        if seen.asked > ASKED * self.looks {
            return Err(Error::msg("asked often enough"));
        }
        if let Some((_, value, gradient)) = seen.last.as_ref().filter(|(at, ..)| at == point) {
            return Ok(pick(*value, gradient));
        }
        if seen.looks == self.looks {
            return Err(Error::msg("looked at enough points"));
        }
        let (value, gradient) = (self.evaluate)(point);
        if !value.is_finite() || gradient.iter().any(|slope| !slope.is_finite()) {
            return Err(Error::msg("not a finite number"));
        }
        seen.looks += 1;
        if seen.best.as_ref().is_none_or(|(_, best)| value < *best) {
            seen.best = Some((point.to_vec(), value));
        }
        let picked = pick(value, &gradient);
        seen.last = Some((point.to_vec(), value, gradient));
        Ok(picked)
    }
}

impl<F: Fn(&[f64]) -> (f64, Vec<f64>)> CostFunction for &Slope<F> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        self.at(point, |value, _| value)
    }
}

impl<F: Fn(&[f64]) -> (f64, Vec<f64>)> Gradient for &Slope<F> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, point: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.at(point, |_, gradient| gradient.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::{Ends, descend};

    fn bowl(x: &[f64]) -> (f64, Vec<f64>) {
        ((x[0] - 1.0).powi(2) + 10.0 * (x[1] + 2.0).powi(4), vec![2.0 * (x[0] - 1.0), 40.0 * (x[1] + 2.0).powi(3)])
    }

    #[test]
    fn a_bowl_has_a_bottom_and_few_looks_go_some_of_the_way() {
        let (at, value) = descend(vec![5.0, 3.0], bowl, &Ends { looks: 200, change: 1e-12 }).unwrap();
        assert!(value < 1e-6 && (at[0] - 1.0).abs() < 1e-3, "{at:?}");
        let (_, few) = descend(vec![5.0, 3.0], bowl, &Ends { looks: 10, change: 1e-12 }).unwrap();
        assert!(few > value && few < bowl(&[5.0, 3.0]).0, "{few}");
        assert_eq!(descend(vec![0.0], |_| (f64::NAN, vec![0.0]), &Ends { looks: 4, change: 0.1 }), None);
    }
}

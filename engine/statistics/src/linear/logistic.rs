//! Logistic regression by L-BFGS (Nocedal & Wright 2006, algorithm 7.5) with the line search of More & Thuente 1994.
//!
//! The objective is scikit-learn's, a mean over the rows: loss / n + |w|^2 / (2 C n). The intercepts are not penalized.
//!
//! The search goes on in other coordinates: with L L^T the Hessian at equal probabilities (a bound on it: Boehning
//! 1992, "Multinomial Logistic Regression Algorithm"), it looks for L^T W, in which the objective is about as steep in
//! every direction, so that correlated features cost no more steps than others.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatMut, MatRef, Par, Scale, Side};

use super::LinearModel;
use super::likelihood::{Likelihood, Slopes, dot};
use crate::Features;
use crate::error::{Result, StatisticsError, mismatch};

/// Pairs of steps and gradient changes that are remembered.
const HISTORY: usize = 10;
const ITERATIONS: u64 = 5000;
/// The search ends at this L2 norm of the gradient.
const GOAL: f64 = 1e-8;
/// Rounding may end the search earlier; a gradient whose largest entry is this small still counts as converged.
const TOLERANCE: f64 = 1e-6;

/// See [`super::fit_linear`]; class numbers are below `classes`, and two of them occur.
pub(super) fn fit(
    features: &Features,
    numbers: &[u32],
    classes: usize,
    c: f64,
    start: Option<&LinearModel>,
) -> Result<LinearModel> {
    let problem = Problem::new(Likelihood::new(features, numbers, classes), c)?;
    let first = match start {
        Some(model) => problem.point_of(model)?,
        None => vec![0.0; problem.rows.outputs * (problem.rows.features + 1)],
    };
    let search = |error: Error| mismatch(format!("the linear model cannot be fitted: {error}"));
    let solver = LBFGS::new(MoreThuenteLineSearch::new(), HISTORY);
    let solver = solver.with_tolerance_grad(GOAL).and_then(|solver| solver.with_tolerance_cost(f64::MIN_POSITIVE));
    let solved = Executor::new(problem, solver.map_err(search)?)
        .configure(|state| state.param(first).max_iters(ITERATIONS))
        .ctrlc(false)
        .timer(false)
        .run()
        .map_err(search)?;
    let iterations = solved.state().get_iter() as usize;
    let found = solved.state().get_best_param().cloned().unwrap_or_default();
    let problem = solved.problem.problem.ok_or_else(|| mismatch("the linear model's search was lost"))?;
    let (weights, centred) = problem.weights(&found);
    let slopes = problem.slopes(&weights, &centred);
    let entries = slopes.by_weight.col_iter().flat_map(|column| column.iter());
    let gradient = entries.chain(&slopes.by_intercept).fold(0.0_f64, |largest, entry| largest.max(entry.abs()));
    if gradient.is_nan() || gradient > TOLERANCE {
        return Err(StatisticsError::NotConverged { iterations, gradient, tolerance: TOLERANCE });
    }
    let rows: Vec<Vec<f64>> = weights.col_iter().map(|column| column.iter().copied().collect()).collect();
    let intercepts = problem.rows.intercepts(&rows, &centred);
    Ok(LinearModel { coefficients: rows.concat(), intercepts, iterations, gradient })
}

/// The objective. A point is L^T W, features x outputs, column after column, then the intercepts of centred features
/// times the root of the curvature.
struct Problem<'a> {
    rows: Likelihood<'a>,
    penalty: f64,
    /// Lower triangle L.
    factor: Mat<f64>,
    /// The last point with its value and gradient: the search asks for them one after the other.
    last: RefCell<Option<Evaluated>>,
}

/// A point, the objective's value there, and its gradient.
type Evaluated = (Vec<f64>, f64, Vec<f64>);

impl<'a> Problem<'a> {
    fn new(rows: Likelihood<'a>, c: f64) -> Result<Self> {
        let penalty = 1.0 / (c * rows.rows as f64);
        let mut hessian = Mat::from_fn(rows.features, rows.features, |i, j| if i == j { penalty } else { 0.0 });
        let scale = rows.curvature / rows.rows as f64;
        matmul(hessian.as_mut(), Accum::Add, rows.x(), rows.x().transpose(), scale, Par::Seq);
        let unbounded = |_| mismatch("features depend on each other; give C a finite value");
        let factor = hessian.llt(Side::Lower).map_err(unbounded)?.L().to_owned();
        Ok(Self { rows, penalty, factor, last: RefCell::new(None) })
    }

    /// The point of a model over as many features.
    fn point_of(&self, model: &LinearModel) -> Result<Vec<f64>> {
        let Likelihood { features, outputs, ref means, curvature, .. } = self.rows;
        let (found, expected) = (model.coefficients.len(), outputs * features);
        if found != expected || model.intercepts.len() != outputs {
            return Err(mismatch(format!("the model to start from has {found} coefficients, expected {expected}")));
        }
        let mut point = vec![0.0; expected];
        let turned = MatMut::from_column_major_slice_mut(&mut point, features, outputs);
        let weights = MatRef::from_column_major_slice(&model.coefficients, features, outputs);
        matmul(turned, Accum::Replace, self.factor.transpose(), weights, 1.0, Par::Seq);
        let rows = model.coefficients.chunks(features.max(1)).zip(&model.intercepts);
        point.extend(rows.map(|(row, intercept)| (intercept + dot(row, means)) * curvature.sqrt()));
        Ok(point)
    }

    /// Weights, features x outputs, and intercepts of centred features at a point.
    fn weights(&self, point: &[f64]) -> (Mat<f64>, Vec<f64>) {
        let (turned, intercepts) = point.split_at(self.rows.outputs * self.rows.features);
        let mut weights = MatRef::from_column_major_slice(turned, self.rows.features, self.rows.outputs).to_owned();
        solve_upper_triangular_in_place(self.factor.transpose(), weights.as_mut(), Par::Seq);
        (weights, intercepts.iter().map(|intercept| intercept / self.rows.curvature.sqrt()).collect())
    }

    /// The objective's value and slopes.
    fn slopes(&self, weights: &Mat<f64>, intercepts: &[f64]) -> Slopes {
        let mut slopes = self.rows.slopes(weights.as_ref(), intercepts);
        slopes.loss += 0.5 * self.penalty * weights.squared_norm_l2();
        slopes.by_weight += weights * Scale(self.penalty);
        slopes
    }

    /// Value and gradient at a point.
    fn evaluate(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let (weights, intercepts) = self.weights(point);
        let Slopes { loss, mut by_weight, by_intercept } = self.slopes(&weights, &intercepts);
        solve_lower_triangular_in_place(self.factor.as_ref(), by_weight.as_mut(), Par::Seq);
        let turned = by_weight.col_iter().flat_map(|column| column.iter().copied());
        (loss, turned.chain(by_intercept.iter().map(|slope| slope / self.rows.curvature.sqrt())).collect())
    }

    fn cached<T>(&self, point: &[f64], pick: impl Fn(f64, &[f64]) -> T) -> Result<T, Error> {
        let mut last = self.last.borrow_mut();
        let known = last.take().filter(|(known, ..)| known == point);
        let (point, value, gradient) = match known {
            Some(known) => known,
            None => {
                let (value, gradient) = self.evaluate(point);
                (point.to_vec(), value, gradient)
            }
        };
        if !value.is_finite() {
            return Err(Error::msg("the objective is not a finite number"));
        }
        let picked = pick(value, &gradient);
        *last = Some((point, value, gradient));
        Ok(picked)
    }
}

impl CostFunction for Problem<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, point: &Vec<f64>) -> Result<f64, Error> {
        self.cached(point, |value, _| value)
    }
}

impl Gradient for Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, point: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.cached(point, |_, gradient| gradient.to_vec())
    }
}

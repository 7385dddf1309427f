//! Logistic regression by L-BFGS (Nocedal & Wright 2006, algorithm 7.5) with the line search of More & Thuente 1994.
//!
//! The objective is scikit-learn's, a mean over the rows: loss / n + |w|^2 / (2 C n). The intercepts are not penalized.

use std::cell::RefCell;

use argmin::core::{CostFunction, Error, Executor, Gradient, State as _};
use argmin::solver::linesearch::MoreThuenteLineSearch;
use argmin::solver::quasinewton::LBFGS;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use paring_model::inputs::Matrix;

use super::{LinearModel, mismatch};
use crate::error::{Result, TrainError};

/// Pairs of steps and gradient changes that are remembered.
const HISTORY: usize = 10;
const ITERATIONS: u64 = 5000;
/// The search ends at this L2 norm of the gradient.
const GOAL: f64 = 1e-8;
/// Rounding may end the search earlier; a gradient whose largest entry is this small still counts as converged.
const TOLERANCE: f64 = 1e-6;

/// See [`super::fit_linear`]; class numbers are below `classes`, and two of them occur.
pub(super) fn fit(
    inputs: &Matrix,
    numbers: &[u32],
    classes: usize,
    c: f64,
    start: Option<&LinearModel>,
) -> Result<LinearModel> {
    let problem = Problem::new(inputs, numbers, classes, c);
    let (features, outputs) = (problem.features, problem.outputs);
    let first = match start {
        Some(model) => warm(model, features, outputs)?,
        None => vec![0.0; outputs * (features + 1)],
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
    let problem = solved.problem.problem.ok_or_else(|| mismatch("the linear model's search was lost".to_owned()))?;
    let (_, slope) = problem.evaluate(&found);
    let gradient = slope.iter().fold(0.0_f64, |largest, entry| largest.max(entry.abs()));
    if gradient.is_nan() || gradient > TOLERANCE {
        return Err(TrainError::NotConverged { iterations, gradient, tolerance: TOLERANCE });
    }
    let (coefficients, intercepts) = found.split_at(outputs * features);
    Ok(LinearModel { coefficients: coefficients.to_vec(), intercepts: intercepts.to_vec(), iterations, gradient })
}

fn warm(model: &LinearModel, features: usize, outputs: usize) -> Result<Vec<f64>> {
    let (found, expected) = (model.coefficients.len(), outputs * features);
    if found != expected || model.intercepts.len() != outputs {
        return Err(mismatch(format!("the model to start from has {found} coefficients, expected {expected}")));
    }
    Ok([model.coefficients.as_slice(), &model.intercepts].concat())
}

/// The objective. Parameters: outputs x features coefficients, row-major, then the intercepts.
struct Problem<'a> {
    /// Row-major, so column-major features x rows.
    inputs: Vec<f64>,
    numbers: &'a [u32],
    features: usize,
    rows: usize,
    /// 1 for two classes.
    outputs: usize,
    penalty: f64,
    /// The last point with its value and gradient: the search asks for them one after the other.
    last: RefCell<Option<Evaluated>>,
}

/// A point, the objective's value there, and its gradient.
type Evaluated = (Vec<f64>, f64, Vec<f64>);

impl<'a> Problem<'a> {
    fn new(inputs: &Matrix, numbers: &'a [u32], classes: usize, c: f64) -> Self {
        Self {
            inputs: inputs.data.iter().copied().map(f64::from).collect(),
            numbers,
            features: inputs.columns,
            rows: inputs.rows,
            outputs: if classes == 2 { 1 } else { classes },
            penalty: 1.0 / (c * inputs.rows as f64),
            last: RefCell::new(None),
        }
    }

    /// Value and gradient.
    fn evaluate(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let (outputs, features, rows) = (self.outputs, self.features, self.rows);
        let (weights, intercepts) = parameters.split_at(outputs * features);
        let x = MatRef::from_column_major_slice(&self.inputs, features, rows);
        let w = MatRef::from_row_major_slice(weights, outputs, features);
        let mut scores: Vec<f64> = intercepts.iter().copied().cycle().take(outputs * rows).collect();
        let z = MatMut::from_column_major_slice_mut(&mut scores, outputs, rows);
        matmul(z, Accum::Add, w, x, 1.0, Par::Seq);

        let scale = 1.0 / rows as f64;
        let loss = self.residuals(&mut scores) * scale;
        let mut gradient: Vec<f64> = weights.iter().map(|weight| weight * self.penalty).collect();
        let r = MatRef::from_column_major_slice(&scores, outputs, rows);
        let g = MatMut::from_row_major_slice_mut(&mut gradient, outputs, features);
        matmul(g, Accum::Add, r, x.transpose(), scale, Par::Seq);
        let mut slopes = vec![0.0; outputs];
        for row in scores.chunks(outputs) {
            slopes.iter_mut().zip(row).for_each(|(slope, residual)| *slope += residual * scale);
        }
        gradient.extend(slopes);
        let squares: f64 = weights.iter().map(|weight| weight * weight).sum();
        (loss + 0.5 * self.penalty * squares, gradient)
    }

    /// Turns scores (one row after the other) into predicted minus true probabilities, and sums the rows' losses.
    fn residuals(&self, scores: &mut [f64]) -> f64 {
        let rows = scores.chunks_mut(self.outputs).zip(self.numbers);
        if self.outputs == 1 {
            return rows.flat_map(|(row, &number)| row.first_mut().map(|score| binary(score, number))).sum();
        }
        rows.map(|(row, &number)| multinomial(row, number as usize)).sum()
    }
}

/// log(1 + exp(z)) - y z, and sigmoid(z) - y in place of z.
fn binary(score: &mut f64, number: u32) -> f64 {
    let (z, y) = (*score, f64::from(number));
    let small = (-z.abs()).exp();
    let probability = if z >= 0.0 { 1.0 / (1.0 + small) } else { small / (1.0 + small) };
    *score = probability - y;
    z.max(0.0) + small.ln_1p() - y * z
}

/// log(sum(exp(z))) - z_y, and softmax(z) minus the true class in place of z.
fn multinomial(row: &mut [f64], number: usize) -> f64 {
    let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let right = row.get(number).copied().unwrap_or(top);
    row.iter_mut().for_each(|score| *score = (*score - top).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|score| *score /= sum);
    if let Some(score) = row.get_mut(number) {
        *score -= 1.0;
    }
    sum.ln() + top - right
}

impl Problem<'_> {
    fn cached<T>(&self, parameters: &[f64], pick: impl Fn(f64, &[f64]) -> T) -> Result<T, Error> {
        let mut last = self.last.borrow_mut();
        let known = last.take().filter(|(point, ..)| point == parameters);
        let (point, value, gradient) = match known {
            Some(known) => known,
            None => {
                let (value, gradient) = self.evaluate(parameters);
                (parameters.to_vec(), value, gradient)
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

    fn cost(&self, parameters: &Vec<f64>) -> Result<f64, Error> {
        self.cached(parameters, |value, _| value)
    }
}

impl Gradient for Problem<'_> {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, parameters: &Vec<f64>) -> Result<Vec<f64>, Error> {
        self.cached(parameters, |_, gradient| gradient.to_vec())
    }
}

//! Linear models whose coefficients are exactly zero where a feature says too little: Tibshirani 1996, "Regression
//! Shrinkage and Selection via the Lasso".
//!
//! Found by accelerated proximal gradient steps (Beck and Teboulle 2009, "A Fast Iterative Shrinkage-Thresholding
//! Algorithm", with backtracking), begun anew whenever the speed points uphill (O'Donoghue and Candes 2015, "Adaptive
//! Restart for Accelerated Gradient Schemes", the gradient scheme).

use faer::{Mat, MatRef};

use super::LinearModel;
use super::likelihood::{Likelihood, Slopes};
use crate::error::{Result, StatisticsError, mismatch};
use crate::{Answers, Features};

const ITERATIONS: usize = 100_000;
/// The search ends where a step's length over its rate, the entries of a gradient, is at most this.
const TOLERANCE: f64 = 1e-7;

/// Fits with the penalty |w|: logistic regression minimizes the mean loss + |w| / (C n), as scikit-learn's
/// LogisticRegression with `penalty` `l1`; for numbers |y - Xw - b|^2 / 2 + |w| / C is least, as in its `Lasso` with
/// alpha 1 / (C n). Intercepts are free.
///
/// # Errors
/// When the search does not converge, there are no rows or one class only, a cell is not finite, or shapes do not fit.
pub fn fit_sparse(features: &Features, answers: &Answers, c: f64) -> Result<LinearModel> {
    super::check(features, answers, c)?;
    let penalty = 1.0 / (c * features.rows as f64);
    match answers {
        Answers::Classes { numbers, count } => {
            let rows = Likelihood::new(features, numbers, *count);
            let smooth = |weights: MatRef<'_, f64>, intercepts: &[f64]| rows.slopes(weights, intercepts);
            let found = search(&smooth, (features.columns, rows.outputs), penalty)?;
            Ok(found.model(&rows))
        }
        Answers::Numbers(values) => {
            let rows = Likelihood::new(features, &[], 2);
            let squares = Squares::new(&rows, values);
            let found = search(&|weights, _| squares.slopes(weights), (features.columns, 1), penalty)?;
            let mut model = found.model(&rows);
            model.intercepts.iter_mut().for_each(|intercept| *intercept += squares.mean);
            Ok(model)
        }
    }
}

/// |y - Xw|^2 / (2 n) of centred numbers, from their products.
struct Squares {
    gram: Mat<f64>,
    moment: Mat<f64>,
    constant: f64,
    mean: f64,
}

impl Squares {
    fn new(rows: &Likelihood<'_>, values: &[f32]) -> Self {
        let count = rows.rows as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
        let y = Mat::from_fn(values.len(), 1, |row, _| values.get(row).map_or(0.0, |&value| f64::from(value) - mean));
        let scale = faer::Scale(1.0 / count);
        Self {
            gram: rows.x() * rows.x().transpose() * scale,
            moment: rows.x() * &y * scale,
            constant: y.squared_norm_l2() / count,
            mean,
        }
    }

    fn slopes(&self, weights: MatRef<'_, f64>) -> Slopes {
        let along = &self.gram * weights;
        let curve = (weights.transpose() * &along)[(0, 0)];
        let slope = (weights.transpose() * &self.moment)[(0, 0)];
        let loss = 0.5 * (self.constant + curve) - slope;
        Slopes { loss, by_weight: along - &self.moment, by_intercept: vec![0.0] }
    }
}

/// Where the search is.
#[derive(Clone)]
struct Point {
    weights: Mat<f64>,
    intercepts: Vec<f64>,
}

struct Found {
    point: Point,
    iterations: usize,
    gradient: f64,
}

impl Found {
    fn model(&self, rows: &Likelihood<'_>) -> LinearModel {
        let weights: Vec<Vec<f64>> =
            self.point.weights.col_iter().map(|column| column.iter().copied().collect()).collect();
        LinearModel {
            intercepts: rows.intercepts(&weights, &self.point.intercepts),
            coefficients: weights.concat(),
            iterations: self.iterations,
            gradient: self.gradient,
        }
    }
}

type Smooth<'a> = &'a dyn Fn(MatRef<'_, f64>, &[f64]) -> Slopes;

fn search(smooth: Smooth<'_>, (features, outputs): (usize, usize), penalty: f64) -> Result<Found> {
    let mut point = Point { weights: Mat::zeros(features, outputs), intercepts: vec![0.0; outputs] };
    let mut ahead = point.clone();
    let (mut curvature, mut momentum) = (1.0_f64, 1.0_f64);
    let mut gradient = f64::INFINITY;
    for iterations in 0..ITERATIONS {
        let slopes = smooth(ahead.weights.as_ref(), &ahead.intercepts);
        if !slopes.loss.is_finite() {
            return Err(mismatch("the linear model cannot be fitted: the objective is not a finite number"));
        }
        let next = loop {
            let next = ahead.stepped(&slopes, curvature, penalty);
            let reached = smooth(next.weights.as_ref(), &next.intercepts).loss;
            let bound = slopes.loss + ahead.along(&next, &slopes) + 0.5 * curvature * ahead.distance(&next);
            if reached <= bound + 1e-14 * slopes.loss.abs() || curvature > 1e12 {
                break next;
            }
            curvature *= 2.0;
        };
        gradient = curvature * ahead.farthest(&next);
        if gradient <= TOLERANCE {
            return Ok(Found { point: next, iterations, gradient });
        }
        let uphill = ahead.turn(&next, &point) > 0.0;
        let following = if uphill { 1.0 } else { (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0 };
        let speed = if uphill { 0.0 } else { (momentum - 1.0) / following };
        ahead = next.beyond(&point, speed);
        (point, momentum) = (next, following);
        curvature *= 0.99;
    }
    Err(StatisticsError::NotConverged { iterations: ITERATIONS, gradient, tolerance: TOLERANCE })
}

impl Point {
    /// A gradient step, then every weight nearer to zero by the penalty.
    fn stepped(&self, slopes: &Slopes, curvature: f64, penalty: f64) -> Point {
        let weights = Mat::from_fn(self.weights.nrows(), self.weights.ncols(), |row, column| {
            let moved = self.weights[(row, column)] - slopes.by_weight[(row, column)] / curvature;
            moved.signum() * (moved.abs() - penalty / curvature).max(0.0)
        });
        let moved = self.intercepts.iter().zip(&slopes.by_intercept);
        Point { weights, intercepts: moved.map(|(intercept, slope)| intercept - slope / curvature).collect() }
    }

    fn beyond(&self, before: &Point, speed: f64) -> Point {
        let past = |now: f64, before: f64| now + speed * (now - before);
        let weights = Mat::from_fn(self.weights.nrows(), self.weights.ncols(), |row, column| {
            past(self.weights[(row, column)], before.weights[(row, column)])
        });
        let pairs = self.intercepts.iter().zip(&before.intercepts);
        Point { weights, intercepts: pairs.map(|(&now, &before)| past(now, before)).collect() }
    }

    fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        self.weights.col_iter().flat_map(|column| column.iter().copied()).chain(self.intercepts.iter().copied())
    }

    fn along(&self, next: &Point, slopes: &Slopes) -> f64 {
        let by_weight = slopes.by_weight.col_iter().flat_map(|column| column.iter().copied());
        let slopes = by_weight.chain(slopes.by_intercept.iter().copied());
        next.numbers().zip(self.numbers()).zip(slopes).map(|((next, now), slope)| (next - now) * slope).sum()
    }

    fn distance(&self, next: &Point) -> f64 {
        next.numbers().zip(self.numbers()).map(|(next, now)| (next - now).powi(2)).sum()
    }

    fn farthest(&self, next: &Point) -> f64 {
        next.numbers().zip(self.numbers()).fold(0.0, |most, (next, now)| f64::max(most, (next - now).abs()))
    }

    /// Whether the step just taken and the way from the point before it point apart.
    fn turn(&self, next: &Point, before: &Point) -> f64 {
        let triples = self.numbers().zip(next.numbers()).zip(before.numbers());
        triples.map(|((ahead, next), before)| (ahead - next) * (next - before)).sum()
    }
}

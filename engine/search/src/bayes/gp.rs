//! A Gaussian process with a constant mean and a Matern 5/2 kernel that has one length a parameter.
//!
//! Rasmussen & Williams 2006, "Gaussian Processes for Machine Learning", equations 2.25, 2.26, 4.17, 5.8 and 5.9. Mean
//! and scale have closed forms (Jones et al. 1998, "Efficient Global Optimization", equations 5 and 6), so that lengths
//! and noise are what is searched for.

use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Mat, Par, Side};

use super::descent::{Ends, descend};

/// The search for lengths and noise.
const SEARCH: Ends = Ends { looks: 40, change: 1e-5 };
/// Noise is never less than this share of the scale.
const LEAST_NOISE: f64 = 1e-11;
/// Mean and deviation of the noise's logarithm before anything is seen.
const NOISE_PRIOR: (f64, f64) = (-16.0, 5.0);
/// Mean and deviation of the lengths' logarithms before anything is seen, for one parameter.
const LENGTH_PRIOR: (f64, f64) = (-0.7, 1.0);

/// How far two coordinates are apart: by their difference, or not at all or wholly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    /// Squared difference.
    Numeric,
    /// 0 for the same choice, 1 for another.
    Choice,
}

impl Metric {
    fn squared(self, a: f64, b: f64) -> f64 {
        match self {
            Metric::Numeric => (a - b) * (a - b),
            Metric::Choice => f64::from(u8::from(a != b)),
        }
    }
}

/// A process that was fitted to values at some places.
pub(super) struct Process {
    metrics: Vec<Metric>,
    /// For each parameter the coordinates of all places.
    axes: Vec<Vec<f64>>,
    /// Inverse squared lengths.
    weights: Vec<f64>,
    mean: f64,
    /// Standard deviation of the process.
    deviation: f64,
    /// Inverse of the correlations' Cholesky factor, column by column from the diagonal down.
    inverse: Vec<Vec<f64>>,
    /// Inverse correlations times values less their mean.
    alpha: Vec<f64>,
}

/// A process, and how it was found.
pub(super) struct Fit {
    pub process: Process,
    /// Negative logarithm of the likelihood times the prior.
    pub unlikely: f64,
    parameters: Vec<f64>,
}

/// What a process says of a place: mean and standard deviation, and their slopes in each coordinate.
pub(super) struct Prediction {
    pub mean: f64,
    pub deviation: f64,
    pub mean_slope: Vec<f64>,
    pub deviation_slope: Vec<f64>,
}

impl Process {
    /// Fits lengths, noise, mean and scale, starting from those of another fit if there is one; `None` where there are
    /// no correlations that can be inverted.
    pub fn fit(metrics: &[Metric], places: &[Vec<f64>], values: &[f64], known: Option<&Fit>) -> Option<Fit> {
        let problem = Likelihood::new(metrics, places, values);
        let starts = match known {
            Some(known) => vec![known.parameters.clone()],
            None => vec![problem.start(0.0), problem.start(-1.2)],
        };
        let search = |start| descend(start, |parameters| problem.evaluate(parameters), &SEARCH);
        let found = starts.into_iter().filter_map(search);
        let (parameters, unlikely) = found.reduce(|best, next| if next.1 < best.1 { next } else { best })?;
        let solved = problem.solve(&parameters)?;
        Some(Fit { process: problem.process(&parameters, solved), unlikely, parameters })
    }

    /// Correlation of a place with every place that was seen, and its slope in the squared distance.
    fn correlations(&self, place: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let mut squared = vec![0.0; self.alpha.len()];
        let axes = self.metrics.iter().zip(&self.weights).zip(self.axes.iter().zip(place));
        for ((metric, weight), (seen, here)) in axes {
            let all = squared.iter_mut().zip(seen);
            match metric {
                Metric::Numeric => all.for_each(|(sum, seen)| *sum += weight * (seen - here) * (seen - here)),
                Metric::Choice => all.for_each(|(sum, seen)| *sum += weight * metric.squared(*seen, *here)),
            }
        }
        matern(&squared)
    }

    /// Inverse Cholesky factor times `vector`.
    fn whitened(&self, vector: &[f64]) -> Vec<f64> {
        let mut white = vec![0.0; vector.len()];
        for (start, (column, factor)) in self.inverse.iter().zip(vector).enumerate() {
            white[start..].iter_mut().zip(column).for_each(|(white, entry)| *white += entry * factor);
        }
        white
    }

    /// Mean and standard deviation at a place.
    pub fn look(&self, place: &[f64]) -> (f64, f64) {
        let (near, _) = self.correlations(place);
        let white = self.whitened(&near);
        let rest = (1.0 - dot(&white, &white)).max(LEAST_NOISE);
        (self.mean + dot(&near, &self.alpha), self.deviation * rest.sqrt())
    }

    /// Mean and standard deviation at a place, with slopes; those of choices are 0.
    pub fn look_closely(&self, place: &[f64]) -> Prediction {
        let (near, slopes) = self.correlations(place);
        let white = self.whitened(&near);
        let rest = (1.0 - dot(&white, &white)).max(LEAST_NOISE);
        let deviation = self.deviation * rest.sqrt();
        let solved: Vec<f64> =
            self.inverse.iter().enumerate().map(|(start, column)| dot(column, &white[start..])).collect();
        let mut mean_slope = vec![0.0; place.len()];
        let mut deviation_slope = vec![0.0; place.len()];
        let numeric = self.metrics.iter().enumerate().filter(|(_, metric)| **metric == Metric::Numeric);
        for (axis, _) in numeric {
            let along: Vec<f64> = self.axes[axis]
                .iter()
                .zip(&slopes)
                .map(|(seen, slope)| slope * 2.0 * self.weights[axis] * (place[axis] - seen))
                .collect();
            mean_slope[axis] = dot(&along, &self.alpha);
            // d sqrt(rest) = d rest / (2 sqrt(rest)), and d rest = -2 solved d near.
            deviation_slope[axis] = -dot(&along, &solved) * self.deviation / rest.sqrt();
        }
        Prediction { mean: self.mean + dot(&near, &self.alpha), deviation, mean_slope, deviation_slope }
    }

    /// The smallest mean at a place that was seen.
    pub fn lowest(&self) -> f64 {
        let seen = |number: usize| self.axes.iter().map(|axis| axis[number]).collect::<Vec<f64>>();
        (0..self.alpha.len()).map(|number| self.look(&seen(number)).0).fold(f64::INFINITY, f64::min)
    }
}

/// Matern 5/2 at squared distances, and its slopes there.
fn matern(squared: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let mut near = vec![0.0; squared.len()];
    let mut slopes = vec![0.0; squared.len()];
    for ((near, slope), squared) in near.iter_mut().zip(&mut slopes).zip(squared) {
        let scaled = (5.0 * squared).sqrt();
        let decay = decay(scaled);
        *near = (1.0 + scaled + scaled * scaled / 3.0) * decay;
        *slope = -5.0 / 6.0 * (1.0 + scaled) * decay;
    }
    (near, slopes)
}

/// exp(-x) for x >= 0 without a branch, so that many are computed at once; what is below exp(-100) counts as that.
fn decay(x: f64) -> f64 {
    const TO_WHOLE: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52: adding it rounds to a whole number
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let x = -x.min(100.0);
    let whole = x * std::f64::consts::LOG2_E + TO_WHOLE;
    let bits = whole.to_bits();
    let whole = whole - TO_WHOLE;
    let r = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    // Taylor's series up to r^13 / 13!, where |r| < 0.35.
    let mut sum = 1.0 / 6_227_020_800.0;
    for divisor in
        [479_001_600.0, 39_916_800.0, 3_628_800.0, 362_880.0, 40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0]
    {
        sum = sum * r + 1.0 / divisor;
    }
    sum * f64::from_bits(bits.wrapping_add(1023) << 52)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4.remainder().iter().zip(b4.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

/// What lengths and noise are searched by: the negative logarithm of likelihood times prior. Parameters: half the
/// logarithm of each inverse squared length with its sign turned (the logarithm of the length), then that of the noise.
struct Likelihood<'a> {
    metrics: &'a [Metric],
    places: &'a [Vec<f64>],
    values: &'a [f64],
    /// For each parameter the squared distances of all pairs i > j, row by row.
    distances: Vec<Vec<f64>>,
    length_prior: (f64, f64),
}

/// Correlations turned into what is needed of them.
struct Solved {
    inverse: Mat<f64>,
    mean: f64,
    /// Squared deviation of the process.
    scale: f64,
    alpha: Vec<f64>,
    /// Logarithm of the determinant.
    determinant: f64,
    /// Slopes of the correlations in their squared distances, for all pairs.
    slopes: Vec<f64>,
}

impl<'a> Likelihood<'a> {
    fn new(metrics: &'a [Metric], places: &'a [Vec<f64>], values: &'a [f64]) -> Self {
        let along = |(axis, metric): (usize, &Metric)| {
            let pairs = (0..places.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
            pairs.map(|(i, j)| metric.squared(places[i][axis], places[j][axis])).collect()
        };
        let distances = metrics.iter().enumerate().map(along).collect();
        // Distances in more dimensions are larger (Hvarfner et al. 2024, section 4.2).
        let length_prior = (LENGTH_PRIOR.0 + 0.5 * (metrics.len() as f64).ln(), LENGTH_PRIOR.1);
        Self { metrics, places, values, distances, length_prior }
    }

    fn start(&self, shift: f64) -> Vec<f64> {
        let mut start = vec![self.length_prior.0 + shift; self.metrics.len()];
        start.push(NOISE_PRIOR.0);
        start
    }

    fn solve(&self, parameters: &[f64]) -> Option<Solved> {
        let (weights, noise) = unpacked(parameters);
        let count = self.values.len();
        let mut squared = vec![0.0; count * (count - 1) / 2];
        for (along, weight) in self.distances.iter().zip(&weights) {
            squared.iter_mut().zip(along).for_each(|(sum, distance)| *sum += weight * distance);
        }
        let (near, slopes) = matern(&squared);
        let correlations = Mat::from_fn(count, count, |i, j| match i.cmp(&j) {
            std::cmp::Ordering::Equal => 1.0 + noise,
            std::cmp::Ordering::Greater => near[i * (i - 1) / 2 + j],
            std::cmp::Ordering::Less => near[j * (j - 1) / 2 + i],
        });
        let cholesky = correlations.llt(Side::Lower).ok()?;
        let factor = cholesky.L();
        let determinant = 2.0 * (0..count).map(|i| factor[(i, i)].ln()).sum::<f64>();
        let mut inverse = Mat::zeros(count, count);
        invert_lower_triangular(inverse.as_mut(), factor, Par::Seq);
        let ones = &inverse * Mat::<f64>::from_fn(count, 1, |_, _| 1.0);
        let values = &inverse * Mat::from_fn(count, 1, |i, _| self.values[i]);
        let mean = (ones.transpose() * &values)[(0, 0)] / (ones.transpose() * &ones)[(0, 0)];
        let white = &values - &ones * faer::Scale(mean);
        let scale = ((white.transpose() * &white)[(0, 0)] / count as f64).max(f64::MIN_POSITIVE);
        let alpha = inverse.transpose() * &white;
        let alpha: Vec<f64> = (0..count).map(|i| alpha[(i, 0)]).collect();
        let finite = determinant.is_finite() && alpha.iter().all(|entry| entry.is_finite());
        finite.then_some(Solved { inverse, mean, scale, alpha, determinant, slopes })
    }

    /// Value and gradient.
    fn evaluate(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let Some(solved) = self.solve(parameters) else { return (f64::INFINITY, vec![0.0; parameters.len()]) };
        let (weights, noise) = unpacked(parameters);
        let count = self.values.len();
        let mut value = 0.5 * (count as f64 * solved.scale.ln() + solved.determinant);
        let precision = solved.inverse.transpose() * &solved.inverse;
        let pull = |i: usize, j: usize| precision[(i, j)] - solved.alpha[i] * solved.alpha[j] / solved.scale;
        let pairs = (0..count).flat_map(|i| (0..i).map(move |j| (i, j)));
        let pulls: Vec<f64> = pairs.zip(&solved.slopes).map(|((i, j), slope)| pull(i, j) * slope).collect();
        // A weight is exp(-2 length): its slope is -2 weight, and each pair stands twice in the trace.
        let lengths = self.distances.iter().zip(&weights).map(|(along, weight)| -2.0 * weight * dot(&pulls, along));
        let mut gradient: Vec<f64> = lengths.collect();
        gradient.push(0.5 * (noise - LEAST_NOISE) * (0..count).map(|i| pull(i, i)).sum::<f64>());
        let priors = vec![self.length_prior; weights.len()].into_iter().chain([NOISE_PRIOR]);
        for ((parameter, slope), (mean, deviation)) in parameters.iter().zip(&mut gradient).zip(priors) {
            let off = (parameter - mean) / deviation;
            value += 0.5 * off * off;
            *slope += off / deviation;
        }
        (value, gradient)
    }

    fn process(&self, parameters: &[f64], solved: Solved) -> Process {
        let count = self.values.len();
        let column = |j: usize| (j..count).map(|i| solved.inverse[(i, j)]).collect();
        Process {
            metrics: self.metrics.to_vec(),
            axes: (0..self.metrics.len()).map(|axis| self.places.iter().map(|place| place[axis]).collect()).collect(),
            weights: unpacked(parameters).0,
            mean: solved.mean,
            deviation: solved.scale.sqrt(),
            inverse: (0..count).map(column).collect(),
            alpha: solved.alpha,
        }
    }
}

/// Inverse squared lengths, and the noise.
fn unpacked(parameters: &[f64]) -> (Vec<f64>, f64) {
    let (noise, lengths) = parameters.split_last().unwrap_or((&0.0, &[]));
    (lengths.iter().map(|length| (-2.0 * length).exp()).collect(), LEAST_NOISE + noise.exp())
}

#[cfg(test)]
mod tests {
    use super::{Likelihood, Metric, Process, decay};

    #[test]
    fn decay_is_the_exponential_function() {
        for step in 0..1000 {
            let x = f64::from(step) * 0.0997;
            assert!((decay(x) / (-x).exp() - 1.0).abs() < 1e-14, "{x}");
        }
    }

    fn places() -> Vec<Vec<f64>> {
        (0..12).map(|i| vec![(f64::from(i) * 0.37) % 1.0, (f64::from(i) * 0.61) % 1.0, f64::from(i % 3)]).collect()
    }

    fn values() -> Vec<f64> {
        places().iter().map(|x| (5.0 * x[0]).sin() + x[1] * x[1] + 0.3 * x[2]).collect()
    }

    const METRICS: [Metric; 3] = [Metric::Numeric, Metric::Numeric, Metric::Choice];

    #[test]
    fn the_gradient_of_the_likelihood_is_its_slope() {
        let (places, values) = (places(), values());
        let problem = Likelihood::new(&METRICS, &places, &values);
        let at = [-0.4, 0.3, 0.1, -6.0];
        let (_, gradient) = problem.evaluate(&at);
        for axis in 0..4 {
            let shifted = |step: f64| {
                let mut at = at;
                at[axis] += step;
                problem.evaluate(&at).0
            };
            let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!(
                (numeric - gradient[axis]).abs() < 1e-5 * numeric.abs().max(1.0),
                "{axis}: {numeric}, {gradient:?}"
            );
        }
    }

    #[test]
    fn slopes_of_a_prediction_are_its_slopes() {
        let (places, values) = (places(), values());
        let process = Process::fit(&METRICS, &places, &values, None).unwrap().process;
        let at = [0.33, 0.71, 1.0];
        let closely = process.look_closely(&at);
        for axis in 0..2 {
            let shifted = |step: f64| {
                let mut at = at;
                at[axis] += step;
                process.look(&at)
            };
            let ((up, wide), (down, narrow)) = (shifted(1e-5), shifted(-1e-5));
            assert!(((up - down) / 2e-5 - closely.mean_slope[axis]).abs() < 1e-6);
            assert!(((wide - narrow) / 2e-5 - closely.deviation_slope[axis]).abs() < 1e-6);
        }
    }

    #[test]
    fn a_process_goes_through_what_was_seen() {
        let (places, values) = (places(), values());
        let process = Process::fit(&METRICS, &places, &values, None).unwrap().process;
        for (place, value) in places.iter().zip(&values) {
            let (mean, deviation) = process.look(place);
            assert!((mean - value).abs() < 1e-3 && deviation < 1e-2, "{mean} +- {deviation} for {value}");
        }
    }
}

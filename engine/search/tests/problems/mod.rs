//! Problems of the literature with known minima, less which their values are regrets.

use std::f64::consts::{E, PI, TAU};

use paring_search::{Condition, Domain, Parameter, Point, Space};

/// A space, and the regret of its points.
pub struct Problem {
    /// What it is called.
    pub name: &'static str,
    /// Where it is defined.
    pub space: Space,
    /// Its value less the least value that there is.
    pub regret: fn(&Point) -> f64,
}

/// All of them.
pub fn all() -> Vec<Problem> {
    vec![branin(), hartmann6(), ackley5(), rosenbrock5(), svm()]
}

fn float(low: f64, high: f64) -> Parameter {
    Parameter { domain: Domain::Float { low, high, log: false }, condition: None }
}

fn space(parameters: Vec<Parameter>) -> Space {
    Space::new(parameters).expect("a problem has a space")
}

fn numbers(point: &Point) -> Vec<f64> {
    point.iter().copied().flatten().collect()
}

/// Three minima of equal depth (Dixon & Szego 1978).
pub fn branin() -> Problem {
    let regret = |point: &Point| {
        let x = numbers(point);
        let valley = x[1] - 5.1 / (4.0 * PI * PI) * x[0] * x[0] + 5.0 / PI * x[0] - 6.0;
        valley * valley + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x[0].cos() + 10.0 - 0.397_887_357_729_738_16
    };
    Problem { name: "branin", space: space(vec![float(-5.0, 10.0), float(0.0, 15.0)]), regret }
}

/// Four overlapping wells (Dixon & Szego 1978).
pub fn hartmann6() -> Problem {
    const WIDTHS: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const CENTRES: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    const DEPTHS: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    let regret = |point: &Point| {
        let x = numbers(point);
        let wells = WIDTHS.iter().zip(&CENTRES).zip(DEPTHS).map(|((widths, centre), depth)| {
            let away: f64 = (0..6).map(|axis| widths[axis] * (x[axis] - centre[axis]).powi(2)).sum();
            depth * (-away).exp()
        });
        3.322_368_011_415_515 - wells.sum::<f64>()
    };
    Problem { name: "hartmann6", space: space(vec![float(0.0, 1.0); 6]), regret }
}

/// A funnel under many small waves (Ackley 1987).
pub fn ackley5() -> Problem {
    let regret = |point: &Point| {
        let x = numbers(point);
        let mean = |of: fn(f64) -> f64| x.iter().map(|x| of(*x)).sum::<f64>() / 5.0;
        -20.0 * (-0.2 * mean(|x| x * x).sqrt()).exp() - mean(|x| (TAU * x).cos()).exp() + 20.0 + E
    };
    Problem { name: "ackley5", space: space(vec![float(-32.768, 32.768); 5]), regret }
}

/// A bent valley (Rosenbrock 1960), two of whose five axes are whole numbers.
pub fn rosenbrock5() -> Problem {
    let regret = |point: &Point| {
        let x = numbers(point);
        x.windows(2).map(|pair| 100.0 * (pair[1] - pair[0] * pair[0]).powi(2) + (1.0 - pair[0]).powi(2)).sum()
    };
    let whole = Parameter { domain: Domain::Int { low: -5, high: 10, log: false }, condition: None };
    let axes = vec![whole.clone(), whole, float(-5.0, 10.0), float(-5.0, 10.0), float(-5.0, 10.0)];
    Problem { name: "rosenbrock5-int", space: space(axes), regret }
}

/// A space as that of a support vector machine: a kernel (linear, polynomial, radial), its cost, a width that the last
/// two have, and a degree that the second has.
pub fn svm() -> Problem {
    let regret = |point: &Point| {
        let cost = point[1].unwrap_or(1.0).log10();
        let depth = match (point[2].map(f64::log10), point[3]) {
            (None, _) => 0.1 + 0.02 * cost * cost,
            (Some(width), None) => {
                let (a, b) = (cost - 1.0, width + 1.5);
                0.03 * a * a + 0.045 * b * b + 0.02 * a * b
            }
            (Some(width), Some(degree)) => {
                0.05 + 0.03 * (cost + 0.5).powi(2) + 0.03 * (width + 1.0).powi(2) + 0.02 * (degree - 3.0).powi(2)
            }
        };
        1.0 - (-depth).exp()
    };
    let when = |choices: &[usize]| Some(Condition { parent: 0, choices: choices.to_vec() });
    let axes = vec![
        Parameter { domain: Domain::Categorical { choices: 3 }, condition: None },
        Parameter { domain: Domain::Float { low: 1e-3, high: 1e3, log: true }, condition: None },
        Parameter { domain: Domain::Float { low: 1e-4, high: 10.0, log: true }, condition: when(&[1, 2]) },
        Parameter { domain: Domain::Int { low: 2, high: 5, log: false }, condition: when(&[1]) },
    ];
    Problem { name: "svm-mixed", space: space(axes), regret }
}

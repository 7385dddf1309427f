//! Mutual information of each feature with the answers, estimated from nearest neighbours, in nats.
//!
//! Against classes by Ross 2014, "Mutual Information between Discrete and Continuous Data Sets", equation 2; against
//! numbers by Kraskov, Stoegbauer and Grassberger 2004, "Estimating Mutual Information", equation 8.
//!
//! Neighbours are those of one feature at a time, so they lie side by side once its cells are sorted. Equal cells would
//! have no distance: noise a billion times smaller than the numbers sets them apart, as scikit-learn does.

use rand::Rng;
use statrs::function::gamma::digamma;

use crate::error::{Result, mismatch};
use crate::features::class_counts;
use crate::principal::normal;
use crate::{Answers, Features};

/// Size of the noise against that of the numbers.
const NOISE: f64 = 1e-10;

/// The mutual information of each feature with the answers, 0 or more, from `neighbours` nearest neighbours.
///
/// # Errors
/// When rows and answers do not fit, or there are no more rows than neighbours.
pub fn mutual_information(
    features: &Features,
    answers: &Answers,
    neighbours: usize,
    rng: &mut impl Rng,
) -> Result<Vec<f64>> {
    features.check(Some(answers))?;
    if neighbours == 0 || features.rows <= neighbours {
        let rows = features.rows;
        return Err(mismatch(format!("{neighbours} neighbours need more than as many rows, found {rows}")));
    }
    let psi = Digamma::new(features.rows + 1);
    let mut column = |index: usize| shaken(features.column(index).collect(), rng);
    match answers {
        Answers::Classes { numbers, count } => {
            let counts = class_counts(numbers, *count);
            let of = |index| against_classes(&column(index), numbers, &counts, neighbours, &psi);
            Ok((0..features.columns).map(of).collect())
        }
        Answers::Numbers(values) => {
            let mut columns: Vec<Vec<f64>> = (0..features.columns).map(&mut column).collect();
            let values = shaken(values.iter().map(|&value| f64::from(value)).collect(), rng);
            let of = |column: &mut Vec<f64>| against_numbers(column, &values, neighbours, &psi);
            Ok(columns.iter_mut().map(of).collect())
        }
    }
}

/// The numbers over their standard deviation, each with a little noise.
fn shaken(mut numbers: Vec<f64>, rng: &mut impl Rng) -> Vec<f64> {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let deviation = (numbers.iter().map(|number| (number - mean).powi(2)).sum::<f64>() / count).sqrt();
    if deviation > 0.0 {
        numbers.iter_mut().for_each(|number| *number /= deviation);
    }
    let size = NOISE * (numbers.iter().map(|number| number.abs()).sum::<f64>() / count).max(1.0);
    numbers.iter_mut().for_each(|number| *number += size * normal(rng));
    numbers
}

/// Digamma of whole numbers.
struct Digamma(Vec<f64>);

impl Digamma {
    fn new(largest: usize) -> Self {
        Self((0..=largest).map(|number| digamma(number as f64)).collect())
    }

    fn of(&self, number: usize) -> f64 {
        self.0.get(number).copied().unwrap_or_else(|| digamma(number as f64))
    }
}

/// Numbers in ascending order with the places they came from.
fn sorted(numbers: impl Iterator<Item = (f64, usize)>) -> (Vec<f64>, Vec<usize>) {
    let mut order: Vec<(f64, usize)> = numbers.collect();
    order.sort_unstable_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    order.into_iter().unzip()
}

/// Ross 2014: how many of all rows are as near as the k-th neighbour of one's own class. Classes of one row are left
/// out.
fn against_classes(column: &[f64], numbers: &[u32], counts: &[usize], neighbours: usize, psi: &Digamma) -> f64 {
    let own = |number: u32| counts.get(number as usize).copied().unwrap_or(0);
    let cells = || column.iter().zip(numbers).filter(|(_, number)| own(**number) > 1);
    let (all, _) = sorted(cells().map(|(&cell, _)| (cell, 0)));
    let mut sum = 0.0;
    for (class, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 1) {
        let (members, _) = sorted(cells().filter(|(_, number)| **number as usize == class).map(|(&cell, _)| (cell, 0)));
        let k = neighbours.min(count - 1);
        let mut within = Within::new(&all);
        let near: f64 =
            radii(&members, k).zip(&members).map(|(radius, &cell)| psi.of(within.count(cell, radius))).sum();
        sum += count as f64 * (psi.of(k) - psi.of(count)) - near;
    }
    (psi.of(all.len()) + sum / all.len().max(1) as f64).max(0.0)
}

/// The distance from each of the sorted numbers to its k-th neighbour among them, a hair less.
fn radii(sorted: &[f64], k: usize) -> impl Iterator<Item = f64> + '_ {
    let mut start = 0;
    sorted.iter().enumerate().map(move |(place, &cell)| {
        // The window of k + 1 numbers around the cell that reaches least far: it only ever moves up.
        start = start.max(place.saturating_sub(k));
        let reach = |start: usize| {
            let ends = sorted.get(start).zip(sorted.get(start + k));
            ends.map_or(f64::INFINITY, |(low, high)| (cell - low).max(high - cell))
        };
        while start < place && reach(start + 1) <= reach(start) {
            start += 1;
        }
        reach(start).next_down().max(0.0)
    })
}

/// Counts the sorted numbers around ascending points.
struct Within<'a> {
    sorted: &'a [f64],
    low: usize,
    high: usize,
}

impl<'a> Within<'a> {
    fn new(sorted: &'a [f64]) -> Self {
        Self { sorted, low: 0, high: 0 }
    }

    /// How many lie within the radius, ends included: found by walking from where the last point's ended.
    fn count(&mut self, point: f64, radius: f64) -> usize {
        let at = |index: usize| self.sorted.get(index).copied();
        while self.low > 0 && at(self.low - 1).is_some_and(|number| point - number <= radius) {
            self.low -= 1;
        }
        while at(self.low).is_some_and(|number| point - number > radius) {
            self.low += 1;
        }
        while self.high > 0 && at(self.high - 1).is_some_and(|number| number - point > radius) {
            self.high -= 1;
        }
        while at(self.high).is_some_and(|number| number - point <= radius) {
            self.high += 1;
        }
        self.high.saturating_sub(self.low)
    }
}

/// Kraskov et al. 2004, the first estimator: neighbours by the larger of the two distances.
fn against_numbers(column: &[f64], values: &[f64], neighbours: usize, psi: &Digamma) -> f64 {
    let rows = column.len();
    let (cells, places) = sorted(column.iter().copied().zip(0..));
    let beside: Vec<f64> = places.iter().map(|&place| values.get(place).copied().unwrap_or(0.0)).collect();
    let radii: Vec<f64> = (0..rows).map(|place| joint_radius(&cells, &beside, place, neighbours)).collect();
    let mut within = Within::new(&cells);
    let near: f64 = cells.iter().zip(&radii).map(|(&cell, &radius)| psi.of(within.count(cell, radius))).sum();
    let (ordered, order) = sorted(beside.iter().copied().zip(0..));
    let mut within = Within::new(&ordered);
    let radius = |place: &usize| radii.get(*place).copied().unwrap_or(0.0);
    let near_values: f64 = ordered.iter().zip(&order).map(|(&y, place)| psi.of(within.count(y, radius(place)))).sum();
    (psi.of(rows) + psi.of(neighbours) - (near + near_values) / rows.max(1) as f64).max(0.0)
}

/// The distance to the k-th neighbour in both numbers, a hair less: outwards from the place in the sorted first number,
/// until that number alone is farther.
fn joint_radius(cells: &[f64], beside: &[f64], place: usize, k: usize) -> f64 {
    let mut best = vec![f64::INFINITY; k];
    let point = |index: usize| cells.get(index).copied().zip(beside.get(index).copied());
    let Some((x, y)) = point(place) else { return 0.0 };
    let (mut low, mut high) = (place.checked_sub(1), place + 1);
    loop {
        let below = low.and_then(point).map(|(cell, value)| (x - cell, value));
        let above = point(high).map(|(cell, value)| (cell - x, value));
        let takes_below = match (below, above) {
            (Some(below), Some(above)) => below.0 <= above.0,
            (below, _) => below.is_some(),
        };
        let Some((distance, value)) = (if takes_below { below } else { above }) else { break };
        if best.last().is_some_and(|worst| distance >= *worst) {
            break;
        }
        insert(&mut best, distance.max((y - value).abs()));
        match takes_below {
            true => low = low.and_then(|low| low.checked_sub(1)),
            false => high += 1,
        }
    }
    best.last().map_or(0.0, |worst| worst.next_down().max(0.0))
}

/// Puts the distance into the ascending list, and lets the largest go.
fn insert(best: &mut [f64], distance: f64) {
    let place = best.partition_point(|other| *other <= distance);
    if let Some(tail) = best.get_mut(place..).filter(|tail| !tail.is_empty()) {
        tail.rotate_right(1);
        if let Some(first) = tail.first_mut() {
            *first = distance;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::{Digamma, Within, against_numbers, joint_radius, mutual_information, radii};
    use crate::principal::normal;
    use crate::{Answers, Features};

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(0)
    }

    #[test]
    fn neighbours_by_hand() {
        let sorted = [0.0, 1.0, 3.0, 6.0, 10.0];
        let near: Vec<f64> = radii(&sorted, 2).map(|radius| radius.next_up()).collect();
        assert_eq!(near, [3.0, 2.0, 3.0, 4.0, 7.0]);
        let mut within = Within::new(&sorted);
        let counts: Vec<usize> = sorted.iter().map(|&point| within.count(point, 3.0)).collect();
        assert_eq!(counts, [3, 3, 4, 2, 1]);
        let beside = [5.0, 0.0, 0.0, 1.0, 0.0];
        assert_eq!(joint_radius(&sorted, &beside, 1, 1).next_up(), 2.0);
        assert_eq!(joint_radius(&sorted, &beside, 0, 2).next_up(), 5.0);
    }

    /// Two classes with normal numbers far apart: the class is one bit, log 2 nats.
    #[test]
    fn what_decides_tells_as_much_as_there_is() {
        let mut rng = rng();
        let numbers: Vec<u32> = (0..2000).map(|row| row % 2).collect();
        let cells = |row: &u32| [(normal(&mut rng) + 20.0 * f64::from(*row)) as f32, normal(&mut rng) as f32];
        let features = Features { rows: 2000, columns: 2, data: numbers.iter().flat_map(cells).collect() };
        let answers = Answers::Classes { numbers, count: 2 };
        let found = mutual_information(&features, &answers, 3, &mut self::rng()).unwrap();
        assert!((found[0] - 2.0_f64.ln()).abs() < 1e-3 && found[1] < 0.02, "{found:?}");
    }

    /// Normal numbers of correlation r share -log(1 - r^2) / 2 nats.
    #[test]
    fn normal_numbers_share_what_their_correlation_says() {
        let mut rng = rng();
        let x: Vec<f64> = (0..4000).map(|_| normal(&mut rng)).collect();
        let y: Vec<f64> = x.iter().map(|x| 0.8 * x + 0.6 * normal(&mut rng)).collect();
        let found = against_numbers(&x, &y, 3, &Digamma::new(4001));
        assert!((found - 0.510_825_6).abs() < 0.03, "{found}");
    }
}

//! Which trials are good ones.

use crate::Trial;
use crate::pareto::{dominates, ranks, spread};

/// Most trials that count as good.
const MOST_GOOD: usize = 25;

/// Numbers of the good and of the other trials, each in the order of the trials: the best tenth is good. Infeasible
/// trials come after all feasible ones, those that violate less first, and failed ones last.
pub(super) fn split(history: &[Trial]) -> (Vec<usize>, Vec<usize>) {
    let wanted = history.len().div_ceil(10).min(MOST_GOOD);
    let (feasible, mut others): (Vec<usize>, Vec<usize>) =
        (0..history.len()).partition(|&number| history[number].feasible().is_some());
    let values: Vec<&[f64]> = feasible.iter().filter_map(|&number| history[number].feasible()).collect();
    let mut good: Vec<usize> = best(&values, wanted).into_iter().map(|place| feasible[place]).collect();
    others.sort_by(|&a, &b| history[a].violation().total_cmp(&history[b].violation()));
    let spare = others.into_iter().filter(|&number| history[number].violation().is_finite());
    good.extend(spare.take(wanted.saturating_sub(good.len())));
    good.sort_unstable();
    let bad = (0..history.len()).filter(|number| good.binary_search(number).is_err()).collect();
    (good, bad)
}

/// Places of the best so many: by value, or by rank of domination, and of the last rank those that spread over it.
fn best(values: &[&[f64]], wanted: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    if values.first().is_none_or(|first| first.len() == 1) {
        order.sort_by(|&a, &b| values[a][0].total_cmp(&values[b][0]));
        order.truncate(wanted);
        return order;
    }
    let ranks = ranks(values, |a, b| dominates(a, b));
    let mut chosen = Vec::new();
    for rank in 0.. {
        let front: Vec<usize> = order.iter().copied().filter(|&place| ranks[place] == rank).collect();
        let room = wanted - chosen.len();
        if front.is_empty() || front.len() > room {
            let points: Vec<&[f64]> = front.iter().map(|&place| values[place]).collect();
            chosen.extend(spread(&points, room).into_iter().map(|place| front[place]));
            break;
        }
        chosen.extend(front);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::split;
    use crate::{Outcome, Trial};

    fn trial(values: &[f64], violation: f64) -> Trial {
        Trial { point: vec![], outcome: Outcome::Measured { values: values.to_vec(), violation } }
    }

    #[test]
    fn the_best_tenth_is_good_and_what_is_infeasible_is_not() {
        let mut trials: Vec<Trial> = (0..19).map(|value| trial(&[f64::from(value)], 0.0)).collect();
        trials.push(trial(&[-1.0], 0.5));
        assert_eq!(split(&trials).0, [0, 1]);
        let failed = Trial { point: vec![], outcome: Outcome::Failed };
        let mut few = vec![failed; 8];
        few.extend([trial(&[1.0], 2.0), trial(&[1.0], 1.0), trial(&[f64::NAN], 0.0)]);
        assert_eq!(split(&few), (vec![8, 9], vec![0, 1, 2, 3, 4, 5, 6, 7, 10]));
    }

    #[test]
    fn with_two_objectives_the_front_is_good() {
        let mut trials = vec![trial(&[3.0, 3.0], 0.0); 18];
        trials.extend([trial(&[1.0, 2.0], 0.0), trial(&[2.0, 1.0], 0.0)]);
        assert_eq!(split(&trials).0, [18, 19]);
    }
}

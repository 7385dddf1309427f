//! Budgets: which trial gets more of it next, and which ones end early.
//!
//! Successive halving and Hyperband: Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter
//! Optimization", algorithm 1. ASHA: Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm
//! 2.

/// A trial that was given the budget of a rung.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// The trial's number, from 0.
    pub trial: usize,
    /// The rung, from 0.
    pub rung: usize,
    /// Its value there, the smaller the better; `None` when it failed.
    pub value: Option<f64>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Begin a new trial, at this rung.
    Start {
        /// The rung, from 0.
        rung: usize,
    },
    /// Give a trial the budget of this rung.
    Promote {
        /// The trial's number.
        trial: usize,
        /// The rung, from 1.
        rung: usize,
    },
}

/// Budgets that grow by a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    /// The smallest budget, at least 1.
    pub smallest: usize,
    /// The largest budget.
    pub largest: usize,
    /// By how much one rung is above the other, and what share of a rung's trials goes on; at least 2.
    pub factor: usize,
}

impl Ladder {
    /// The budget of each rung, the last one the largest.
    pub fn budgets(&self) -> Vec<usize> {
        let factor = self.factor.max(2);
        let mut budgets = vec![self.largest.max(1)];
        while budgets[0] / factor >= self.smallest.max(1) {
            budgets.insert(0, budgets[0] / factor);
        }
        budgets
    }

    /// ASHA: the best of a rung's trials go on as soon as there are enough of them; else a new trial begins.
    pub fn next(&self, runs: &[Run]) -> Next {
        let top = self.budgets().len() - 1;
        let promotable = (0..top).rev().find_map(|rung| {
            let here = best_first(runs, rung, |_| true);
            let finished = runs.iter().filter(|run| run.rung == rung).count();
            let promoted = |trial: usize| runs.iter().any(|run| run.trial == trial && run.rung > rung);
            let good = here.into_iter().take(finished / self.factor.max(2));
            good.into_iter().find(|&trial| !promoted(trial)).map(|trial| Next::Promote { trial, rung: rung + 1 })
        });
        promotable.unwrap_or(Next::Start { rung: 0 })
    }

    /// The brackets of Hyperband in order: the rung at which each begins, and how many trials begin there.
    pub fn brackets(&self) -> Vec<(usize, usize)> {
        let rungs = self.budgets().len();
        let bracket = |first: usize| {
            let steps = rungs - 1 - first;
            let trials = (rungs * self.factor.max(2).pow(steps as u32)).div_ceil(steps + 1);
            (first, trials)
        };
        (0..rungs).map(bracket).collect()
    }

    /// Hyperband: the brackets of successive halving one after the other; `None` when all are done.
    pub fn next_of_brackets(&self, runs: &[Run]) -> Option<Next> {
        let top = self.budgets().len() - 1;
        let mut first_trial = 0;
        for (first, trials) in self.brackets() {
            let own = first_trial..first_trial + trials;
            first_trial = own.end;
            let begun = runs.iter().filter(|run| run.rung == first && own.contains(&run.trial)).count();
            if begun < trials {
                return Some(Next::Start { rung: first });
            }
            let mut wanted = trials;
            for rung in first..top {
                wanted /= self.factor.max(2);
                let good = best_first(runs, rung, |trial| own.contains(&trial));
                let ran = |trial: usize| runs.iter().any(|run| run.trial == trial && run.rung == rung + 1);
                if let Some(&trial) = good.iter().take(wanted).find(|&&trial| !ran(trial)) {
                    return Some(Next::Promote { trial, rung: rung + 1 });
                }
            }
        }
        None
    }
}

/// Trials that finished a rung, the best first, of equals the earlier; those that failed are left out.
fn best_first(runs: &[Run], rung: usize, own: impl Fn(usize) -> bool) -> Vec<usize> {
    let finished = runs.iter().filter(|run| run.rung == rung && own(run.trial));
    let mut values: Vec<(f64, usize)> =
        finished.filter_map(|run| Some((run.value.filter(|value| !value.is_nan())?, run.trial))).collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    values.into_iter().map(|(_, trial)| trial).collect()
}

#[cfg(test)]
mod tests {
    use super::{Ladder, Next, Run};

    const LADDER: Ladder = Ladder { smallest: 1, largest: 81, factor: 3 };

    /// Table 1 of Li et al. 2018: R = 81, eta = 3.
    #[test]
    fn the_brackets_are_those_of_the_paper() {
        assert_eq!(LADDER.budgets(), [1, 3, 9, 27, 81]);
        let trials: Vec<usize> = LADDER.brackets().iter().map(|(_, trials)| *trials).collect();
        // The paper's table has 27 in its second bracket, its algorithm ceil(5 / 4 * 27) = 34, as here.
        assert_eq!(trials, [81, 34, 15, 8, 5]);
    }

    /// Every trial's value is its number, so that the first ones are the best.
    fn play(mut next: impl FnMut(&[Run]) -> Option<Next>, most: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut trials = 0;
        while let Some(next) = next(&runs).filter(|_| runs.len() < most) {
            let (trial, rung) = match next {
                Next::Start { rung } => (trials, rung),
                Next::Promote { trial, rung } => (trial, rung),
            };
            trials = trials.max(trial + 1);
            let value = (trial != 1).then_some(trial as f64);
            runs.push(Run { trial, rung, value });
        }
        runs
    }

    #[test]
    fn hyperband_gives_the_best_third_three_times_the_budget() {
        let runs = play(|runs| LADDER.next_of_brackets(runs), usize::MAX);
        let at = |rung| runs.iter().filter(|run| run.rung == rung && run.trial < 81).map(|run| run.trial).collect();
        let rungs: [Vec<usize>; 5] = [0, 1, 2, 3, 4].map(at);
        assert_eq!([0, 1, 2, 3, 4].map(|rung: usize| rungs[rung].len()), [81, 27, 9, 3, 1]);
        // Trial 1 failed.
        assert_eq!(rungs[3], [0, 2, 3]);
        let steps: usize = runs.iter().map(|run| LADDER.budgets()[run.rung]).sum();
        assert!(steps < 5 * 5 * 81, "{steps}");
    }

    #[test]
    fn asha_promotes_as_soon_as_three_are_there() {
        let runs = play(|runs| Some(LADDER.next(runs)), 9);
        let order: Vec<(usize, usize)> = runs.iter().map(|run| (run.trial, run.rung)).collect();
        assert_eq!(order[..7], [(0, 0), (1, 0), (2, 0), (0, 1), (3, 0), (4, 0), (5, 0)]);
        assert_eq!(order[7..], [(2, 1), (6, 0)]);
    }
}

//! Samplers on problems of the literature, beside random search and the figures of others.

#![allow(clippy::expect_used, reason = "helpers of tests, where a failure is a panic")]

mod problems;

use paring_search::{Bayes, Outcome, Random, Sampler, Sobol, Tpe, Trial};
use problems::Problem;

/// Median best regret of some seeds after so many trials.
fn median(problem: &Problem, seeds: u64, trials: usize, sampler: impl Fn(u64) -> Box<dyn Sampler>) -> f64 {
    let mut best: Vec<f64> = (0..seeds)
        .map(|seed| {
            let history = search(problem, trials, &*sampler(seed));
            history.iter().filter_map(|trial| trial.feasible()).map(|values| values[0]).fold(f64::INFINITY, f64::min)
        })
        .collect();
    best.sort_by(f64::total_cmp);
    best[best.len() / 2]
}

fn search(problem: &Problem, trials: usize, sampler: &dyn Sampler) -> Vec<Trial> {
    let mut history = Vec::new();
    for _ in 0..trials {
        let point = sampler.suggest(&problem.space, &history);
        let values = vec![(problem.regret)(&point)];
        history.push(Trial { point, outcome: Outcome::Measured { values, violation: 0.0 } });
    }
    history
}

#[test]
fn known_minima_have_no_regret() {
    let regret = |problem: Problem, point: &[f64]| (problem.regret)(&point.iter().copied().map(Some).collect());
    assert!(regret(problems::branin(), &[std::f64::consts::PI, 2.275]).abs() < 1e-6);
    let bottom = [0.201_69, 0.150_011, 0.476_874, 0.275_332, 0.311_652, 0.6573];
    assert!(regret(problems::hartmann6(), &bottom).abs() < 1e-6);
    assert!(regret(problems::ackley5(), &[0.0; 5]).abs() < 1e-12);
    assert_eq!(regret(problems::rosenbrock5(), &[1.0; 5]), 0.0);
    let best = vec![Some(2.0), Some(10.0), Some(10_f64.powf(-1.5)), None];
    assert!((problems::svm().regret)(&best).abs() < 1e-12);
}

/// Medians of Optuna 5.0.0's default sampler (multivariate TPE) after 100 trials, 60 seeds.
#[test]
fn tpe_is_no_worse_than_optuna() {
    let optuna = [0.030, 0.106, 6.79, 114.0, 2.4e-4];
    for (problem, limit) in problems::all().iter().zip(optuna) {
        let found = median(problem, 31, 100, |seed| Box::new(Tpe::new(seed)));
        assert!(found <= limit, "{}: {found}, Optuna {limit}", problem.name);
    }
}

/// The better of egobox-ego 0.42 and Optuna 5.0.0 after 50 trials.
#[test]
fn bayes_is_no_worse_than_others() {
    for (problem, limit) in [(problems::hartmann6(), 0.12), (problems::rosenbrock5(), 586.0)] {
        let found = median(&problem, 3, 50, |seed| Box::new(Bayes::new(seed)));
        assert!(found <= limit, "{}: {found}, others {limit}", problem.name);
    }
    let found = median(&problems::svm(), 3, 40, |seed| Box::new(Bayes::new(seed)));
    assert!(found <= 5e-6, "svm-mixed: {found}");
}

#[test]
fn every_sampler_goes_on_from_its_trials_alone() {
    let samplers: [Box<dyn Sampler>; 4] =
        [Box::new(Random { seed: 3 }), Box::new(Sobol { seed: 3 }), Box::new(Tpe::new(3)), Box::new(Bayes::new(3))];
    let problem = problems::svm();
    for sampler in samplers {
        let history = search(&problem, 20, &*sampler);
        assert_eq!(sampler.suggest(&problem.space, &history[..14]), history[14].point);
        let other = search(&problem, 20, &Tpe::new(4));
        assert_ne!(history, other);
    }
}

#[test]
fn trials_that_fail_are_kept_away_from() {
    let problem = problems::branin();
    for sampler in [Box::new(Tpe::new(1)) as Box<dyn Sampler>, Box::new(Bayes::new(1))] {
        let mut history: Vec<Trial> = Vec::new();
        for _ in 0..40 {
            let point = sampler.suggest(&problem.space, &history);
            // Two of the three minima lie where trials fail.
            let outcome = match point[0] {
                Some(x) if x < 6.0 => Outcome::Failed,
                _ => Outcome::Measured { values: vec![(problem.regret)(&point)], violation: 0.0 },
            };
            history.push(Trial { point, outcome });
        }
        let failed = |trials: &[Trial]| trials.iter().filter(|trial| trial.feasible().is_none()).count();
        // Where trials fail is 73% of the space.
        assert!(failed(&history[20..]) < 10, "{} of the last 20 failed", failed(&history[20..]));
    }
}

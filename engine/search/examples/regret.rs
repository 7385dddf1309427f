//! Median best regret after 50 and 100 trials over many seeds, and processor time a suggestion, of every sampler on every
//! problem: `cargo run --release -p paring-search --example regret [SEEDS] [SAMPLER] [PROBLEM]`.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "an example that prints a table")]

#[path = "../tests/problems/mod.rs"]
mod problems;

use std::time::{Duration, Instant};

use paring_search::{Bayes, Outcome, Random, Sampler, Sobol, Tpe, Trial};
use problems::Problem;

const TRIALS: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().map_or(20, |seeds| seeds.parse().expect("a number of seeds"));
    let (only, problem) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    println!("{:18}{:10}{:>12}{:>12}{:>14}", "problem", "sampler", "regret 50", "regret 100", "ms at 90-100");
    for problem in problems::all().iter().filter(|one| one.name.contains(&problem)) {
        for name in ["random", "sobol", "tpe", "bayes"].into_iter().filter(|name| name.contains(&only)) {
            let runs: Vec<(f64, f64, Duration)> = (0..seeds).map(|seed| run(problem, &*sampler(name, seed))).collect();
            let [half, full] = [|run: &(f64, f64, _)| run.0, |run: &(f64, f64, _)| run.1]
                .map(|pick| median(runs.iter().map(pick).collect()));
            let time: Duration = runs.iter().map(|run| run.2).sum();
            let each = time.as_secs_f64() * 1e3 / (10 * seeds) as f64;
            println!("{:18}{name:10}{half:>12.3e}{full:>12.3e}{each:>14.3}", problem.name);
        }
    }
}

fn sampler(name: &str, seed: u64) -> Box<dyn Sampler> {
    match name {
        "tpe" => Box::new(Tpe::new(seed)),
        "bayes" => Box::new(Bayes::new(seed)),
        "sobol" => Box::new(Sobol { seed }),
        _ => Box::new(Random { seed }),
    }
}

/// Best regret after half of the trials and after all, and the time of the last ten suggestions.
fn run(problem: &Problem, sampler: &dyn Sampler) -> (f64, f64, Duration) {
    let mut history: Vec<Trial> = Vec::new();
    let mut time = Duration::ZERO;
    let mut regrets = Vec::new();
    let clock = Instant::now();
    for number in 0..TRIALS {
        let started = processor_time(clock);
        let point = sampler.suggest(&problem.space, &history);
        if number >= TRIALS - 10 {
            time += processor_time(clock) - started;
        }
        let regret = (problem.regret)(&point);
        regrets.push(regret);
        history.push(Trial { point, outcome: Outcome::Measured { values: vec![regret], violation: 0.0 } });
    }
    let best = |count: usize| regrets[..count].iter().copied().fold(f64::INFINITY, f64::min);
    (best(TRIALS / 2), best(TRIALS), time)
}

/// What this process has computed for, where the system says so; the time since `clock` elsewhere.
fn processor_time(clock: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| clock.elapsed(), Duration::from_nanos)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}

//! Sequential selection: the feature that helps a linear model most on held-out rows comes, or the one that it misses
//! least goes, one at a time.
//!
//! Whitney 1971, "A Direct Method of Nonparametric Measurement Selection", forward; Marill and Green 1963 backward;
//! Pudil, Novovicova and Kittler 1994, "Floating Search Methods in Feature Selection", for steps back. Without these
//! the choice is that of scikit-learn's `SequentialFeatureSelector`.

use crate::error::Result;
use crate::folds::Fold;
use crate::linear::fit_linear;
use crate::{Answers, Features, Tick};

/// Where the search begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// With no features.
    Forward,
    /// With all of them.
    Backward,
}

/// How features are sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How many stay.
    pub keep: usize,
    /// Where the search begins.
    pub direction: Direction,
    /// Whether steps back are taken where they do better than what was there before.
    pub floating: bool,
    /// Inverse strength of the linear model's penalty.
    pub c: f64,
}

/// One step of the search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Move {
    /// The feature.
    pub feature: usize,
    /// Whether it came; otherwise it went.
    pub came: bool,
    /// Mean score on the held-out rows after it.
    pub score: f64,
}

/// What was found, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Features that stay, ascending.
    pub keep: Vec<usize>,
    /// Every step.
    pub moves: Vec<Move>,
}

/// Searches. `tick` is told of each step: how many features came or went, of how many.
///
/// # Errors
/// When a fit fails, or `tick` wants no more.
pub fn search(
    features: &Features,
    answers: &Answers,
    settings: &Settings,
    folds: &[Fold],
    tick: Tick<'_>,
) -> Result<Search> {
    let trial = Trial::new(features, answers, folds, settings.c);
    let forward = settings.direction == Direction::Forward;
    let width = features.columns;
    let mut chosen: Vec<bool> = vec![!forward; width];
    let mut best: Vec<f64> = vec![f64::NEG_INFINITY; width + 1];
    let mut moves = Vec::new();
    while count(&chosen) != settings.keep {
        let size = count(&chosen);
        tick(if forward { size } else { width - size }, if forward { settings.keep } else { width - settings.keep })?;
        let step = trial.best_step(&mut chosen, forward, None)?;
        take(&mut chosen, &mut moves, &mut best, step);
        let mut last = step.map(|step| step.feature);
        while settings.floating && last.is_some() {
            tick(0, 0)?;
            let back = trial.best_step(&mut chosen, !forward, last)?;
            let size = if forward { count(&chosen).saturating_sub(1) } else { count(&chosen) + 1 };
            let known = best.get(size).copied().unwrap_or(f64::INFINITY);
            match back.filter(|back| size > 0 && size < width && back.score > known) {
                Some(back) => take(&mut chosen, &mut moves, &mut best, Some(back)),
                None => last = None,
            }
        }
    }
    let keep = chosen.iter().enumerate().filter(|(_, chosen)| **chosen).map(|(feature, _)| feature).collect();
    Ok(Search { keep, moves })
}

fn count(chosen: &[bool]) -> usize {
    chosen.iter().filter(|chosen| **chosen).count()
}

fn take(chosen: &mut [bool], moves: &mut Vec<Move>, best: &mut [f64], step: Option<Move>) {
    let Some(step) = step else { return };
    if let Some(place) = chosen.get_mut(step.feature) {
        *place = step.came;
    }
    moves.push(step);
    if let Some(known) = best.get_mut(count(chosen)) {
        *known = known.max(step.score);
    }
}

/// The rows of every fold, ready to be learned from and judged by.
struct Trial {
    folds: Vec<[(Features, Answers); 2]>,
    c: f64,
}

impl Trial {
    fn new(features: &Features, answers: &Answers, folds: &[Fold], c: f64) -> Self {
        let part = |rows: &[usize]| (features.keep_rows(rows), answers.keep_rows(rows));
        Self { folds: folds.iter().map(|fold| [part(&fold.train), part(&fold.test)]).collect(), c }
    }

    /// The step with the best score, the first of equal ones; never one that undoes `last`.
    fn best_step(&self, chosen: &mut [bool], comes: bool, last: Option<usize>) -> Result<Option<Move>> {
        let mut best: Option<Move> = None;
        for feature in 0..chosen.len() {
            if chosen.get(feature) == Some(&comes) || last == Some(feature) {
                continue;
            }
            let columns: Vec<usize> = (0..chosen.len())
                .filter(|&other| if other == feature { comes } else { chosen.get(other) == Some(&true) })
                .collect();
            if columns.is_empty() {
                continue;
            }
            let score = self.score(&columns)?;
            if best.is_none_or(|best| score > best.score) {
                best = Some(Move { feature, came: comes, score });
            }
        }
        Ok(best)
    }

    fn score(&self, columns: &[usize]) -> Result<f64> {
        let mut sum = 0.0;
        for [(train, learned), (test, asked)] in &self.folds {
            let model = fit_linear(&train.keep_columns(columns), learned, self.c, None)?;
            sum += model.score(&test.keep_columns(columns), asked);
        }
        Ok(sum / self.folds.len().max(1) as f64)
    }
}

//! Recursive feature elimination with a linear model: the features that it can best do without go, round by round.
//!
//! Guyon et al. 2002, "Gene Selection for Cancer Classification using Support Vector Machines", section 4, with
//! logistic or ridge regression in place of the support vector machine; the same order as scikit-learn's `RFE` and
//! `RFECV`.

use crate::error::Result;
use crate::folds::Fold;
use crate::linear::{LinearModel, fit_linear};
use crate::{Answers, Features, Tick};

/// How features are eliminated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How many stay; at least one does.
    pub keep: usize,
    /// How many go in a round.
    pub step: usize,
    /// Inverse strength of the linear model's penalty.
    pub c: f64,
}

/// What is left, and in which order the rest went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elimination {
    /// Features that stay, ascending.
    pub keep: Vec<usize>,
    /// Features that went, first to last, each with its round, from 1.
    pub gone: Vec<(usize, usize)>,
    /// Rounds.
    pub rounds: usize,
}

impl Elimination {
    /// 1 for what stays, 2 for what went last, and so on.
    pub fn rank(&self, feature: usize) -> usize {
        let round = self.gone.iter().find(|(gone, _)| *gone == feature).map(|(_, round)| *round);
        round.map_or(1, |round| self.rounds - round + 2)
    }

    fn drop_all(&mut self, places: &[usize]) {
        let features: Vec<usize> = places.iter().filter_map(|&place| self.keep.get(place).copied()).collect();
        self.rounds += 1;
        self.keep.retain(|feature| !features.contains(feature));
        self.gone.extend(features.into_iter().map(|feature| (feature, self.rounds)));
    }
}

/// Eliminates features until `settings.keep` are left. `tick` is told how many went of how many, before each round.
///
/// # Errors
/// When a fit fails, or `tick` wants no more.
pub fn eliminate(features: &Features, answers: &Answers, settings: &Settings, tick: Tick<'_>) -> Result<Elimination> {
    walk(features, answers, settings, tick, &mut |_, _| {})
}

/// As [`eliminate`]; `seen` is given the features that are left and the model fitted to them, before each round.
fn walk(
    features: &Features,
    answers: &Answers,
    settings: &Settings,
    tick: Tick<'_>,
    seen: &mut dyn FnMut(&[usize], &LinearModel),
) -> Result<Elimination> {
    let (width, wanted) = (features.columns, settings.keep.max(1));
    let mut left = Elimination { keep: (0..width).collect(), gone: Vec::new(), rounds: 0 };
    let mut start: Option<LinearModel> = None;
    while left.keep.len() > wanted {
        tick(width - left.keep.len(), width - wanted)?;
        let model = fit_linear(&features.keep_columns(&left.keep), answers, settings.c, start.as_ref())?;
        seen(&left.keep, &model);
        let count = settings.step.max(1).min(left.keep.len() - wanted);
        let worst = smallest(&model, left.keep.len(), count);
        start = Some(without(&model, left.keep.len(), &worst));
        left.drop_all(&worst);
    }
    Ok(left)
}

/// Places of the `count` features with the smallest sums of squared coefficients; the earlier of equal ones.
fn smallest(model: &LinearModel, width: usize, count: usize) -> Vec<usize> {
    let mut scored: Vec<(f64, usize)> = (0..width).map(|place| (weight(model, width, place), place)).collect();
    scored.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    scored.into_iter().take(count).map(|(_, place)| place).collect()
}

fn weight(model: &LinearModel, width: usize, place: usize) -> f64 {
    model.coefficients.iter().skip(place).step_by(width.max(1)).map(|coefficient| coefficient * coefficient).sum()
}

/// The model over the features that are left: where the next fit begins.
fn without(model: &LinearModel, width: usize, places: &[usize]) -> LinearModel {
    let stays = |(index, _): &(usize, &f64)| !places.contains(&(index % width.max(1)));
    let coefficients = model.coefficients.iter().enumerate().filter(stays).map(|(_, &number)| number).collect();
    LinearModel { coefficients, ..model.clone() }
}

/// How well linear models do on held-out rows with fewer and fewer features.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Numbers of features, descending.
    pub counts: Vec<usize>,
    /// For each of them the score on each fold's rows: accuracy for classes, r2 for numbers.
    pub scores: Vec<Vec<f64>>,
}

impl Curve {
    /// Mean over the folds at each number of features.
    pub fn means(&self) -> Vec<f64> {
        self.scores.iter().map(|scores| scores.iter().sum::<f64>() / scores.len().max(1) as f64).collect()
    }

    /// The number of features with the best mean; the smallest of equal ones.
    pub fn best(&self) -> Option<usize> {
        let points = self.counts.iter().copied().zip(self.means());
        let better = |best: (usize, f64), point: (usize, f64)| if point.1 >= best.1 { point } else { best };
        points.reduce(better).map(|(count, _)| count)
    }
}

/// Eliminates features within each fold's training rows down to `settings.keep`, and scores every model on the rows
/// held out.
///
/// # Errors
/// As [`eliminate`].
pub fn cross_validate(
    features: &Features,
    answers: &Answers,
    settings: &Settings,
    folds: &[Fold],
    tick: Tick<'_>,
) -> Result<Curve> {
    let mut curve = Curve { counts: Vec::new(), scores: Vec::new() };
    let width = features.columns;
    for (number, fold) in folds.iter().enumerate() {
        let (train, test) = (features.keep_rows(&fold.train), features.keep_rows(&fold.test));
        let (learned, asked) = (answers.keep_rows(&fold.train), answers.keep_rows(&fold.test));
        let mut points: Vec<(usize, f64)> = Vec::new();
        let mut seen = |kept: &[usize], model: &LinearModel| {
            points.push((kept.len(), model.score(&test.keep_columns(kept), &asked)));
        };
        let mut within = |done: usize, _: usize| tick(number * width + done, folds.len() * width);
        let left = walk(&train, &learned, settings, &mut within, &mut seen)?;
        let last = fit_linear(&train.keep_columns(&left.keep), &learned, settings.c, None)?;
        seen(&left.keep, &last);
        curve.counts = points.iter().map(|(count, _)| *count).collect();
        curve.scores.resize(points.len(), Vec::new());
        curve.scores.iter_mut().zip(&points).for_each(|(scores, (_, score))| scores.push(*score));
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::{Curve, Elimination, Settings, eliminate};
    use crate::{Answers, Features, StatisticsError};

    #[test]
    fn ranks_count_back_from_what_stays() {
        let left = Elimination { keep: vec![1], gone: vec![(0, 1), (3, 1), (2, 2)], rounds: 2 };
        assert_eq!([0, 1, 2, 3].map(|feature| left.rank(feature)), [3, 1, 2, 3]);
    }

    #[test]
    fn the_fewest_features_of_the_best_are_taken() {
        let scores = vec![vec![0.5, 0.75], vec![0.5, 1.0], vec![0.75; 2], vec![0.125; 2]];
        let curve = Curve { counts: vec![4, 3, 2, 1], scores };
        assert_eq!(curve.best(), Some(2));
    }

    #[test]
    fn who_wants_no_more_is_heard() {
        let features = Features { rows: 2, columns: 2, data: vec![1.0, 0.0, 0.0, 1.0] };
        let settings = Settings { keep: 1, step: 1, c: 1.0 };
        let mut tick = |_, _| Err(StatisticsError::Interrupted);
        let error = eliminate(&features, &Answers::Numbers(vec![1.0, 2.0]), &settings, &mut tick).unwrap_err();
        assert_eq!(error, StatisticsError::Interrupted);
    }
}

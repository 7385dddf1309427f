//! Splits: which rows are for training, validation, calibration and test. Seeded, stratified, and the same on every
//! machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{DataError, Result};

mod allocate;
mod shuffle;

use allocate::allocate;
use shuffle::shuffled;

/// A part of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What models are trained on, and everything is fitted on.
    Train,
    /// What early stopping and sweeps judge by.
    Validate,
    /// What quantization and pruning look at.
    Calibrate,
    /// What is measured and reported; nothing is ever chosen by it.
    Test,
}

/// How to split.
#[derive(Debug, Clone, PartialEq)]
pub enum SplitPlan {
    /// Fractions of the rows; they add up to at most 1.
    Fractions {
        /// Fraction for each part, 0 for none.
        train: f64,
        /// See [`Part::Validate`].
        validate: f64,
        /// See [`Part::Calibrate`].
        calibrate: f64,
        /// See [`Part::Test`].
        test: f64,
        /// Keep each class's share in every part.
        stratify: bool,
    },
    /// K folds: fold `fold` is the test part, the rest the training part.
    Folds {
        /// How many.
        folds: usize,
        /// Which one is the test part, from 0.
        fold: usize,
        /// Keep each class's share in every fold.
        stratify: bool,
    },
}

/// Row numbers of each part, ascending. A training row may be there several times.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts {
    /// See [`Part::Train`].
    pub train: Vec<usize>,
    /// See [`Part::Validate`].
    pub validate: Vec<usize>,
    /// See [`Part::Calibrate`].
    pub calibrate: Vec<usize>,
    /// See [`Part::Test`].
    pub test: Vec<usize>,
}

impl Parts {
    /// The rows of a part.
    pub fn rows(&self, part: Part) -> &[usize] {
        match part {
            Part::Train => &self.train,
            Part::Validate => &self.validate,
            Part::Calibrate => &self.calibrate,
            Part::Test => &self.test,
        }
    }

    /// Adds rows to the training part, each as often as `weight` says: 2 is twice, 0.5 is half of them, drawn by the
    /// seed. How many were added.
    pub fn mix(&mut self, rows: &[usize], weight: f64, seed: u64) -> usize {
        let before = self.train.len();
        for _ in 0..weight.floor() as usize {
            self.train.extend(rows);
        }
        let rest = (weight.fract() * rows.len() as f64).round() as usize;
        self.train.extend(shuffled(rows.len(), seed).into_iter().take(rest).filter_map(|place| rows.get(place)));
        self.train.sort_unstable();
        self.train.len() - before
    }

    /// The same parts of other rows: row `n` of these parts stands for `rows[n]`. For splitting a selection of rows,
    /// such as those without missing cells. A number beyond the selection is left out.
    #[must_use]
    pub fn of(&self, rows: &[usize]) -> Self {
        let pick = |part: &[usize]| part.iter().filter_map(|&row| rows.get(row).copied()).collect();
        Self {
            train: pick(&self.train),
            validate: pick(&self.validate),
            calibrate: pick(&self.calibrate),
            test: pick(&self.test),
        }
    }
}

/// Splits `rows` rows. `classes` holds each row's class, for stratification.
///
/// Rows are put in a random order, and each class's rows are then dealt to the parts in that order: as many as the
/// largest remainder method says, what rounding took from a part in one class being given back in the next. So every
/// part's share of a class is within one row of exact.
///
/// # Errors
/// When a part that was asked for comes out empty, or stratification has no classes or a class with too few rows.
pub fn split(rows: usize, classes: Option<&[u32]>, plan: &SplitPlan, seed: u64) -> Result<Parts> {
    match *plan {
        SplitPlan::Fractions { train, validate, calibrate, test, stratify } => {
            let fractions = [train, validate, calibrate, test];
            check_fractions(&fractions)?;
            let groups = groups(rows, classes, stratify, seed)?;
            let dealt = deal(&groups, &fractions, stratify)?;
            check_parts(rows, &fractions, &dealt)?;
            let [train, validate, calibrate, test] = dealt.try_into().unwrap_or_default();
            Ok(Parts { train, validate, calibrate, test })
        }
        SplitPlan::Folds { folds, fold, stratify } => {
            check_folds(rows, folds, fold)?;
            let groups = groups(rows, classes, stratify, seed)?;
            let mut dealt = deal(&groups, &vec![1.0 / folds as f64; folds], stratify)?;
            let test = dealt.swap_remove(fold);
            let mut train = dealt.concat();
            train.sort_unstable();
            Ok(Parts { train, test, ..Parts::default() })
        }
    }
}

/// The parts' names, in the order of [`SplitPlan::Fractions`].
const NAMES: [&str; 4] = ["train", "validate", "calibrate", "test"];

fn check_fractions(fractions: &[f64; 4]) -> Result<()> {
    let refuse = |reason| Err(DataError::Split(reason));
    for (name, fraction) in NAMES.iter().zip(fractions) {
        if !(0.0..=1.0).contains(fraction) {
            return refuse(format!("the `{name}` part is `{fraction}`, expected a fraction from 0 to 1 (inclusive)"));
        }
    }
    let sum: f64 = fractions.iter().sum();
    if sum > 1.0 + 1e-9 {
        return refuse(format!("the parts add up to `{}`, expected at most 1", (sum * 1e6).round() / 1e6));
    }
    if fractions[0] == 0.0 {
        return refuse("the `train` part is `0`, expected a fraction above 0".to_owned());
    }
    Ok(())
}

fn check_folds(rows: usize, folds: usize, fold: usize) -> Result<()> {
    if folds < 2 || folds > rows {
        let reason =
            format!("`folds` is `{folds}`, expected a whole number from 2 to {rows}, the number of rows (inclusive)");
        return Err(DataError::Split(reason));
    }
    if fold >= folds {
        let reason = format!("`fold` is `{fold}`, expected a whole number from 0 (inclusive) to {folds} (exclusive)");
        return Err(DataError::Split(reason));
    }
    Ok(())
}

/// The rows of each class (or all rows together), each in its random order.
fn groups(rows: usize, classes: Option<&[u32]>, stratify: bool, seed: u64) -> Result<Vec<(u32, Vec<usize>)>> {
    let order = shuffled(rows, seed);
    if !stratify {
        return Ok(vec![(0, order)]);
    }
    let Some(classes) = classes else {
        return Err(DataError::Split("`stratify` is set, but there are no classes to keep the shares of".to_owned()));
    };
    if classes.len() != rows {
        return Err(DataError::Split(format!("there are {} classes for {rows} rows", classes.len())));
    }
    let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for row in order {
        if let Some(&class) = classes.get(row) {
            groups.entry(class).or_default().push(row);
        }
    }
    Ok(groups.into_iter().collect())
}

/// Deals the rows of each group to parts; the rows of a part are ascending.
fn deal(groups: &[(u32, Vec<usize>)], fractions: &[f64], stratify: bool) -> Result<Vec<Vec<usize>>> {
    let asked = fractions.iter().filter(|&&fraction| fraction > 0.0).count();
    let sizes: Vec<usize> = groups.iter().map(|(_, rows)| rows.len()).collect();
    let mut parts = vec![Vec::new(); fractions.len()];
    for ((class, rows), counts) in groups.iter().zip(allocate(&sizes, fractions)) {
        let none_to_train = fractions.first().is_some_and(|&train| train > 0.0) && counts.first() == Some(&0);
        if stratify && (rows.len() < asked || none_to_train) {
            let needed = smallest_class(fractions);
            return Err(DataError::SmallClass { class: *class, name: None, found: rows.len(), needed });
        }
        let mut rest = rows.as_slice();
        for (part, count) in parts.iter_mut().zip(counts) {
            let (taken, left) = rest.split_at(count.min(rest.len()));
            part.extend_from_slice(taken);
            rest = left;
        }
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    Ok(parts)
}

/// The fewest rows of a class that give the first part at least one, and as many as there are parts.
fn smallest_class(fractions: &[f64]) -> usize {
    let asked = fractions.iter().filter(|&&fraction| fraction > 0.0).count();
    let first = fractions.first().copied().unwrap_or(1.0);
    asked.max((1.0 / first).ceil() as usize)
}

fn check_parts(rows: usize, fractions: &[f64; 4], parts: &[Vec<usize>]) -> Result<()> {
    for ((name, fraction), part) in NAMES.iter().zip(fractions).zip(parts) {
        if *fraction > 0.0 && part.is_empty() {
            let rows_word = if rows == 1 { "row" } else { "rows" };
            let reason = format!("the `{name}` part is empty: `{fraction}` of {rows} {rows_word} is less than one row");
            return Err(DataError::Split(reason));
        }
    }
    Ok(())
}

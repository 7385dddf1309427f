//! Splits: which rows are for training, validation, calibration and test. Seeded, stratified, and the same on every
//! machine.

use serde::{Deserialize, Serialize};

use crate::error::Result;

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

/// Row numbers of each part, ascending.
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
}

/// Splits `rows` rows. `classes` holds each row's class, for stratification.
///
/// # Errors
/// When a part that was asked for comes out empty, or stratification has no classes or a class with too few rows.
pub fn split(rows: usize, classes: Option<&[u32]>, plan: &SplitPlan, seed: u64) -> Result<Parts> {
    let _ = (rows, classes, plan, seed);
    todo!()
}

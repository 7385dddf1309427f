//! Statistics of tables of features, for feature selection: plain numbers in, plain numbers out.
//!
//! A table is [`Features`], what shall be known from it are [`Answers`]. Scores of single features ([`anova`],
//! [`chi_squared`], [`information`]), what features share ([`correlation`], [`principal`]), linear models ([`linear`])
//! and the searches that are built on them ([`elimination`], [`sequential`], [`permutation`]).
//!
//! Everything is computed in f64, on one thread, in an order that is always the same, so that the same table gives the
//! same bits. Randomness comes from a generator that the caller hands in.

mod error;
mod features;

pub mod anova;
pub mod chi_squared;
pub mod correlation;
pub mod elimination;
pub mod folds;
pub mod information;
pub mod linear;
pub mod permutation;
pub mod principal;
pub mod scaling;
pub mod sequential;

pub use error::{Result, StatisticsError};
pub use features::{Answers, Features};

/// A feature's score, and how likely one as large is where feature and answers have nothing to do with each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The statistic: larger says more. Not a number where the feature is constant.
    pub value: f64,
    /// Its p-value.
    pub p: f64,
}

/// Is told how much is done of how much, and may end a search with [`StatisticsError::Interrupted`].
pub type Tick<'a> = &'a mut dyn FnMut(usize, usize) -> Result<()>;

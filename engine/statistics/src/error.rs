//! What can go wrong.

/// The result of a statistic.
pub type Result<T, E = StatisticsError> = std::result::Result<T, E>;

/// What went wrong. Messages are lower case and have no full stop.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatisticsError {
    /// There are no rows.
    #[error("there are no rows")]
    NoRows,
    /// Rows, answers or settings do not suit what was asked.
    #[error("{0}")]
    Mismatch(String),
    /// A feature is below zero where counts are expected.
    #[error("feature {feature} of row {row} is `{found}`, expected a number of 0 (inclusive) or more")]
    Negative {
        /// Column, from 1.
        feature: usize,
        /// Row, from 1.
        row: usize,
        /// The number.
        found: f32,
    },
    /// A linear model's search ended before its gradient was small enough.
    #[error(
        "the linear model did not converge in {iterations} iterations: largest gradient entry is {gradient:.1e}, expected at most {tolerance:.0e}"
    )]
    NotConverged {
        /// Iterations used.
        iterations: usize,
        /// The gradient's largest entry.
        gradient: f64,
        /// The largest entry that counts as converged.
        tolerance: f64,
    },
    /// The caller wants no more.
    #[error("interrupted")]
    Interrupted,
}

/// A [`StatisticsError::Mismatch`].
pub(crate) fn mismatch(message: impl Into<String>) -> StatisticsError {
    StatisticsError::Mismatch(message.into())
}

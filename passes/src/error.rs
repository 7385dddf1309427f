//! Problems of a pass's parameters and plan, and failures of its run.

/// Something wrong with a parameter or with what the pass is asked to do to this model; found before any work.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// JSON pointer into the parameter block (`/sparsity`), or "" for the pass itself.
    pub pointer: String,
    /// What is wrong: lower case, no full stop, found and wanted.
    pub message: String,
    /// The cure.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at a place in the parameter block.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into(), help: None }
    }

    /// Adds the cure.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Why a run of a pass failed. Messages are lower case and have no full stop; the engine adds stage and pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PassError {
    /// The pass cannot do this.
    #[error("{0}")]
    Failed(String),
    /// The person pressed ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The model refused.
    #[error(transparent)]
    Model(#[from] paring_model::ModelError),
    /// The data refused.
    #[error(transparent)]
    Data(#[from] paring_data::DataError),
    /// Training or measuring failed.
    #[error(transparent)]
    Train(paring_train::TrainError),
    /// A statistic of the features failed.
    #[error(transparent)]
    Statistics(paring_statistics::StatisticsError),
    /// candle refused.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<paring_train::TrainError> for PassError {
    fn from(error: paring_train::TrainError) -> Self {
        match error {
            paring_train::TrainError::Interrupted => PassError::Interrupted,
            error => PassError::Train(error),
        }
    }
}

impl From<paring_statistics::StatisticsError> for PassError {
    fn from(error: paring_statistics::StatisticsError) -> Self {
        match error {
            paring_statistics::StatisticsError::Interrupted => PassError::Interrupted,
            error => PassError::Statistics(error),
        }
    }
}

//! Everything that can go wrong while training or measuring.

/// The result of training or measuring.
pub type Result<T, E = TrainError> = std::result::Result<T, E>;

/// What went wrong. Messages are lower case and have no full stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss is not a number or exploded.
    #[error(
        "training diverged at step {step} (epoch {epoch}): loss is {loss}, learning rate {learning_rate}{}; lower `learning_rate`, or set `clip_norm` or `back_off`",
        saved.map_or(String::new(), |step| format!("; the last checkpoint is that of step {step}"))
    )]
    Diverged {
        /// Optimizer step, from 1.
        step: usize,
        /// Epoch, from 1.
        epoch: usize,
        /// The loss.
        loss: f32,
        /// The learning rate of that step.
        learning_rate: f64,
        /// The step after which the run was saved last.
        saved: Option<usize>,
    },
    /// What a run has come to cannot be saved.
    #[error("the checkpoint of the training cannot be written: {0}")]
    Unsaved(String),
    /// What a teacher said cannot be kept.
    #[error("the teacher's answers cannot be written: {0}")]
    Unkept(String),
    /// Nothing to train or measure on.
    #[error("there are no {part} rows")]
    NoRows {
        /// "training", "test", ...
        part: &'static str,
    },
    /// Targets or outputs do not suit what was asked.
    #[error("{0}")]
    Mismatch(String),
    /// The person pressed ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// The model refused.
    #[error(transparent)]
    Model(#[from] paring_model::ModelError),
    /// The data refused.
    #[error(transparent)]
    Data(#[from] paring_data::DataError),
    /// candle refused.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

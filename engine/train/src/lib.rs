//! Training and measuring: seeded randomness, losses, resumable optimizers and schedules, the training loop, metrics,
//! and linear models for selection.

pub mod error;
pub mod fake;
pub mod fit;
pub mod lora;
pub mod loss;
mod made;
pub mod measure;
pub mod metrics;
pub mod optimizer;
pub mod ranking;
pub mod rng;
pub mod schedule;
pub mod sparse;
pub mod trainable;

pub use error::{Result, TrainError};
pub use rng::Stream;

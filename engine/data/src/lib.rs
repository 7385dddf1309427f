//! Datasets: every file format becomes an Arrow record batch; splits, encodings and batches are made from it.

mod cells;
pub mod dataset;
pub mod error;
pub mod examples;
pub mod fit;
pub mod read;
pub mod split;
pub mod windows;

pub use dataset::Dataset;
pub use error::{DataError, Result};
pub use examples::{Examples, Targets};
pub use split::{Part, Parts, SplitPlan};

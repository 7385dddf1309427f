//! Metrics of predictions: each a plain function, checked against scikit-learn's figures.

use crate::error::{Result, TrainError};

mod classes;
mod numbers;
mod probabilities;

pub use classes::{accuracy, balanced_accuracy, f1_macro};
pub use numbers::{mean_absolute_error, r2, root_mean_squared_error};
pub use probabilities::{log_loss, most_likely, roc_auc, roc_auc_one_vs_rest, softmax};

/// Both sides have the same, positive, length.
fn same_length(predicted: usize, truth: usize) -> Result<()> {
    if truth == 0 {
        return Err(TrainError::NoRows { part: "test" });
    }
    if predicted != truth {
        return Err(TrainError::Mismatch(format!("there are {predicted} predictions for {truth} rows")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

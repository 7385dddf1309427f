//! Metrics of predictions: each a plain function, checked against figures of scikit-learn and SciPy.

use crate::error::{Result, TrainError};

mod classes;
mod numbers;
mod probabilities;
mod tokens;
mod vectors;

pub use classes::{accuracy, balanced_accuracy, f1_macro};
pub use numbers::{mean_absolute_error, r2, root_mean_squared_error};
pub use probabilities::{log_loss, most_likely, roc_auc, roc_auc_one_vs_rest, softmax};
pub use tokens::{kl_divergence, negative_log_likelihood, same_top};
pub use vectors::{cosines, quantile, recall_at, spearman};

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

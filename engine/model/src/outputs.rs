//! What a model's raw outputs mean: class names or a number's unit.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Predict one of several classes.
    Classify,
    /// Predict a number.
    Regress,
    /// Turn an input into a vector.
    Embed,
    /// Continue a text.
    Generate,
}

/// How raw outputs become answers. Saved with the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Outputs {
    /// One logit a class, in the order of `labels`.
    Classify {
        /// The column that the labels came from.
        column: String,
        /// Class names; the index is the class number.
        labels: Vec<String>,
    },
    /// One number, standardized: answer = output * scale + mean.
    Regress {
        /// The column that the target came from.
        column: String,
        /// Mean of the training targets.
        mean: f64,
        /// Standard deviation of the training targets.
        scale: f64,
    },
}

impl Outputs {
    /// How many numbers the head gives for a row.
    pub fn width(&self) -> usize {
        match self {
            Outputs::Classify { labels, .. } => labels.len(),
            Outputs::Regress { .. } => 1,
        }
    }

    /// The task.
    pub fn task(&self) -> Task {
        match self {
            Outputs::Classify { .. } => Task::Classify,
            Outputs::Regress { .. } => Task::Regress,
        }
    }

    /// The column that holds the answers in raw rows.
    pub fn column(&self) -> &str {
        match self {
            Outputs::Classify { column, .. } | Outputs::Regress { column, .. } => column,
        }
    }
}

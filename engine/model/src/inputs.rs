//! How raw rows become a model's input tensor: encode, scale, select, project. Fitted on training rows, saved with the
//! model, applied to raw rows ever after.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::table::Table;

/// The whole path from a raw row to the network's input: columns are encoded to a matrix, then each step maps it on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    /// How each raw column is read, in order; the encoded matrix has their widths side by side.
    pub columns: Vec<ColumnEncoding>,
    /// Steps on the encoded matrix, in order.
    pub steps: Vec<InputStep>,
    /// The shape of one row as the network sees it: `[features]`, or `[channels, height, width]` for images.
    pub shape: Vec<usize>,
}

/// How one raw column is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnEncoding {
    /// The column's name in raw rows.
    pub name: String,
    /// What its cells are and how they become numbers.
    pub encoding: Encoding,
}

/// How cells become numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Encoding {
    /// One number; a missing cell becomes `fill`, and is an error if there is none.
    Number {
        /// What a missing cell becomes.
        #[serde(skip_serializing_if = "Option::is_none")]
        fill: Option<f64>,
    },
    /// One-hot over the categories seen in training, in this order; an unseen category is all zeros.
    Category {
        /// The categories.
        categories: Vec<String>,
        /// What a missing cell becomes; an error if there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        fill: Option<String>,
    },
    /// A vector of numbers, taken as it is.
    Vector {
        /// Its width.
        width: usize,
    },
}

/// One step from matrix to matrix. Rows stay, columns change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum InputStep {
    /// (x - mean) / scale, per column.
    Scale {
        /// Per-column mean.
        mean: Vec<f32>,
        /// Per-column divisor, never zero.
        scale: Vec<f32>,
    },
    /// Keep these columns, in this order.
    Select {
        /// Column indices into the step's input.
        keep: Vec<usize>,
        /// Width of the step's input.
        from: usize,
    },
    /// (x - mean) * components^T.
    Project {
        /// Per-column mean of the step's input.
        mean: Vec<f32>,
        /// Row-major, `rows` x `mean.len()`; kept as a tensor of the checkpoint file when saved.
        #[serde(skip)]
        components: Vec<f32>,
        /// How many components (output columns).
        rows: usize,
    },
}

/// A dense row-major matrix of features.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// rows x columns numbers.
    pub data: Vec<f32>,
}

impl Inputs {
    /// The number of features that the network sees (the product of `shape`).
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// Raw rows to the network's input, one matrix row a raw row.
    ///
    /// # Errors
    /// When a column is missing, has another type, or holds a missing cell for which no fill is known.
    pub fn apply(&self, table: &Table) -> Result<Matrix> {
        let _ = table;
        todo!()
    }

    /// Names of the features after the last step: column names, `column=category` for one-hot columns,
    /// `column[i]` for vectors, `component i` after a projection.
    pub fn feature_names(&self) -> Vec<String> {
        todo!()
    }

    /// Adds a step and sets the new shape (`[width of the step's output]`).
    pub fn push(&mut self, step: InputStep) {
        let _ = step;
        todo!()
    }

    /// Tensors that hold the steps' matrices, by name (`inputs.N.components`), with shape.
    pub fn tensors(&self) -> IndexMap<String, (Vec<usize>, Vec<f32>)> {
        todo!()
    }
}

//! How raw rows become a model's input tensor: encode, scale, select, project, multiply. Fitted on training rows, saved
//! with the model, applied to raw rows ever after.

mod encode;
mod polynomial;
mod quantile;
mod steps;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};
use crate::table::Table;
use crate::text::TextInput;

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
    /// A text, which the model's tokenizer turns into tokens. It stands alone, or with a second one for a pair.
    Text {
        /// Most tokens of a row, special tokens included.
        max_length: usize,
    },
    /// Token numbers of a window of running text, taken as they are.
    Tokens {
        /// Tokens in a window.
        length: usize,
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
    /// The share of the training rows that lie below, per column, from 0 to 1; between two quantiles on a straight
    /// line.
    Quantile {
        /// Row-major, `count` x `columns`, ascending in each column: the training rows' quantiles, evenly spaced from
        /// the smallest to the largest cell; kept as a tensor of the checkpoint file when saved.
        #[serde(skip)]
        quantiles: Vec<f32>,
        /// How many quantiles a column has, 2 or more.
        count: usize,
        /// Columns.
        columns: usize,
        /// Whether the share becomes the number of the normal distribution that has it below.
        normal: bool,
    },
    /// The columns as they are, then their products.
    Polynomial {
        /// Most factors of a product, 2 or more.
        degree: usize,
        /// Whether no column is its own factor.
        interactions_only: bool,
        /// Columns of the step's input.
        from: usize,
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

/// Gives the numbers of the tensor of that name and shape.
pub type ReadTensor<'a> = &'a mut dyn FnMut(&str, &[usize]) -> Result<Vec<f32>>;

impl Encoding {
    /// How many columns of the encoded matrix it fills.
    pub fn width(&self) -> usize {
        match self {
            Encoding::Number { .. } => 1,
            Encoding::Category { categories, .. } => categories.len(),
            Encoding::Vector { width } => *width,
            Encoding::Text { .. } | Encoding::Tokens { .. } => 0,
        }
    }
}

impl Inputs {
    /// The number of features that the network sees (the product of `shape`).
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// The column of windows of token numbers, where the model continues a running text, and how long they are.
    pub fn windows(&self) -> Option<(&str, usize)> {
        match self.columns.as_slice() {
            [ColumnEncoding { name, encoding: Encoding::Tokens { length } }] => Some((name, *length)),
            _ => None,
        }
    }

    /// The columns that are read as text, where the model reads tokens.
    pub fn text(&self) -> Option<TextInput> {
        let mut texts = self.columns.iter().filter_map(|column| match column.encoding {
            Encoding::Text { max_length } => Some((column.name.clone(), max_length)),
            _ => None,
        });
        let (column, max_length) = texts.next()?;
        Some(TextInput { column, pair: texts.next().map(|(column, _)| column), max_length })
    }

    /// The width of the encoded matrix, before the first step.
    pub fn encoded_width(&self) -> usize {
        self.columns.iter().map(|column| column.encoding.width()).sum()
    }

    /// Raw rows to the network's input, one matrix row a raw row.
    ///
    /// # Errors
    /// When a column is missing, has another type, holds a number that is not finite, or a missing cell for which no
    /// fill is known. Rows count from 1.
    pub fn apply(&self, table: &Table) -> Result<Matrix> {
        let mut matrix = encode::encode(&self.columns, table)?;
        for step in &self.steps {
            matrix = step.apply(matrix)?;
        }
        Ok(matrix)
    }

    /// Names of the features after the last step: column names, `column=category` for one-hot columns,
    /// `column[i]` for vectors, `component i` after a projection, `a b` and `a^2` for products.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.columns.iter().flat_map(encode::names).collect();
        for step in &self.steps {
            names = step.names(names);
        }
        names
    }

    /// Adds a step and sets the new shape: `[width of the step's output]`, or the old one after a scaling, which
    /// leaves every feature in its place.
    pub fn push(&mut self, step: InputStep) {
        if !matches!(step, InputStep::Scale { .. }) {
            self.shape = vec![step.width()];
        }
        self.steps.push(step);
    }

    /// Tensors that hold the steps' matrices, by name (`inputs.N.components`, `inputs.N.quantiles`), with shape.
    pub fn tensors(&self) -> IndexMap<String, (Vec<usize>, Vec<f32>)> {
        let matrix = |(index, step): (usize, &InputStep)| match step {
            InputStep::Project { mean, components, rows } => {
                Some((components_name(index), (vec![*rows, mean.len()], components.clone())))
            }
            InputStep::Quantile { quantiles, count, columns, .. } => {
                Some((quantiles_name(index), (vec![*count, *columns], quantiles.clone())))
            }
            InputStep::Scale { .. } | InputStep::Select { .. } | InputStep::Polynomial { .. } => None,
        };
        self.steps.iter().enumerate().filter_map(matrix).collect()
    }

    /// Puts the steps' matrices back, each read by name and shape: the other half of [`Inputs::tensors`].
    ///
    /// # Errors
    /// What `read` cannot give.
    pub fn restore(&mut self, read: ReadTensor<'_>) -> Result<()> {
        for (index, step) in self.steps.iter_mut().enumerate() {
            match step {
                InputStep::Project { mean, components, rows } => {
                    *components = read(&components_name(index), &[*rows, mean.len()])?;
                }
                InputStep::Quantile { quantiles, count, columns, .. } => {
                    *quantiles = read(&quantiles_name(index), &[*count, *columns])?;
                }
                InputStep::Scale { .. } | InputStep::Select { .. } | InputStep::Polynomial { .. } => {}
            }
        }
        Ok(())
    }

    /// Checks that every step fits the one before it and that no number is unusable.
    ///
    /// # Errors
    /// Naming the first step that does not fit.
    pub fn check(&self) -> Result<()> {
        if self.windows().is_some() && self.steps.is_empty() {
            return Ok(());
        }
        if self.text().is_some() {
            return self.check_text();
        }
        let mut width = self.encoded_width();
        for (index, step) in self.steps.iter().enumerate() {
            // Without columns the rows come from elsewhere, and the first step says how wide they are.
            let from = if self.columns.is_empty() && index == 0 { step.reads() } else { width };
            step.check(from)
                .map_err(|reason| ModelError::Input(format!("step {} of the inputs {reason}", index + 1)))?;
            width = step.width();
        }
        let known = !(self.columns.is_empty() && self.steps.is_empty());
        let product = self.shape.iter().try_fold(1_usize, |product, &length| product.checked_mul(length));
        if known && product != Some(width) {
            let shape = &self.shape;
            return Err(ModelError::Input(format!(
                "the inputs give {width} features, which do not fill shape {shape:?}"
            )));
        }
        Ok(())
    }
}

impl Inputs {
    /// Texts come alone, one or two of them, and no step follows.
    fn check_text(&self) -> Result<()> {
        let texts = self.columns.iter().filter(|column| matches!(column.encoding, Encoding::Text { .. })).count();
        let wrong = |reason: &str| Err(ModelError::Input(format!("the inputs {reason}")));
        match self.columns.len() {
            1 | 2 if texts == self.columns.len() && self.steps.is_empty() => Ok(()),
            count if texts < count => wrong("mix texts with other columns"),
            1 | 2 => wrong("have steps, which texts do not take"),
            count => wrong(&format!("read {count} texts, expected 1 or 2")),
        }
    }
}

fn components_name(step: usize) -> String {
    format!("inputs.{step}.components")
}

fn quantiles_name(step: usize) -> String {
    format!("inputs.{step}.quantiles")
}

#[cfg(test)]
mod tests;

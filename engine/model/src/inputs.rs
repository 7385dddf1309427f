//! How raw rows become a model's input tensor: encode, scale, select, project. Fitted on training rows, saved with the
//! model, applied to raw rows ever after.

mod encode;
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
    /// `column[i]` for vectors, `component i` after a projection.
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

    /// Tensors that hold the steps' matrices, by name (`inputs.N.components`), with shape.
    pub fn tensors(&self) -> IndexMap<String, (Vec<usize>, Vec<f32>)> {
        let components = |(index, step): (usize, &InputStep)| match step {
            InputStep::Project { mean, components, rows } => {
                Some((components_name(index), (vec![*rows, mean.len()], components.clone())))
            }
            InputStep::Scale { .. } | InputStep::Select { .. } => None,
        };
        self.steps.iter().enumerate().filter_map(components).collect()
    }

    /// Puts the steps' matrices back, each read by name and shape: the other half of [`Inputs::tensors`].
    ///
    /// # Errors
    /// What `read` cannot give.
    pub fn restore(&mut self, read: ReadTensor<'_>) -> Result<()> {
        for (index, step) in self.steps.iter_mut().enumerate() {
            if let InputStep::Project { mean, components, rows } = step {
                *components = read(&components_name(index), &[*rows, mean.len()])?;
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

#[cfg(test)]
mod tests {
    use super::{ColumnEncoding, Encoding, InputStep, Inputs, Matrix};
    use crate::table::{Column, Table, Values};

    fn column(name: &str, encoding: Encoding) -> ColumnEncoding {
        ColumnEncoding { name: name.to_owned(), encoding }
    }

    /// A number with a fill, a category without one, a vector of 2.
    fn inputs() -> Inputs {
        let categories = vec!["red".to_owned(), "blue".to_owned()];
        Inputs {
            columns: vec![
                column("age", Encoding::Number { fill: Some(9.0) }),
                column("colour", Encoding::Category { categories, fill: None }),
                column("image", Encoding::Vector { width: 2 }),
            ],
            steps: Vec::new(),
            shape: vec![5],
        }
    }

    fn text(cells: &[Option<&str>]) -> Values {
        Values::Text(cells.iter().map(|cell| cell.map(str::to_owned)).collect())
    }

    fn table(age: Values, colour: Values, image: Vec<f32>) -> Table {
        let columns = [("image", Values::Vector { width: 2, data: image }), ("age", age), ("colour", colour)];
        let columns = columns.map(|(name, values)| Column { name: name.to_owned(), values }).into();
        Table { columns, rows: 2 }
    }

    fn good() -> Table {
        let age = Values::Number(vec![Some(3.0), None]);
        table(age, text(&[Some("blue"), Some("green")]), vec![0.5, 0.25, 1.0, 2.0])
    }

    #[test]
    fn encodes_by_name_with_fill_and_one_hot() {
        let matrix = inputs().apply(&good()).unwrap();
        let data = vec![3.0, 0.0, 1.0, 0.5, 0.25, 9.0, 0.0, 0.0, 1.0, 2.0];
        assert_eq!(matrix, Matrix { rows: 2, columns: 5, data });
        assert_eq!(inputs().feature_names(), ["age", "colour=red", "colour=blue", "image[0]", "image[1]"]);
    }

    #[test]
    fn scales_selects_and_projects_in_order() {
        let mut inputs = inputs();
        inputs.push(InputStep::Scale { mean: vec![3.0, 0.0, 0.0, 0.0, 0.0], scale: vec![2.0, 1.0, 1.0, 1.0, 1.0] });
        inputs.push(InputStep::Select { keep: vec![4, 0], from: 5 });
        assert_eq!(inputs.feature_names(), ["image[1]", "age"]);
        inputs.push(InputStep::Project { mean: vec![0.25, 1.0], components: vec![2.0, -1.0], rows: 1 });
        inputs.check().unwrap();
        // Row 1: (0.25, 0) - mean = (0, -1) -> 1. Row 2: (2, 3) - mean = (1.75, 2) -> 3.5 - 2 = 1.5.
        assert_eq!(inputs.apply(&good()).unwrap(), Matrix { rows: 2, columns: 1, data: vec![1.0, 1.5] });
        assert_eq!(inputs.feature_names(), ["component 0"]);
        assert_eq!(inputs.width(), 1);
    }

    #[test]
    fn scaling_keeps_the_shape_of_an_image() {
        let columns = vec![column("image", Encoding::Vector { width: 4 })];
        let mut inputs = Inputs { columns, steps: Vec::new(), shape: vec![1, 2, 2] };
        inputs.push(InputStep::Scale { mean: vec![0.0; 4], scale: vec![2.0; 4] });
        assert_eq!(inputs.shape, [1, 2, 2]);
        inputs.check().unwrap();
    }

    #[test]
    fn messages_name_the_column_and_the_row() {
        let age = |cell| Values::Number(vec![Some(1.0), cell]);
        let colours = || text(&[Some("red"), Some("red")]);
        let message = |table: &Table| inputs().apply(table).unwrap_err().to_string();
        assert_eq!(
            message(&table(age(Some(f64::NAN)), colours(), vec![0.0; 4])),
            "column `age`, row 2: the number is not finite"
        );
        assert_eq!(
            message(&table(age(Some(1.0)), text(&[None, Some("red")]), vec![0.0; 4])),
            "column `colour`, row 1: the cell is empty, and the model has no fill for it"
        );
        assert_eq!(
            message(&table(text(&[Some("7"), Some("old")]), colours(), vec![0.0; 4])),
            "column `age`, row 2: found `old`, expected a number"
        );
        assert_eq!(
            message(&table(age(Some(1.0)), colours(), vec![0.0, 0.0, 0.0, f32::INFINITY])),
            "column `image`, row 2: number 2 is not finite"
        );
        assert_eq!(message(&Table { columns: Vec::new(), rows: 2 }), "column `age` is missing from the rows");
    }

    #[test]
    fn categories_written_as_numbers_match() {
        let categories = vec!["1".to_owned(), "2.5".to_owned()];
        let inputs = Inputs {
            columns: vec![column("code", Encoding::Category { categories, fill: Some("1".to_owned()) })],
            steps: Vec::new(),
            shape: vec![2],
        };
        let values = Values::Number(vec![Some(2.5), None]);
        let table = Table { columns: vec![Column { name: "code".to_owned(), values }], rows: 2 };
        assert_eq!(inputs.apply(&table).unwrap().data, [0.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn steps_that_do_not_fit_are_refused() {
        let refused = |step| {
            let mut inputs = inputs();
            inputs.push(step);
            inputs.check().unwrap_err().to_string()
        };
        assert_eq!(
            refused(InputStep::Select { keep: vec![0, 5], from: 5 }),
            "step 1 of the inputs keeps column 5, but there are 5 (from 0)"
        );
        assert_eq!(
            refused(InputStep::Scale { mean: vec![0.0; 4], scale: vec![1.0; 4] }),
            "step 1 of the inputs reads 4 columns, but is given 5"
        );
        assert_eq!(
            refused(InputStep::Scale { mean: vec![0.0; 5], scale: vec![1.0, 0.0, 1.0, 1.0, 1.0] }),
            "step 1 of the inputs divides column 1 by `0`"
        );
        assert_eq!(
            refused(InputStep::Project { mean: vec![0.0; 5], components: vec![1.0; 9], rows: 2 }),
            "step 1 of the inputs has 9 numbers in its components, expected 2 x 5"
        );
    }

    #[test]
    fn matrices_leave_and_come_back() {
        let mut inputs = inputs();
        inputs.push(InputStep::Project { mean: vec![0.0; 5], components: vec![0.5; 10], rows: 2 });
        let tensors = inputs.tensors();
        assert_eq!(tensors["inputs.0.components"], (vec![2, 5], vec![0.5; 10]));
        let text = serde_json::to_string(&inputs).unwrap();
        let mut again: Inputs = serde_json::from_str(&text).unwrap();
        assert_ne!(again, inputs);
        let mut read = |name: &str, shape: &[usize]| {
            assert_eq!(shape, tensors[name].0);
            Ok(tensors[name].1.clone())
        };
        again.restore(&mut read).unwrap();
        assert_eq!(again, inputs);
    }
}

//! Raw rows as a model's inputs read them: named columns of numbers, text or vectors. No file format is known here.

/// A set of named columns of equal length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// The columns, in the order of the source.
    pub columns: Vec<Column>,
    /// How many rows each column has.
    pub rows: usize,
}

/// One named column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// Its cells.
    pub values: Values,
}

/// The cells of a column. A missing cell is `None`.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Numbers.
    Number(Vec<Option<f64>>),
    /// Text, also category names.
    Text(Vec<Option<String>>),
    /// Vectors of one width (images, embeddings), row after row.
    Vector {
        /// Numbers in a row.
        width: usize,
        /// rows x width numbers.
        data: Vec<f32>,
    },
}

impl Table {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

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

/// A number as the name of a category or class: `0`, not `0.0`; the shortest text that reads back as the same number.
pub fn number_name(value: f64) -> String {
    // Adding zero turns -0.0 into 0.0.
    (value + 0.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::number_name;

    #[test]
    fn whole_numbers_have_no_decimal_point() {
        assert_eq!(number_name(7.0), "7");
        assert_eq!(number_name(-0.0), "0");
        assert_eq!(number_name(0.1), "0.1");
    }
}

//! Rows through columns and steps, and what is refused.

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

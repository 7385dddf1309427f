//! JSON lines: one object a line. Numbers, true and false (as 1 and 0), text, null, and arrays of numbers of one length.
//!
//! A key that a row lacks is a missing cell. Columns are in the order in which keys first appear. A column of anything
//! else, or of several kinds, is refused when it is used.

use std::fmt;

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::Found;
use crate::cells::{Cells, NamedColumn};

/// Cells that may be made for each byte of the file: rows of ever new keys would fill memory otherwise.
const CELLS_PER_BYTE: usize = 16;

/// Reads a whole file.
pub(super) fn read(bytes: &[u8]) -> Result<Found, String> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8 text")
    })?;
    let mut columns: IndexMap<String, Builder> = IndexMap::new();
    let mut rows = 0;
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let Row(row) = serde_json::from_str(text).map_err(|error| place(&error, line + 1))?;
        for (name, value) in row {
            if columns.get(&name).is_some_and(|column| column.rows > rows) {
                return Err(format!("line {} has the key `{name}` twice", line + 1));
            }
            columns.entry(name).or_default().push(rows, value);
        }
        rows += 1;
        if columns.len().saturating_mul(rows) > bytes.len().saturating_mul(CELLS_PER_BYTE) {
            return Err(format!("has {} different keys in {rows} rows, too many for a table", columns.len()));
        }
    }
    let columns = columns.into_iter().map(|(name, column)| NamedColumn { name, cells: column.finish(rows) }).collect();
    Ok(Found { columns, image: None })
}

/// What is wrong with a line. serde_json counts lines within the text it is given, which is one line.
fn place(error: &serde_json::Error, line: usize) -> String {
    if error.is_data() {
        return format!("line {line} is not an object");
    }
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default().to_ascii_lowercase();
    match error.column() {
        0 => format!("line {line}: {what}"),
        column => format!("line {line}, character {column}: {what}"),
    }
}

/// An object's members in order, keys as often as they are written.
struct Row(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Row(members))
    }
}

/// A column as it grows.
#[derive(Default)]
struct Builder {
    /// Rows so far.
    rows: usize,
    /// Their cells; `None` while all of them are missing.
    cells: Option<Cells>,
}

impl Builder {
    /// Puts a value into row `row`; rows before it that were passed over are missing.
    fn push(&mut self, row: usize, value: Value) {
        self.pad(row);
        self.rows += 1;
        if value.is_null() {
            return self.push_missing();
        }
        let value = cell(value);
        let cells = self.cells.get_or_insert_with(|| start(&value, row));
        let found = value.kind();
        let reason = match (&mut *cells, value) {
            (Cells::Numbers(cells), Cell::Number(number)) => return cells.push(Some(number)),
            (Cells::Text(cells), Cell::Text(text)) => return cells.push(Some(text)),
            (Cells::Vectors { width, data, present }, Cell::Vector(vector)) if vector.len() == *width => {
                data.extend(vector);
                return present.push(true);
            }
            (Cells::Unread { .. }, _) => return,
            (Cells::Vectors { width, .. }, Cell::Vector(vector)) => {
                format!("holds {} numbers in row {}, and {width} in rows before it", vector.len(), row + 1)
            }
            (before, _) => format!("holds {found} in row {}, and {} in rows before it", row + 1, kind(before)),
        };
        *cells = Cells::Unread { rows: 0, reason };
    }

    fn pad(&mut self, rows: usize) {
        while self.rows < rows {
            self.rows += 1;
            self.push_missing();
        }
    }

    fn push_missing(&mut self) {
        match &mut self.cells {
            Some(Cells::Numbers(cells)) => cells.push(None),
            Some(Cells::Text(cells)) => cells.push(None),
            Some(Cells::Vectors { width, data, present }) => {
                data.resize(data.len() + *width, 0.0);
                present.push(false);
            }
            Some(Cells::Unread { .. }) | None => {}
        }
    }

    /// The column; one of missing cells only is a column of numbers.
    fn finish(mut self, rows: usize) -> Cells {
        self.pad(rows);
        match self.cells {
            Some(Cells::Unread { reason, .. }) => Cells::Unread { rows, reason },
            Some(cells) => cells,
            None => Cells::Numbers(vec![None; rows]),
        }
    }
}

/// One value.
enum Cell {
    Number(f64),
    Text(String),
    Vector(Vec<f32>),
    Other(&'static str),
}

impl Cell {
    fn kind(&self) -> &'static str {
        match self {
            Cell::Number(_) => "a number",
            Cell::Text(_) => "text",
            Cell::Vector(_) => "an array of numbers",
            Cell::Other(kind) => kind,
        }
    }
}

fn cell(value: Value) -> Cell {
    match value {
        Value::Bool(truth) => Cell::Number(f64::from(u8::from(truth))),
        Value::Number(number) => number.as_f64().map_or(Cell::Other("a number beyond 64 bits"), Cell::Number),
        Value::String(text) => Cell::Text(text),
        Value::Array(items) if items.is_empty() => Cell::Other("an empty array"),
        Value::Array(items) => {
            let numbers: Option<Vec<f32>> =
                items.iter().map(|item| item.as_f64().map(|number| number as f32)).collect();
            numbers.map_or(Cell::Other("an array of something else than numbers"), Cell::Vector)
        }
        Value::Object(_) => Cell::Other("an object"),
        Value::Null => Cell::Other("null"),
    }
}

/// A column whose first cell that is not missing is `first`, in row `row`.
fn start(first: &Cell, row: usize) -> Cells {
    match first {
        Cell::Number(_) => Cells::Numbers(vec![None; row]),
        Cell::Text(_) => Cells::Text(vec![None; row]),
        Cell::Vector(vector) => {
            Cells::Vectors { width: vector.len(), data: vec![0.0; row * vector.len()], present: vec![false; row] }
        }
        Cell::Other(kind) => {
            let reason = format!("holds {kind} in row {}, expected numbers, text or arrays of numbers", row + 1);
            Cells::Unread { rows: 0, reason }
        }
    }
}

fn kind(cells: &Cells) -> &'static str {
    match cells {
        Cells::Numbers(_) => "numbers",
        Cells::Text(_) => "text",
        Cells::Vectors { .. } => "arrays of numbers",
        Cells::Unread { .. } => "something else",
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::read;
    use crate::cells::Cells;

    fn cells(text: &str) -> Cells {
        read(text.as_bytes()).unwrap().columns.remove(0).cells
    }

    #[test]
    fn columns_are_in_order_of_first_appearance_and_gaps_are_missing() {
        let found = read(b"{\"b\": 1}\n\n{\"a\": \"x\", \"b\": null}\r\n{\"b\": true}\n").unwrap();
        let names: Vec<_> = found.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["b", "a"]);
        let Cells::Numbers(b) = &found.columns[0].cells else { panic!("not numbers") };
        assert_eq!(b, &[Some(1.0), None, Some(1.0)]);
        let Cells::Text(a) = &found.columns[1].cells else { panic!("not text") };
        assert_eq!(a, &[None, Some("x".to_owned()), None]);
    }

    #[test]
    fn arrays_of_one_length_are_vectors() {
        let cells = cells("{\"v\": null}\n{\"v\": [1, 2.5]}\n");
        let Cells::Vectors { width, data, present } = cells else { panic!("not vectors") };
        assert_eq!((width, data, present), (2, vec![0.0, 0.0, 1.0, 2.5], vec![false, true]));
    }

    #[rstest]
    #[case("{\"v\": [1, 2]}\n{\"v\": [1]}\n", "holds 1 numbers in row 2, and 2 in rows before it")]
    #[case("{\"v\": 1}\n{\"v\": \"x\"}\n", "holds text in row 2, and numbers in rows before it")]
    #[case("{\"v\": {}}\n{\"v\": 1}\n", "holds an object in row 1, expected numbers, text or arrays of numbers")]
    fn what_is_not_read_says_why(#[case] text: &str, #[case] expected: &str) {
        let Cells::Unread { reason, rows } = cells(text) else { panic!("read after all") };
        assert_eq!((reason.as_str(), rows), (expected, 2));
    }

    #[rstest]
    #[case(b"{\"a\": 1}\n{\"a\": }\n", "line 2, character 7: expected value")]
    #[case(b"{\"a\": 1}\n[1]\n", "line 2 is not an object")]
    #[case(b"{\"a\": 1, \"a\": 2}\n", "line 1 has the key `a` twice")]
    #[case(b"{\"a\": \"\xFF\"}\n", "line 1 is not UTF-8 text")]
    fn a_bad_line_is_named(#[case] text: &[u8], #[case] expected: &str) {
        assert_eq!(read(text).err().unwrap(), expected);
    }

    #[test]
    fn deep_nesting_is_an_error() {
        let text = format!("{{\"a\": {}", "[".repeat(100_000));
        assert!(read(text.as_bytes()).err().unwrap().contains("recursion limit"));
    }

    #[test]
    fn ever_new_keys_do_not_fill_memory() {
        let text: String = (0..2000).map(|row| format!("{{\"key{row}\":1}}\n")).collect();
        assert!(read(text.as_bytes()).err().unwrap().contains("different keys"));
    }
}

//! Comma- and tab-separated text (RFC 4180): quotes, CRLF, a byte order mark, with or without a header.
//!
//! A column is numbers when every cell that is not missing reads as one; anything else makes the whole column text, as
//! written. Spaces around a number are allowed. Blank lines are skipped. A row with more or fewer cells than the first
//! is an error.

use ::csv::{Error, ErrorKind, Position, ReaderBuilder, StringRecord};

use super::{Found, ReadOptions};
use crate::cells::{Cells, NamedColumn};

/// The most columns that are read.
const MOST_COLUMNS: usize = 100_000;
/// How many rows below the first are looked at to decide whether it is a header.
const LOOKED_AT: usize = 100;

/// Reads a whole file.
pub(super) fn read(bytes: &[u8], delimiter: u8, options: &ReadOptions) -> Result<Found, String> {
    let bytes = text_bytes(bytes)?;
    let rules = Rules { delimiter, missing: &options.missing };
    let first = rules.first_record(bytes)?;
    if first.len() > MOST_COLUMNS {
        return Err(format!("has {} columns, expected at most {MOST_COLUMNS}", first.len()));
    }
    let header = options.header.unwrap_or_else(|| rules.is_header(bytes, &first));
    let mut columns: Vec<Cells> = first.iter().map(|_| Cells::Numbers(Vec::new())).collect();
    rules.read_numbers(bytes, header, &mut columns)?;
    rules.read_text(bytes, header, &mut columns)?;
    let columns =
        columns.into_iter().enumerate().map(|(index, cells)| NamedColumn { name: name(&first, header, index), cells });
    Ok(Found { columns: columns.collect(), image: None })
}

/// Refuses UTF-16 and leaves out the byte order mark of UTF-8.
fn text_bytes(bytes: &[u8]) -> Result<&[u8], String> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err("is UTF-16 text, expected UTF-8".to_owned());
    }
    Ok(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes))
}

/// The header's name for a column, or `c` and its number.
fn name(first: &StringRecord, header: bool, index: usize) -> String {
    match first.get(index).map(str::trim) {
        Some(name) if header && !name.is_empty() => name.to_owned(),
        _ => format!("c{index}"),
    }
}

/// A cell as a number: spaces around it do not count.
fn number(cell: &str) -> Option<f64> {
    cell.trim().parse().ok()
}

/// How cells are told apart.
struct Rules<'a> {
    delimiter: u8,
    missing: &'a [String],
}

impl Rules<'_> {
    fn is_missing(&self, cell: &str) -> bool {
        let cell = cell.trim();
        cell.is_empty() || self.missing.iter().any(|marker| marker == cell)
    }

    fn reader<'b>(&self, bytes: &'b [u8], header: bool) -> ::csv::Reader<&'b [u8]> {
        ReaderBuilder::new().delimiter(self.delimiter).has_headers(header).from_reader(bytes)
    }

    fn first_record(&self, bytes: &[u8]) -> Result<StringRecord, String> {
        let mut record = StringRecord::new();
        self.reader(bytes, false).read_record(&mut record).map_err(|error| reason(&error, 0))?;
        Ok(record)
    }

    /// Whether the first line names the columns: none of its cells is a number, or one is text above numbers only.
    fn is_header(&self, bytes: &[u8], first: &StringRecord) -> bool {
        if first.iter().all(|cell| number(cell).is_none()) {
            return true;
        }
        let mut above_numbers: Vec<Option<bool>> = vec![None; first.len()];
        let mut reader = self.reader(bytes, true);
        let mut row = StringRecord::new();
        for _ in 0..LOOKED_AT {
            // A row that cannot be read is reported when all rows are.
            let Ok(true) = reader.read_record(&mut row) else { break };
            for (cell, so_far) in row.iter().zip(&mut above_numbers).filter(|(cell, _)| !self.is_missing(cell)) {
                *so_far = Some(so_far.unwrap_or(true) && number(cell).is_some());
            }
        }
        let is_name = |cell: &str| !self.is_missing(cell) && number(cell).is_none();
        first.iter().zip(&above_numbers).any(|(cell, numbers)| is_name(cell) && *numbers == Some(true))
    }

    /// Fills every column of numbers; a column with another cell becomes text and is left for [`Rules::read_text`].
    fn read_numbers(&self, bytes: &[u8], header: bool, columns: &mut [Cells]) -> Result<(), String> {
        let mut reader = self.reader(bytes, header);
        let mut record = StringRecord::new();
        let mut start = 0;
        while reader.read_record(&mut record).map_err(|error| reason(&error, usize::from(header)))? {
            start = record.position().map_or(start, |position| position.byte() as usize);
            for (cell, column) in record.iter().zip(columns.iter_mut()) {
                self.add_number(cell, column);
            }
        }
        check_last_quote(bytes.get(start..).unwrap_or_default(), reader.position().record() - u64::from(header))
    }

    fn add_number(&self, cell: &str, column: &mut Cells) {
        let Cells::Numbers(values) = column else { return };
        match number(cell) {
            _ if self.is_missing(cell) => values.push(None),
            Some(value) => values.push(Some(value)),
            None => *column = Cells::Text(Vec::new()),
        }
    }

    fn read_text(&self, bytes: &[u8], header: bool, columns: &mut [Cells]) -> Result<(), String> {
        if columns.iter().all(|column| matches!(column, Cells::Numbers(_))) {
            return Ok(());
        }
        let mut reader = self.reader(bytes, header);
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(|error| reason(&error, usize::from(header)))? {
            for (cell, column) in record.iter().zip(columns.iter_mut()) {
                if let Cells::Text(values) = column {
                    values.push((!self.is_missing(cell)).then(|| cell.to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// What is wrong, with the row (counted from 1, without the header) and the line of the file.
fn reason(error: &Error, header: usize) -> String {
    let place = error.position().map_or_else(String::new, |position| place(position, header));
    match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{place} has {len} {}, expected {expected_len}", if *len == 1 { "cell" } else { "cells" })
        }
        ErrorKind::Utf8 { err, .. } => format!("{place} is not UTF-8 text in cell {}", err.field() + 1),
        _ => super::source::lower(error),
    }
}

fn place(position: &Position, header: usize) -> String {
    match (position.record() + 1).checked_sub(header as u64) {
        Some(row) if row > 0 => format!("row {row} (line {})", position.line()),
        _ => "the header".to_owned(),
    }
}

/// An opening quote that is never closed swallows the lines after it: the last record then spans several lines and
/// has an odd number of quotes.
fn check_last_quote(record: &[u8], row: u64) -> Result<(), String> {
    let record = record.trim_ascii_end();
    let quotes = record.iter().filter(|&&byte| byte == b'"').count();
    if quotes % 2 == 1 && record.contains(&b'\n') {
        return Err(format!("a quote that opens in row {row} is not closed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::ReadOptions;
    use super::read;
    use crate::cells::Cells;

    fn columns(text: &[u8]) -> Vec<(String, Cells)> {
        let found = read(text, b',', &ReadOptions::default()).unwrap();
        found.columns.into_iter().map(|column| (column.name, column.cells)).collect()
    }

    fn names(text: &[u8]) -> Vec<String> {
        columns(text).into_iter().map(|(name, _)| name).collect()
    }

    fn error(text: &[u8]) -> String {
        read(text, b',', &ReadOptions::default()).err().unwrap()
    }

    #[test]
    fn a_first_line_without_numbers_is_a_header() {
        assert_eq!(names(b"a,b\n1,2\n"), ["a", "b"]);
        assert_eq!(names(b"text,class\nhello,good\n"), ["text", "class"]);
    }

    #[test]
    fn a_first_line_of_numbers_is_data() {
        assert_eq!(names(b"1,2\n3,4\n"), ["c0", "c1"]);
        assert_eq!(names(b"5.1,setosa\n4.9,virginica\n"), ["c0", "c1"]);
    }

    #[test]
    fn text_above_numbers_is_a_header_even_beside_a_number() {
        assert_eq!(names(b"0,1,label\n7,8,1\n9,9,0\n"), ["0", "1", "label"]);
    }

    #[test]
    fn an_empty_name_is_replaced() {
        assert_eq!(names(b",a\n0,1\n"), ["c0", "a"]);
    }

    #[test]
    fn quotes_commas_and_line_ends_in_cells() {
        let columns = columns(b"\xEF\xBB\xBFname,n\r\n\"a, \"\"b\"\"\r\nc\",1\r\nd, 2 \r\n");
        let Cells::Text(names) = &columns[0].1 else { panic!("not text") };
        assert_eq!(names, &[Some("a, \"b\"\r\nc".to_owned()), Some("d".to_owned())]);
        let Cells::Numbers(values) = &columns[1].1 else { panic!("not numbers") };
        assert_eq!(values, &[Some(1.0), Some(2.0)]);
        assert_eq!(columns[0].0, "name");
    }

    #[test]
    fn one_word_late_in_a_column_makes_it_text_as_written() {
        let columns = columns(b"a,b\n007,1\nx,2\n");
        let Cells::Text(values) = &columns[0].1 else { panic!("not text") };
        assert_eq!(values[0].as_deref(), Some("007"));
    }

    #[test]
    fn empty_cells_and_markers_are_missing() {
        let options = ReadOptions { missing: vec!["?".to_owned()], ..ReadOptions::default() };
        let found = read(b"a,b\n1,?\n,2\n", b',', &options).unwrap();
        let Cells::Numbers(first) = &found.columns[0].cells else { panic!("not numbers") };
        let Cells::Numbers(second) = &found.columns[1].cells else { panic!("not numbers") };
        assert_eq!((first, second), (&vec![Some(1.0), None], &vec![None, Some(2.0)]));
    }

    #[test]
    fn a_ragged_row_is_named() {
        assert_eq!(error(b"a,b\n1,2\n3\n"), "row 2 (line 3) has 1 cell, expected 2");
        assert_eq!(error(b"1,2\n3,4,5\n"), "row 2 (line 2) has 3 cells, expected 2");
    }

    #[test]
    fn text_that_is_not_utf8_is_named() {
        assert_eq!(error(b"a,b\n1,2\n3,\xFF\n"), "row 2 (line 3) is not UTF-8 text in cell 2");
        assert_eq!(error(b"\xFF\xFEa\0"), "is UTF-16 text, expected UTF-8");
    }

    #[test]
    fn a_quote_that_is_not_closed_is_named() {
        assert_eq!(error(b"a\n1\n\"x\n2\n3\n"), "a quote that opens in row 2 is not closed");
        assert_eq!(names(b"a,b\n5\" pipe,1\n"), ["a", "b"]);
    }

    #[test]
    fn a_header_of_its_own_has_no_rows() {
        let columns = columns(b"a,b\n");
        assert!(matches!(&columns[0].1, Cells::Numbers(values) if values.is_empty()));
    }
}

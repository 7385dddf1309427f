//! npy, npz and Parquet files as numpy and pyarrow write them (see fixtures/make.py), and the same files damaged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use paring_data::read::{ReadOptions, read};
use paring_data::{DataError, Dataset};
use paring_model::Values;
use rstest::rstest;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn load(name: &str) -> Dataset {
    read(&fixture(name), &ReadOptions::default()).unwrap()
}

fn try_values(data: &Dataset, column: &str) -> Result<Values, DataError> {
    let rows: Vec<usize> = (0..data.rows()).collect();
    data.table(&[column.to_owned()], &rows).map(|mut table| table.columns.remove(0).values)
}

fn values(data: &Dataset, column: &str) -> Values {
    try_values(data, column).unwrap()
}

fn text(cells: &[Option<&str>]) -> Values {
    Values::Text(cells.iter().map(|cell| cell.map(str::to_owned)).collect())
}

#[rstest]
#[case("c_order.npy")]
#[case("fortran_order.npy")]
#[case("big_endian.npy")]
fn two_dimensions_are_vectors_in_any_order(#[case] name: &str) {
    let data = load(name);
    let expected = Values::Vector { width: 3, data: vec![1.5, -2.0, 3.25, 4.0, 5.5, -6.75] };
    assert_eq!(values(&data, "features"), expected);
    assert_eq!(data.image, None);
}

#[test]
fn one_dimension_is_numbers() {
    let whole = Values::Number(vec![Some(3.0), Some(-1.0), Some(9_007_199_254_740_992.0)]);
    assert_eq!(values(&load("whole.npy"), "features"), whole);
    assert_eq!(values(&load("truth.npy"), "features"), Values::Number(vec![Some(1.0), Some(0.0), Some(1.0)]));
    assert_eq!(values(&load("words.npy"), "features"), text(&[Some("cat"), Some("größer"), Some("")]));
}

#[test]
fn three_and_four_dimensions_are_images() {
    assert_eq!(load("gray.npy").image, Some([1, 2, 3]));
    let color = load("color_last.npy");
    assert_eq!(color.image, Some([3, 2, 2]));
    let Values::Vector { width, data } = values(&color, "features") else { panic!("not vectors") };
    assert_eq!((width, &data[..12]), (12, &[0.0, 3.0, 6.0, 9.0, 1.0, 4.0, 7.0, 10.0, 2.0, 5.0, 8.0, 11.0][..]));
}

#[test]
fn an_archive_has_a_column_for_each_array() {
    let data = load("two.npz");
    assert_eq!(data.columns(), ["x", "y"]);
    assert_eq!(values(&data, "x"), Values::Vector { width: 2, data: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0] });
    assert_eq!(values(&data, "y"), Values::Number(vec![Some(1.0), Some(0.0), Some(1.0)]));
}

#[test]
fn parquet_types_become_numbers_text_and_vectors() {
    let data = load("types.parquet");
    assert_eq!(values(&data, "whole"), Values::Number(vec![Some(1.0), None, Some(3.0)]));
    assert_eq!(values(&data, "truth"), Values::Number(vec![Some(1.0), Some(0.0), None]));
    assert_eq!(values(&data, "price"), Values::Number(vec![Some(1.0), Some(2.0), Some(3.0)]));
    assert_eq!(values(&data, "word"), text(&[Some("a"), None, Some("c")]));
    assert_eq!(values(&data, "kind"), text(&[Some("red"), Some("blue"), Some("red")]));
    assert_eq!(values(&data, "list"), Values::Vector { width: 2, data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] });
}

#[rstest]
#[case("ragged", "column `ragged`: holds 2 numbers in row 2, and 1 in rows before it")]
#[case("day", "column `day`: holds dates, expected numbers, text or lists of numbers of one length")]
#[case("fixed", "column `fixed` has no value in row 2")]
fn parquet_columns_that_cannot_be_used_are_refused_on_use(#[case] column: &str, #[case] message: &str) {
    assert_eq!(try_values(&load("types.parquet"), column).unwrap_err().to_string(), message);
}

#[test]
fn a_missing_vector_does_not_hide_the_others() {
    let data = load("types.parquet");
    let table = data.table(&["fixed".to_owned()], &[2, 0]).unwrap();
    assert_eq!(table.columns[0].values, Values::Vector { width: 2, data: vec![5.0, 6.0, 1.0, 2.0] });
}

#[test]
fn parquet_row_groups_are_joined() {
    let data = load("groups.parquet");
    assert_eq!(values(&data, "whole"), Values::Number(vec![Some(1.0), None, Some(3.0)]));
}

/// Every file cut at many places is an error, never a crash; and so is every file with a byte changed, or it is read.
#[rstest]
#[case("c_order.npy")]
#[case("words.npy")]
#[case("two.npz")]
#[case("types.parquet")]
#[case("groups.parquet")]
fn damaged_files_are_refused(#[case] name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let bytes = std::fs::read(fixture(name)).unwrap();
    for end in (0..bytes.len()).step_by(7) {
        std::fs::write(&path, &bytes[..end]).unwrap();
        assert!(read(&path, &ReadOptions::default()).is_err(), "{name} cut at {end}");
    }
    for at in (0..bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xFF;
        std::fs::write(&path, &damaged).unwrap();
        // What comes back does not matter, only that something does.
        let _ = read(&path, &ReadOptions::default());
    }
}

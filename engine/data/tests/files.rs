//! Text and IDX files, labels files, packed files and endings, through the public reader.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use paring_data::read::{ReadOptions, read};
use paring_data::{DataError, Dataset};
use paring_model::Values;
use rstest::rstest;
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn idx(code: u8, dimensions: &[u32], data: &[u8]) -> Vec<u8> {
    let header = [0, 0, code, dimensions.len() as u8];
    let dimensions = dimensions.iter().flat_map(|dimension| dimension.to_be_bytes());
    header.into_iter().chain(dimensions).chain(data.iter().copied()).collect()
}

fn values(data: &Dataset, column: &str) -> Values {
    let rows: Vec<usize> = (0..data.rows()).collect();
    data.table(&[column.to_owned()], &rows).unwrap().columns.remove(0).values
}

fn message(path: &Path, options: &ReadOptions) -> String {
    let message = read(path, options).unwrap_err().to_string();
    message.replace(&format!("{}/", path.parent().unwrap().display()), "")
}

#[test]
fn images_and_labels_of_idx_files_are_joined() {
    let folder = Folder::new();
    let images = folder.put("t-images-idx3-ubyte.gz", &gz(&idx(8, &[2, 1, 2], &[1, 2, 3, 4])));
    let labels = folder.put("t-labels-idx1-ubyte.gz", &gz(&idx(8, &[2], &[7, 9])));
    let data = read(&images, &ReadOptions { labels: Some(labels), ..ReadOptions::default() }).unwrap();
    assert_eq!(data.columns(), ["features", "label"]);
    assert_eq!(data.image, Some([1, 1, 2]));
    assert_eq!(values(&data, "label"), Values::Number(vec![Some(7.0), Some(9.0)]));
    assert_eq!(data.paths.len(), 2);
}

#[test]
fn labels_of_another_length_or_width_are_refused() {
    let folder = Folder::new();
    let images = folder.put("images.idx", &idx(8, &[2, 2], &[1, 2, 3, 4]));
    let short = ReadOptions { labels: Some(folder.put("short.idx", &idx(8, &[1], &[7]))), ..ReadOptions::default() };
    let found = read(&images, &short).unwrap_err();
    assert!(matches!(found, DataError::RowCounts { found: 1, expected: 2, .. }), "{found}");
    let wide = ReadOptions { labels: Some(folder.put("wide.csv", b"a,b\n1,2\n3,4\n")), ..ReadOptions::default() };
    assert_eq!(
        read(&images, &wide).unwrap_err().to_string().rsplit(": ").next(),
        Some("has 2 columns, expected one column of labels")
    );
}

#[test]
fn packed_and_plain_files_hold_the_same() {
    let folder = Folder::new();
    let text = b"x\ty\n1\ta\n2\tb\n";
    let plain = read(&folder.put("t.tsv", text), &ReadOptions::default()).unwrap();
    let packed = read(&folder.put("t.tsv.gz", &gz(text)), &ReadOptions::default()).unwrap();
    assert_eq!(plain.batch, packed.batch);
    assert_ne!(plain.digest, packed.digest);
    assert_eq!(plain.digest, blake3::hash(text).to_hex().to_string());
}

#[test]
fn a_csv_with_its_own_delimiter_and_header_setting() {
    let folder = Folder::new();
    let path = folder.put("t.csv", b"1;2\n3;4\n");
    let options = ReadOptions { delimiter: Some(b';'), header: Some(true), ..ReadOptions::default() };
    let data = read(&path, &options).unwrap();
    assert_eq!(data.columns(), ["1", "2"]);
    assert_eq!(values(&data, "2"), Values::Number(vec![Some(4.0)]));
}

#[test]
fn json_lines_hold_vectors() {
    let folder = Folder::new();
    let path = folder.put("t.jsonl", b"{\"v\":[1,2],\"y\":\"a\"}\n{\"v\":[3,4],\"y\":\"b\"}\n");
    let data = read(&path, &ReadOptions::default()).unwrap();
    assert_eq!(values(&data, "v"), Values::Vector { width: 2, data: vec![1.0, 2.0, 3.0, 4.0] });
}

#[rstest]
#[case("t.csv", b"", "`t.csv` has no rows")]
#[case("t.csv", b"a,b\n", "`t.csv` has no rows")]
#[case("t.jsonl", b"\n\n", "`t.jsonl` has no rows")]
#[case("t.idx", b"\0\0\x08\x01\0\0\0\0", "`t.idx` has no rows")]
#[case("t.idx", b"\0\0\x08\x02\0\0\0\0\0\0\0\x05", "`t.idx` has no rows")]
#[case("t.csv", b"a,a\n1,2\n", "`t.csv` is not a valid CSV file: two columns are called `a`")]
#[case("t.csv", b"a,b\n1,2\n3\n", "`t.csv` is not a valid CSV file: row 2 (line 3) has 1 cell, expected 2")]
#[case("t.csv.gz", b"a,b\n1,2\n3,4\n", "`t.csv.gz` is not a valid gzip file: invalid gzip header")]
#[case("t.docx", b"a", "`t.docx` has an ending that names no data format")]
fn a_bad_file_is_named(#[case] name: &str, #[case] bytes: &[u8], #[case] expected: &str) {
    let folder = Folder::new();
    assert_eq!(message(&folder.put(name, bytes), &ReadOptions::default()), expected);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = Folder::new();
    let found = read(&folder.0.path().join("no.csv"), &ReadOptions::default()).unwrap_err();
    assert!(matches!(found, DataError::Io { .. }), "{found}");
}

#[test]
fn a_line_of_text_is_a_row_and_the_lines_are_the_file_again() {
    let folder = Folder::new();
    let text = "Call me Ishmael.\n\n  Some years ago\r\n";
    let data = read(&folder.put("t.txt", format!("\u{feff}{text}").as_bytes()), &ReadOptions::default()).unwrap();
    let Values::Text(lines) = values(&data, "text") else { panic!("text") };
    assert_eq!(lines.into_iter().map(Option::unwrap).collect::<Vec<_>>().join("\n"), text);
    let wrong = folder.put("w.txt", b"caf\xe9");
    assert_eq!(message(&wrong, &ReadOptions::default()), "`w.txt` is not a valid text file: byte 4 is not UTF-8");
}

//! Importance matrices: how large the inputs of layers are, as llama.cpp's tools write and read it.
//!
//! The form is that of GGUF files of the type `imatrix`: for each layer its sums of squares, `NAME.in_sum2`, and how many
//! rows they are of, `NAME.counts`. The older binary form is read too.

use std::collections::BTreeMap;

use super::header::Header;
use super::names;
use super::types::Type;
use super::write::{self, Listed, Value};
use crate::storage::Reader;

const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// How large the inputs of layers are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportanceMatrix {
    /// By llama.cpp's name of the layer's weight.
    layers: BTreeMap<String, Layer>,
}

#[derive(Debug, Clone, PartialEq)]
struct Layer {
    /// For each input the sum of its squares.
    sums: Vec<f32>,
    /// Rows that they are of.
    rows: f32,
}

impl ImportanceMatrix {
    /// Reads a file of either form.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let layers = if super::is_gguf(bytes) { of_gguf(bytes)? } else { of_binary(bytes)? };
        for (name, Layer { sums, rows }) in &layers {
            if let Some(sum) = sums.iter().find(|sum| !(sum.is_finite() && **sum >= 0.0)) {
                return Err(format!("`{name}` holds `{sum}`, expected sums of squares"));
            }
            if !(rows.is_finite() && *rows >= 0.0) {
                return Err(format!("`{name}` is of `{rows}` rows"));
            }
        }
        Ok(Self { layers })
    }

    /// Adds a layer whose weight has that name in Hugging Face's directories: sums of squares over some rows.
    pub fn add(&mut self, weight: &str, sums: Vec<f32>, rows: f32) {
        self.layers.insert(own(weight), Layer { sums, rows });
    }

    /// Whether it knows no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The mean square of each input of the layer whose weight has that name in Hugging Face's directories; none where
    /// the layer is not there or no row was seen.
    pub fn mean_squares(&self, weight: &str) -> Option<Vec<f32>> {
        let layer = self.layers.get(&own(weight)).or_else(|| self.layers.get(weight))?;
        (layer.rows > 0.0).then(|| layer.sums.iter().map(|sum| sum / layer.rows).collect())
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut listed = Vec::new();
        let mut content = Vec::new();
        for (name, Layer { sums, rows }) in &self.layers {
            for (ending, numbers) in [(COUNTS, std::slice::from_ref(rows)), (SUMS, sums)] {
                let shape = vec![1, numbers.len()];
                listed.push(Listed { name: format!("{name}{ending}"), shape, kind: Type::F32 });
                content.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
                content.resize(content.len().next_multiple_of(write::ALIGNMENT as usize), 0);
            }
        }
        let metadata = [
            ("general.type", Value::Text("imatrix".to_owned())),
            ("imatrix.datasets", Value::Texts(vec!["calibration rows".to_owned()])),
            // llama.cpp counts texts of one length, and here rows are counted: they are one text.
            ("imatrix.chunk_count", Value::Number(1)),
            ("imatrix.chunk_size", Value::Number(self.longest() as u32)),
        ];
        let mut bytes = write::head(&metadata.map(|(key, value)| (key.to_owned(), value)), &listed);
        bytes.extend(content);
        bytes
    }

    fn longest(&self) -> f32 {
        self.layers.values().fold(0.0, |most, layer| most.max(layer.rows))
    }
}

/// llama.cpp's name of a weight; its own where llama.cpp has none.
fn own(weight: &str) -> String {
    names::own("model.", weight).or_else(|| names::own("", weight)).unwrap_or_else(|| weight.to_owned())
}

fn of_gguf(bytes: &[u8]) -> Result<BTreeMap<String, Layer>, String> {
    let header = Header::parse(bytes)?;
    let numbers = |name: &str| -> Result<Option<(Vec<f32>, usize)>, String> {
        let Some(entry) = header.tensors.get(name) else { return Ok(None) };
        if entry.kind.name() != "F32" {
            return Err(format!("tensor `{name}` is of type `{}`, expected `F32`", entry.kind.name()));
        }
        let stored = bytes.get(entry.bytes.clone()).unwrap_or_default();
        let numbers = stored.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        Ok(Some((numbers.collect(), entry.shape.iter().rev().skip(1).product())))
    };
    let mut layers = BTreeMap::new();
    for name in header.tensors.keys().filter_map(|name| name.strip_suffix(SUMS)) {
        let sums = numbers(&format!("{name}{SUMS}"))?;
        let counts = numbers(&format!("{name}{COUNTS}"))?;
        let (Some((sums, matrices)), Some((counts, _))) = (sums, counts) else {
            return Err(format!("tensor `{name}{COUNTS}` is missing"));
        };
        // A layer of several experts is none that a model here has.
        if let (1, [rows]) = (matrices, counts.as_slice()) {
            layers.insert(name.to_owned(), Layer { sums, rows: *rows });
        }
    }
    if layers.is_empty() {
        return Err("it holds no importance matrix: no tensor's name ends with `.in_sum2`".to_owned());
    }
    Ok(layers)
}

/// The form that llama.cpp wrote before: for each layer its name, how many texts were seen, and the sums over them of the
/// mean squares.
fn of_binary(bytes: &[u8]) -> Result<BTreeMap<String, Layer>, String> {
    let mut reader = Reader::new(bytes);
    let mut layers = BTreeMap::new();
    let count = reader.i32()?;
    if count <= 0 {
        return Err("it is no importance matrix".to_owned());
    }
    for _ in 0..count {
        let length = u64::try_from(reader.i32()?).map_err(|_| "it is no importance matrix".to_owned())?;
        let name = std::str::from_utf8(reader.take(length)?).map_err(|_| "a layer's name is not UTF-8".to_owned())?;
        let rows = reader.i32()?;
        let inputs = u64::try_from(reader.i32()?).map_err(|_| format!("`{name}` has less than no inputs"))?;
        let sums = reader.take(inputs.saturating_mul(4))?.as_chunks::<4>().0;
        let sums = sums.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        layers.insert(name.to_owned(), Layer { sums, rows: rows as f32 });
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::ImportanceMatrix;

    fn matrix() -> ImportanceMatrix {
        let mut matrix = ImportanceMatrix::default();
        matrix.add("model.layers.3.mlp.down_proj.weight", vec![2.0, 8.0, 0.0], 4.0);
        matrix.add("encoder.layer.0.output.dense.weight", vec![5.0], 1.0);
        matrix
    }

    #[test]
    fn what_is_written_is_read_again() {
        let read = ImportanceMatrix::parse(&matrix().bytes()).unwrap();
        assert_eq!(read, matrix());
        assert_eq!(read.mean_squares("model.layers.3.mlp.down_proj.weight").unwrap(), [0.5, 2.0, 0.0]);
        assert_eq!(read.mean_squares("blk.3.ffn_down.weight").unwrap(), [0.5, 2.0, 0.0]);
        assert_eq!(read.mean_squares("encoder.layer.0.output.dense.weight").unwrap(), [5.0]);
        assert_eq!(read.mean_squares("model.layers.4.mlp.down_proj.weight"), None);
    }

    /// One layer `output.weight` of two inputs, seen in 4 texts: sums 4 and 10.
    fn binary() -> Vec<u8> {
        let numbers = |numbers: &[i32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let sums: Vec<u8> = [4.0_f32, 10.0].iter().flat_map(|sum| sum.to_le_bytes()).collect();
        [numbers(&[1, 13]), b"output.weight".to_vec(), numbers(&[4, 2]), sums, numbers(&[4, 0])].concat()
    }

    #[test]
    fn the_older_form_is_read() {
        let read = ImportanceMatrix::parse(&binary()).unwrap();
        assert_eq!(read.mean_squares("lm_head.weight").unwrap(), [1.0, 2.5]);
    }

    #[test]
    fn broken_files_are_refused() {
        let whole = matrix().bytes();
        for length in (0..whole.len() - 32).step_by(7) {
            assert!(ImportanceMatrix::parse(&whole[..length]).is_err(), "{length}");
        }
        // What follows the layers says where the rows come from.
        for length in 0..binary().len() - 8 {
            assert!(ImportanceMatrix::parse(&binary()[..length]).is_err(), "{length}");
        }
        let mut infinite = binary();
        infinite[29..33].copy_from_slice(&f32::INFINITY.to_le_bytes());
        let message = ImportanceMatrix::parse(&infinite).unwrap_err();
        assert_eq!(message, "`output.weight` holds `inf`, expected sums of squares");
        assert_eq!(ImportanceMatrix::parse(b"\0\0\0\0").unwrap_err(), "it is no importance matrix");
    }
}

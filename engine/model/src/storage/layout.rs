//! What a weights file holds, and in which order: one description for writing it and for predicting its size.

use safetensors::Dtype;
use serde_json::{Map, Value, json};

use super::header::dtype_of;
use crate::ggml::GgmlType;
use crate::outline::{Outline, WeightOutline};
use crate::quantized::config::{is_plain, layer_name};
use crate::quantized::packing::words;
use crate::quantized::{Granularity, InputForm, InputRange, WeightScheme};
use crate::sparse::SparseLayout;

/// What a stored tensor is to the weight it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Plain numbers.
    Dense,
    /// Integers packed into 32-bit words.
    Packed,
    /// Integers of 8 bits.
    Plain,
    /// Scales.
    Scale,
    /// Zero points.
    ZeroPoint,
    /// The float tensor's shape.
    Shape,
    /// The scale of the layer's input.
    InputScale,
    /// The zero point of the layer's input, shifted to be signed.
    InputZeroPoint,
    /// Blocks as ggml has them.
    Blocks,
    /// The numbers of a sparse matrix that are kept.
    Compressed(SparseLayout),
    /// A bit for each number of a sparse matrix.
    Bitmask(SparseLayout),
    /// Where the rows of a sparse matrix begin.
    RowOffsets,
    /// Rows and columns of a sparse matrix.
    SparseShape,
    /// A matrix of the inputs, not a weight.
    Input,
}

/// One tensor of a weights file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    /// Its name in the file.
    pub(crate) name: String,
    /// Number type.
    pub(crate) dtype: Dtype,
    /// Shape.
    pub(crate) shape: Vec<usize>,
    /// The weight it belongs to.
    pub(crate) weight: String,
    /// What it is to that weight.
    pub(crate) part: Part,
}

impl Stored {
    /// Its bytes.
    pub(crate) fn size(&self) -> u64 {
        let numbers = self.shape.iter().fold(1_u64, |product, &length| product.saturating_mul(length as u64));
        numbers.saturating_mul(self.dtype.bitsize() as u64).div_ceil(8)
    }
}

/// The tensors of a model's weights file, in the order of their bytes: wide number types first, so that every tensor is
/// aligned, then by name.
pub(crate) fn layout(outline: &Outline) -> Vec<Stored> {
    let weights = outline.weights.iter().flat_map(|(name, weight)| parts(name, weight));
    let inputs = outline.inputs.iter().flat_map(|inputs| inputs.tensors());
    let inputs = inputs.map(|(name, (shape, _))| stored(&name, name.clone(), Dtype::F32, shape, Part::Input));
    in_order(weights.chain(inputs).collect())
}

/// The order of bytes in a file.
pub(crate) fn in_order(mut all: Vec<Stored>) -> Vec<Stored> {
    all.sort_by(|one, other| other.dtype.cmp(&one.dtype).then_with(|| one.name.cmp(&other.name)));
    all
}

/// The bytes before the first tensor: length and text of the header.
pub(crate) fn header(layout: &[Stored]) -> Vec<u8> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({"format": "pt"}));
    let mut start = 0_u64;
    for tensor in layout {
        let end = start.saturating_add(tensor.size());
        let entry = json!({"dtype": tensor.dtype.to_string(), "shape": tensor.shape, "data_offsets": [start, end]});
        entries.insert(tensor.name.clone(), entry);
        start = end;
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes
}

/// The size of the file.
pub(crate) fn file_size(layout: &[Stored]) -> u64 {
    layout.iter().fold(header(layout).len() as u64, |sum, tensor| sum.saturating_add(tensor.size()))
}

/// The bytes of the weights among the tensors.
pub(crate) fn weight_bytes(layout: &[Stored]) -> u64 {
    layout.iter().filter(|tensor| tensor.part != Part::Input).fold(0, |sum, tensor| sum.saturating_add(tensor.size()))
}

/// The tensors that hold a weight.
pub(crate) fn parts(name: &str, weight: &WeightOutline) -> Vec<Stored> {
    match weight {
        WeightOutline::Dense { dtype, shape, .. } => {
            let dtype = dtype_of(dtype).unwrap_or(Dtype::F32);
            vec![stored(name, name.to_owned(), dtype, shape.clone(), Part::Dense)]
        }
        WeightOutline::Quantized { shape, scheme, activation } => quantized(name, shape, *scheme, *activation),
        WeightOutline::Blocks { shape, kind } => vec![blocks(name, shape, *kind)],
    }
}

/// The name of the weight whose packed integers have that name.
pub(crate) fn weight_of_packed(name: &str) -> Option<&str> {
    name.strip_suffix("_packed")
}

fn quantized(name: &str, shape: &[usize], scheme: WeightScheme, activation: Option<InputForm>) -> Vec<Stored> {
    let part = |suffix: &str, dtype, shape, part| stored(name, format!("{name}{suffix}"), dtype, shape, part);
    let outputs = shape.first().copied().unwrap_or(0);
    let inputs = shape.iter().skip(1).fold(1_usize, |product, &length| product.saturating_mul(length));
    let scales = scale_shape(scheme, outputs, inputs);
    let plain = is_plain((scheme, activation));
    let mut parts = match plain {
        true => vec![part("", Dtype::I8, shape.to_vec(), Part::Plain)],
        false => vec![
            part("_packed", Dtype::I32, vec![outputs, words(inputs, scheme.bits)], Part::Packed),
            part("_shape", Dtype::I64, vec![shape.len()], Part::Shape),
        ],
    };
    if !scheme.symmetric {
        parts.push(match (plain, scheme.granularity, scales.as_slice()) {
            (false, Granularity::Channel | Granularity::Group(_), &[outputs, groups]) => {
                part("_zero_point", Dtype::I32, vec![words(outputs, scheme.bits), groups], Part::ZeroPoint)
            }
            _ => part("_zero_point", Dtype::I8, scales.clone(), Part::ZeroPoint),
        });
    }
    parts.push(part("_scale", Dtype::F32, scales, Part::Scale));
    if let Some(InputForm { bits, range: InputRange::Fixed }) = activation {
        let layer = layer_name(name);
        let zero_point = if bits > 8 { Dtype::I16 } else { Dtype::I8 };
        parts.push(stored(name, format!("{layer}.input_scale"), Dtype::F32, vec![1], Part::InputScale));
        parts.push(stored(name, format!("{layer}.input_zero_point"), zero_point, vec![1], Part::InputZeroPoint));
    }
    parts
}

/// Rows of bytes.
fn blocks(name: &str, shape: &[usize], kind: GgmlType) -> Stored {
    let inputs = shape.iter().skip(1).fold(1_usize, |product, &length| product.saturating_mul(length));
    let row = kind.row_bytes(inputs).unwrap_or(0);
    stored(name, name.to_owned(), Dtype::U8, vec![shape.first().copied().unwrap_or(0), row], Part::Blocks)
}

fn scale_shape(scheme: WeightScheme, outputs: usize, inputs: usize) -> Vec<usize> {
    match scheme.granularity {
        Granularity::Tensor => vec![1],
        Granularity::Channel => vec![outputs, 1],
        Granularity::Group(size) => vec![outputs, inputs.div_ceil(size.max(1))],
    }
}

fn stored(weight: &str, name: String, dtype: Dtype, shape: Vec<usize>, part: Part) -> Stored {
    Stored { name, dtype, shape, weight: weight.to_owned(), part }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{file_size, header, layout};
    use crate::outline::{Outline, WeightOutline};
    use crate::quantized::{Granularity, WeightScheme};

    fn outline(weights: &[(&str, WeightOutline)]) -> Outline {
        let weights: BTreeMap<String, WeightOutline> =
            weights.iter().map(|(name, weight)| ((*name).to_owned(), weight.clone())).collect();
        Outline { config: None, weights, inputs: None, outputs: None, built: true }
    }

    #[test]
    fn headers_are_as_the_stock_writer_makes_them() {
        let dense = |dtype: &str, shape: &[usize]| WeightOutline::Dense {
            dtype: dtype.to_owned(),
            shape: shape.to_vec(),
            masked: false,
        };
        // Names of every length modulo 8, so that the padding is seen.
        for length in 1..=8 {
            let name = format!("a\\\"{}", "b".repeat(length));
            let weights = [(name.as_str(), dense("U8", &[3])), ("z", dense("F32", &[2, 1])), ("c", dense("F32", &[]))];
            let layout = layout(&outline(&weights));
            let zeros = [0_u8; 8];
            let views = layout.iter().map(|stored| {
                let data = &zeros[..stored.size() as usize];
                (&stored.name, safetensors::tensor::TensorView::new(stored.dtype, stored.shape.clone(), data).unwrap())
            });
            let notes = [("format".to_owned(), "pt".to_owned())].into();
            let stock = safetensors::serialize(views, Some(notes)).unwrap();
            let header = header(&layout);
            assert_eq!(&stock[..header.len()], header.as_slice());
            assert_eq!(file_size(&layout), stock.len() as u64);
        }
    }

    /// 3 bits, groups of 4, with zero points: 3 x 8 values.
    #[test]
    fn quantized_weights_have_the_parts_of_compressed_tensors() {
        let scheme = WeightScheme { bits: 3, symmetric: false, granularity: Granularity::Group(4) };
        let weight = WeightOutline::Quantized { shape: vec![3, 8], scheme, activation: None };
        let layout = layout(&outline(&[("head.weight", weight)]));
        let found: Vec<(&str, String, &[usize])> =
            layout.iter().map(|part| (part.name.as_str(), part.dtype.to_string(), part.shape.as_slice())).collect();
        let expected: [(&str, String, &[usize]); 4] = [
            ("head.weight_shape", "I64".to_owned(), &[2]),
            ("head.weight_scale", "F32".to_owned(), &[3, 2]),
            ("head.weight_packed", "I32".to_owned(), &[3, 1]),
            ("head.weight_zero_point", "I32".to_owned(), &[1, 2]),
        ];
        assert_eq!(found, expected);
    }
}

//! Masked matrices without their zeros, in a model's file.

use std::borrow::Cow;
use std::sync::Arc;

use safetensors::Dtype;
use serde_json::{Value, json};

use super::entry::{Entry, FileWeight};
use super::open::{Tensors, Weights};
use super::{Checkpoint, Weight};
use crate::error::{ModelError, Result};
use crate::quantized::config::layer_name;
use crate::sparse::{SparseLayout, bitmask, compressed, dense, masked, row_offsets};
use crate::storage::{Decoder, FileTensor, Part, Stored, in_order, little_endian};

/// Puts sparse tensors in the place of masked matrices in a file's layout, and gives what config.json says of them.
///
/// # Errors
/// When the model cannot be stored so.
pub(super) fn replace(model: &Checkpoint, layout: &mut Vec<Stored>, sparse: SparseLayout) -> Result<Value> {
    if let Some(refusal) = sparse.refusals(&model.outline()).into_iter().next() {
        return Err(ModelError::Unsupported(refusal.reason));
    }
    let (mut names, mut numbers, mut zeros) = (Vec::new(), 0, 0);
    for (name, _) in masked(&model.outline()) {
        let Some(at) = layout.iter().position(|stored| stored.weight == *name) else { continue };
        let found = layout.swap_remove(at);
        let kept = Matrix::read(model, name, sparse)?.kept.iter().filter(|kept| **kept).count();
        numbers += found.shape.iter().product::<usize>();
        zeros += found.shape.iter().product::<usize>() - kept;
        layout.extend(parts(&found, kept, sparse));
        names.push(layer_name(name).to_owned());
    }
    *layout = in_order(std::mem::take(layout));
    let structure = if sparse == SparseLayout::Bitmask24 { "2:4" } else { "unstructured" };
    Ok(json!({
        "quant_method": "compressed-tensors",
        "sparsity_config": {
            "format": sparse.name(),
            "global_sparsity": zeros as f64 / numbers.max(1) as f64,
            "ignore": [],
            "registry_requires_subclass": false,
            "sparsity_structure": structure,
            "targets": names,
        },
    }))
}

/// The tensors that hold a matrix of which so many numbers are kept.
fn parts(found: &Stored, kept: usize, sparse: SparseLayout) -> Vec<Stored> {
    let layer = layer_name(&found.weight);
    let (rows, columns) = (found.shape.first().copied().unwrap_or(0), found.shape.get(1).copied().unwrap_or(0));
    let part = |suffix: &str, dtype, shape, part| {
        let (name, weight) = (format!("{layer}.{suffix}"), found.weight.clone());
        Stored { name, dtype, shape, weight, part }
    };
    let (numbers, shape) = match sparse {
        SparseLayout::Bitmask => (vec![kept], vec![2]),
        SparseLayout::Bitmask24 => (vec![rows, columns / 2], vec![2, 1]),
    };
    let mut parts = vec![
        part("compressed", found.dtype, numbers, Part::Compressed(sparse)),
        part("bitmask", Dtype::U8, vec![rows, columns.div_ceil(8)], Part::Bitmask(sparse)),
        part("shape", Dtype::I64, shape, Part::SparseShape),
    ];
    if sparse == SparseLayout::Bitmask {
        parts.push(part("row_offsets", Dtype::I64, vec![rows], Part::RowOffsets));
    }
    parts
}

/// The bytes of a part of a sparse matrix; `None` where it is none.
///
/// # Errors
/// When the matrix cannot be read.
pub(super) fn bytes(model: &Checkpoint, stored: &Stored) -> Result<Option<Vec<u8>>> {
    let sparse = match stored.part {
        Part::Compressed(sparse) | Part::Bitmask(sparse) => sparse,
        Part::RowOffsets | Part::SparseShape => SparseLayout::Bitmask,
        _ => return Ok(None),
    };
    let matrix = Matrix::read(model, &stored.weight, sparse)?;
    Ok(Some(match stored.part {
        Part::Compressed(_) => compressed(&matrix.bytes, matrix.width, &matrix.kept),
        Part::Bitmask(_) => bitmask(&matrix.kept, matrix.columns),
        Part::RowOffsets => little_endian(&row_offsets(&matrix.kept, matrix.columns), i64::to_le_bytes),
        _ => [matrix.rows, matrix.columns].iter().flat_map(|&length| (length as i64).to_le_bytes()).collect(),
    }))
}

/// A matrix of the model, as it is stored dense.
struct Matrix {
    bytes: Vec<u8>,
    width: usize,
    rows: usize,
    columns: usize,
    kept: Vec<bool>,
}

impl Matrix {
    fn read(model: &Checkpoint, name: &str, sparse: SparseLayout) -> Result<Self> {
        let Weight::Dense { tensor, .. } = model.weight(name)? else {
            return Err(ModelError::Quantized { name: name.to_owned() });
        };
        let (rows, columns) = tensor.dims2()?;
        let width = tensor.dtype().size_in_bytes();
        let bytes = super::entry::bytes(&tensor)?;
        let wrong =
            |reason| ModelError::Unsupported(format!("`{}` cannot hold tensor `{name}`: {reason}", sparse.name()));
        let kept = sparse.kept(&bytes, width, columns).map_err(wrong)?;
        Ok(Self { bytes, width, rows, columns, kept })
    }
}

/// The sparse matrices that `quantization_config` speaks of, taken out of the tensors. Their zeros are masks.
///
/// # Errors
/// Says which tensors do not fit together.
pub(super) fn take(quantization: Option<&Value>, tensors: &mut Tensors) -> Result<Weights, String> {
    let format = quantization.and_then(|config| config.pointer("/sparsity_config/format")?.as_str());
    let Some(sparse) = format.and_then(SparseLayout::named) else { return Ok(Weights::new()) };
    let floats = |tensor: &FileTensor| [Dtype::F32, Dtype::F16, Dtype::BF16].contains(&tensor.dtype());
    let layers = tensors.iter().filter_map(|(name, tensor)| Some((name.strip_suffix(".compressed")?, tensor)));
    let layers: Vec<String> = layers.filter(|(_, tensor)| floats(tensor)).map(|(layer, _)| layer.to_owned()).collect();
    layers.into_iter().map(|layer| Ok((format!("{layer}.weight"), matrix(&layer, sparse, tensors)?))).collect()
}

/// A matrix, its parts taken out of the tensors.
fn matrix(layer: &str, sparse: SparseLayout, tensors: &mut Tensors) -> Result<Entry, String> {
    let mut part = |suffix: &str| {
        let name = format!("{layer}.{suffix}");
        tensors.remove(&name).ok_or_else(|| format!("tensor `{name}` is missing"))
    };
    let (values, bits, shape) = (part("compressed")?, part("bitmask")?, part("shape")?);
    let row_offsets = if sparse == SparseLayout::Bitmask { Some(part("row_offsets")?) } else { None };
    let wrong_shape = || format!("tensor `{layer}.shape` does not hold the rows and columns of a matrix");
    let found = shape.bytes().map_err(|error| error.to_string())?;
    let lengths = found.as_chunks().0.iter().map(|&length| usize::try_from(i64::from_le_bytes(length)).ok());
    let (rows, columns) = match lengths.collect::<Option<Vec<_>>>().as_deref() {
        Some(&[rows, columns]) if shape.dtype() == Dtype::I64 => (rows, columns),
        _ => return Err(wrong_shape()),
    };
    // The bits lie in the file, so the shape cannot stand for more than there are.
    expect(&bits, &format!("{layer}.bitmask"), Dtype::U8, &[rows, columns.div_ceil(8)])?;
    let numbers = rows.checked_mul(columns).ok_or_else(wrong_shape)?;
    match sparse {
        SparseLayout::Bitmask24 if !columns.is_multiple_of(4) => return Err(wrong_shape()),
        SparseLayout::Bitmask24 => {
            expect(&values, &format!("{layer}.compressed"), values.dtype(), &[rows, columns / 2])?;
        }
        SparseLayout::Bitmask => {
            let kept = values.shape().iter().product::<usize>().min(numbers);
            expect(&values, &format!("{layer}.compressed"), values.dtype(), &[kept])?;
        }
    }
    if let Some(row_offsets) = &row_offsets {
        expect(row_offsets, &format!("{layer}.row_offsets"), Dtype::I64, &[rows])?;
    }
    let decoder = Sparse { layer: layer.to_owned(), values: values.clone(), bits, row_offsets, columns };
    let mut weight = Entry::File(FileWeight::dense(values.decoded(vec![rows, columns], Arc::new(decoder))));
    weight.set_masked(true);
    Ok(weight)
}

fn expect(tensor: &FileTensor, name: &str, dtype: Dtype, shape: &[usize]) -> Result<(), String> {
    if (tensor.dtype(), tensor.shape()) == (dtype, shape) {
        return Ok(());
    }
    let (found, lengths) = (tensor.dtype(), tensor.shape());
    Err(format!("tensor `{name}` has type `{found}` and shape {lengths:?}, expected `{dtype}` and {shape:?}"))
}

/// Puts the zeros back.
#[derive(Debug)]
struct Sparse {
    layer: String,
    values: FileTensor,
    bits: FileTensor,
    row_offsets: Option<FileTensor>,
    columns: usize,
}

impl Decoder for Sparse {
    fn decode(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        let bytes = |tensor: &FileTensor| tensor.bytes().map(Cow::into_owned).map_err(|error| error.to_string());
        let integers =
            |bytes: Vec<u8>| bytes.as_chunks().0.iter().map(|&it| i64::from_le_bytes(it)).collect::<Vec<_>>();
        let row_offsets = self.row_offsets.as_ref().map(|tensor| bytes(tensor).map(integers)).transpose()?;
        let width = self.values.dtype().bitsize() / 8;
        let (values, bits) = (bytes(&self.values)?, bytes(&self.bits)?);
        let dense = dense((&values, width), (&bits, self.columns), row_offsets.as_deref());
        dense.map_err(|reason| format!("tensor `{}.bitmask`: {reason}", self.layer))
    }

    fn stored_type(&self) -> Option<String> {
        None
    }
}

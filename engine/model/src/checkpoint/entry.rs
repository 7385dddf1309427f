//! One weight of a checkpoint, in memory or still in its file.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, View};

use super::Weight;
use crate::error::{ModelError, Result};
use crate::ggml::{BlockWeight, GgmlType};
use crate::outline::WeightOutline;
use crate::parts::AT_ONCE;
use crate::quantized::packing::{pack, transposed, unpack, words};
use crate::quantized::{ActivationScheme, FixedInput, InputForm, InputRange, QuantizedWeight, WeightScheme};
use crate::storage::{FileTensor, Part, Stored, little_endian, parts};

/// One weight.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    /// In memory.
    Memory(Weight),
    /// In its file, checked against its header only.
    File(FileWeight),
}

/// A weight that was not read yet.
#[derive(Debug, Clone)]
pub(super) struct FileWeight {
    outline: WeightOutline,
    parts: BTreeMap<Part, FileTensor>,
}

impl FileWeight {
    /// A plain tensor.
    pub(super) fn dense(tensor: FileTensor) -> Self {
        let outline =
            WeightOutline::Dense { dtype: tensor.dtype().to_string(), shape: tensor.shape().to_vec(), masked: false };
        Self { outline, parts: [(Part::Dense, tensor)].into() }
    }

    /// A quantized weight, its parts taken out of `tensors`; the reason why when one is missing or has another form.
    pub(super) fn quantized(
        name: &str,
        outline: WeightOutline,
        tensors: &mut BTreeMap<String, FileTensor>,
    ) -> std::result::Result<Self, String> {
        let expected = parts(name, &outline);
        for part in &expected {
            let found = tensors.get(&part.name).ok_or_else(|| format!("tensor `{}` is missing", part.name))?;
            if (found.dtype(), found.shape()) != (part.dtype, part.shape.as_slice()) {
                return Err(format!(
                    "tensor `{}` has type `{}` and shape {:?}, expected `{}` and {:?}",
                    part.name,
                    found.dtype(),
                    found.shape(),
                    part.dtype,
                    part.shape
                ));
            }
        }
        let take = |part: &Stored| Some((part.part, tensors.remove(&part.name)?));
        let parts = expected.iter().filter_map(take).collect();
        Ok(Self { outline, parts })
    }

    /// A weight in blocks, its bytes taken out of `tensors`; the reason why when they are missing or of another size.
    pub(super) fn blocks(
        name: &str,
        (kind, shape): (GgmlType, Vec<usize>),
        tensors: &mut BTreeMap<String, FileTensor>,
    ) -> std::result::Result<Self, String> {
        kind.size(&shape).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
        Self::quantized(name, WeightOutline::Blocks { shape, kind }, tensors)
    }

    fn weight(&self, name: &str) -> Result<Weight> {
        let weight = self.copied(name);
        self.parts.values().for_each(FileTensor::release);
        weight
    }

    fn copied(&self, name: &str) -> Result<Weight> {
        match &self.outline {
            WeightOutline::Dense { masked, .. } => {
                Ok(Weight::Dense { tensor: self.part(name, Part::Dense)?.tensor(name)?, masked: *masked })
            }
            WeightOutline::Quantized { shape, scheme, activation } => {
                self.read(name, shape, *scheme, *activation).map(Weight::Quantized)
            }
            WeightOutline::Blocks { shape, kind } => {
                let bytes = self.part(name, Part::Blocks)?.bytes()?.as_ref().into();
                Ok(Weight::Blocks(BlockWeight { shape: shape.clone(), kind: *kind, bytes }))
            }
        }
    }

    fn read(
        &self,
        name: &str,
        shape: &[usize],
        scheme: WeightScheme,
        activation: Option<InputForm>,
    ) -> Result<QuantizedWeight> {
        let inputs: usize = shape.iter().skip(1).product();
        let values = match self.parts.get(&Part::Packed) {
            Some(packed) => unpack(&integers(&packed.bytes()?), inputs, scheme.bits),
            None => signed_bytes(&self.part(name, Part::Plain)?.bytes()?),
        };
        let scales = floats(&self.part(name, Part::Scale)?.bytes()?);
        let weight = QuantizedWeight {
            shape: shape.to_vec(),
            scheme,
            values,
            scales,
            zero_points: self.zero_points(shape, scheme)?,
            activation: activation.map(|form| self.activation(name, form)).transpose()?,
        };
        weight.check().map_err(|reason| self.malformed(name, &reason))?;
        Ok(weight)
    }

    fn zero_points(&self, shape: &[usize], scheme: WeightScheme) -> Result<Vec<i8>> {
        let Some(stored) = self.parts.get(&Part::ZeroPoint) else { return Ok(Vec::new()) };
        let bytes = stored.bytes()?;
        if stored.dtype() == Dtype::I8 {
            return Ok(signed_bytes(&bytes));
        }
        let outputs = shape.first().copied().unwrap_or(0);
        let columns = transposed(&integers(&bytes), stored.shape().last().copied().unwrap_or(1));
        Ok(transposed(&unpack(&columns, outputs, scheme.bits), outputs))
    }

    fn activation(&self, name: &str, form: InputForm) -> Result<ActivationScheme> {
        let bits = form.bits;
        if form.range == InputRange::ByRow {
            return Ok(ActivationScheme::ByRow { bits });
        }
        let scale = floats(&self.part(name, Part::InputScale)?.bytes()?).first().copied().unwrap_or(0.0);
        let zero_point = match *self.part(name, Part::InputZeroPoint)?.bytes()? {
            [one] => i16::from(one as i8),
            [low, high] => i16::from_le_bytes([low, high]),
            _ => 0,
        };
        Ok(ActivationScheme::Fixed(FixedInput::from_signed(bits, scale, zero_point)))
    }

    fn part(&self, name: &str, part: Part) -> Result<&FileTensor> {
        self.parts.get(&part).ok_or_else(|| ModelError::MissingTensor { name: name.to_owned() })
    }

    fn malformed(&self, name: &str, reason: &str) -> ModelError {
        let path = self.parts.values().next().map(|tensor| tensor.path().to_owned()).unwrap_or_default();
        ModelError::Malformed { path, format: "safetensors", reason: format!("tensor `{name}`: {reason}") }
    }
}

impl Entry {
    /// Shape and storage.
    pub(super) fn outline(&self) -> WeightOutline {
        match self {
            Entry::File(weight) => weight.outline.clone(),
            Entry::Memory(Weight::Dense { tensor, masked }) => WeightOutline::Dense {
                dtype: Dtype::from(tensor.dtype()).to_string(),
                shape: tensor.dims().to_vec(),
                masked: *masked,
            },
            Entry::Memory(Weight::Quantized(weight)) => WeightOutline::Quantized {
                shape: weight.shape.clone(),
                scheme: weight.scheme,
                activation: weight.activation.map(ActivationScheme::form),
            },
            Entry::Memory(Weight::Blocks(weight)) => {
                WeightOutline::Blocks { shape: weight.shape.clone(), kind: weight.kind }
            }
        }
    }

    /// The weight, read now if it was not.
    pub(super) fn weight(&self, name: &str) -> Result<Weight> {
        match self {
            Entry::Memory(weight) => Ok(weight.clone()),
            Entry::File(weight) => weight.weight(name),
        }
    }

    /// The numbers of a float weight, in f32.
    pub(super) fn floats(&self, name: &str) -> Result<Vec<f32>> {
        match self {
            Entry::Memory(Weight::Dense { tensor, .. }) => numbers(tensor),
            Entry::File(weight) if matches!(weight.outline, WeightOutline::Dense { .. }) => {
                weight.part(name, Part::Dense)?.floats(name)
            }
            _ => Err(ModelError::Quantized { name: name.to_owned() }),
        }
    }

    /// Shows the numbers that the weight stands for, in f32 and row-major, some at a time.
    pub(super) fn in_parts(&self, name: &str, see: &mut dyn FnMut(&[f32])) -> Result<()> {
        if let Entry::File(weight) = self
            && matches!(weight.outline, WeightOutline::Dense { .. })
        {
            return weight.part(name, Part::Dense)?.floats_in_parts(name, see);
        }
        match self.weight(name)? {
            Weight::Dense { tensor, .. } => {
                let flat = tensor.flatten_all()?;
                for start in (0..flat.elem_count()).step_by(AT_ONCE) {
                    see(&numbers(&flat.narrow(0, start, AT_ONCE.min(flat.elem_count() - start))?)?);
                }
            }
            Weight::Quantized(weight) => weight.in_parts(see),
            Weight::Blocks(weight) => weight.in_parts(see)?,
        }
        Ok(())
    }

    /// The type in its file, where safetensors files have none such.
    pub(super) fn stored_type(&self) -> Option<String> {
        match self {
            Entry::File(weight) => weight.parts.get(&Part::Dense).and_then(FileTensor::stored_type),
            Entry::Memory(_) => None,
        }
    }

    /// Whether its zeros are a mask.
    pub(super) fn is_masked(&self) -> bool {
        match self {
            Entry::Memory(Weight::Dense { masked, .. }) => *masked,
            Entry::File(weight) => matches!(weight.outline, WeightOutline::Dense { masked: true, .. }),
            Entry::Memory(Weight::Quantized(_) | Weight::Blocks(_)) => false,
        }
    }

    /// Sets the mask flag; `false` when the weight is quantized and can have none.
    pub(super) fn set_masked(&mut self, value: bool) -> bool {
        match self {
            Entry::Memory(Weight::Dense { masked, .. })
            | Entry::File(FileWeight { outline: WeightOutline::Dense { masked, .. }, .. }) => {
                *masked = value;
                true
            }
            _ => false,
        }
    }

    /// Whether both are surely the same numbers, without reading them.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Entry::File(one), Entry::File(other)) => {
                let mut pairs = one.parts.values().zip(other.parts.values());
                one.outline == other.outline && pairs.all(|(one, other)| one.is(other))
            }
            (
                Entry::Memory(Weight::Dense { tensor: one, masked }),
                Entry::Memory(Weight::Dense { tensor: other, masked: other_masked }),
            ) => one.id() == other.id() && masked == other_masked && !one.is_variable(),
            (Entry::Memory(Weight::Blocks(one)), Entry::Memory(Weight::Blocks(other))) => {
                (&one.shape, one.kind) == (&other.shape, other.kind) && Arc::ptr_eq(&one.bytes, &other.bytes)
            }
            _ => false,
        }
    }

    /// Writes the bytes of one of its parts.
    pub(super) fn write(&self, stored: &Stored, out: &mut dyn Write) -> Result<std::io::Result<()>> {
        Ok(match self {
            Entry::File(weight) => {
                let mut written = Ok(());
                weight.part(&stored.weight, stored.part)?.bytes_in_parts(&mut |bytes| {
                    if written.is_ok() {
                        written = out.write_all(bytes);
                    }
                })?;
                written
            }
            Entry::Memory(Weight::Dense { tensor, .. }) => out.write_all(&bytes(tensor)?),
            Entry::Memory(Weight::Quantized(weight)) => out.write_all(&part_bytes(weight, stored)),
            Entry::Memory(Weight::Blocks(weight)) => out.write_all(&weight.bytes),
        })
    }
}

/// The numbers of a tensor, in f32.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

/// The numbers of a tensor, little-endian.
pub(super) fn bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
    Ok(match tensor.dtype() {
        DType::F32 => little_endian(&tensor.flatten_all()?.to_vec1()?, f32::to_le_bytes),
        _ => tensor.data().into_owned(),
    })
}

/// The bytes of a part of a quantized weight.
fn part_bytes(weight: &QuantizedWeight, stored: &Stored) -> Vec<u8> {
    let bits = weight.scheme.bits;
    match stored.part {
        Part::Packed => little_endian(&pack(&weight.values, weight.inputs(), bits), i32::to_le_bytes),
        Part::Plain => little_endian(&weight.values, i8::to_le_bytes),
        Part::Scale => little_endian(&weight.scales, f32::to_le_bytes),
        Part::ZeroPoint if stored.dtype == Dtype::I8 => little_endian(&weight.zero_points, i8::to_le_bytes),
        Part::ZeroPoint => {
            let outputs = weight.outputs();
            let groups = stored.shape.last().copied().unwrap_or(1);
            let packed = pack(&transposed(&weight.zero_points, groups), outputs, bits);
            little_endian(&transposed(&packed, words(outputs, bits)), i32::to_le_bytes)
        }
        Part::Shape => weight.shape.iter().flat_map(|&length| (length as i64).to_le_bytes()).collect(),
        Part::InputScale => fixed(weight).map(|input| input.scale.to_le_bytes().to_vec()).unwrap_or_default(),
        Part::InputZeroPoint => {
            let mut bytes =
                fixed(weight).map(|input| input.signed_zero_point().to_le_bytes().to_vec()).unwrap_or_default();
            bytes.truncate(stored.dtype.bitsize() / 8);
            bytes
        }
        Part::Dense
        | Part::Input
        | Part::Blocks
        | Part::Compressed(_)
        | Part::Bitmask(_)
        | Part::RowOffsets
        | Part::SparseShape => Vec::new(),
    }
}

fn fixed(weight: &QuantizedWeight) -> Option<FixedInput> {
    match weight.activation {
        Some(ActivationScheme::Fixed(fixed)) => Some(fixed),
        Some(ActivationScheme::ByRow { .. }) | None => None,
    }
}

/// 32-bit integers of their bytes.
pub(super) fn integers(bytes: &[u8]) -> Vec<i32> {
    bytes.as_chunks().0.iter().map(|&chunk| i32::from_le_bytes(chunk)).collect()
}

/// 32-bit floats of their bytes.
pub(super) fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect()
}

fn signed_bytes(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|&byte| byte as i8).collect()
}

#[cfg(test)]
mod tests;

//! From what a pickle stands for to tensors by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Found;
use super::value::{Id, Root, Value, View};
use crate::storage::{Decoder, FileTensor, Mapped, Place};

/// Keys under which training scripts save the weights, in the order in which they are looked for.
const NESTED: [&[u8]; 6] = [b"state_dict", b"model_state_dict", b"model", b"module", b"net", b"weights"];

/// The tensors of the dictionary that a pickle stands for, or of the one that holds the weights in it.
///
/// # Errors
/// When there is no such dictionary, or a tensor does not lie in its storage.
pub(super) fn of(file: &Arc<Mapped>, found: &Found<'_>) -> Result<BTreeMap<String, FileTensor>, String> {
    let items = weights(&found.root)?;
    let mut tensors = BTreeMap::new();
    for &(key, value) in items {
        let Value::Tensor(view) = found.root.get(value) else { continue };
        let name = name(&found.root, key)?;
        let tensor = tensor(file, found, view).map_err(|reason| format!("tensor `{name}`: {reason}"))?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The dictionary that holds tensors.
fn weights<'r>(root: &'r Root<'_>) -> Result<&'r [(Id, Id)], String> {
    let cure = "expected a dictionary of tensors, as `torch.save(model.state_dict(), path)` writes";
    let Value::Dict(items) = root.top() else { return Err(format!("it holds {}, {cure}", root.top().kind())) };
    if holds_tensors(root, items) {
        return Ok(items);
    }
    let nested = |wanted: &[u8]| {
        let dict = |&(key, value): &(Id, Id)| match (root.get(key), root.get(value)) {
            (Value::Text(key), Value::Dict(items)) if *key == wanted && holds_tensors(root, items) => Some(items),
            _ => None,
        };
        items.iter().rev().find_map(dict)
    };
    match NESTED.iter().find_map(|key| nested(key)) {
        Some(items) => Ok(items),
        None => Err(format!("it holds a dictionary without tensors, {cure}")),
    }
}

fn holds_tensors(root: &Root<'_>, items: &[(Id, Id)]) -> bool {
    items.iter().any(|&(_, value)| matches!(root.get(value), Value::Tensor(_)))
}

fn name(root: &Root<'_>, key: Id) -> Result<String, String> {
    let name = match root.get(key) {
        Value::Text(name) => std::str::from_utf8(name).ok(),
        _ => None,
    };
    name.map(str::to_owned).ok_or_else(|| "the name of a tensor is not a text".to_owned())
}

fn tensor(file: &Arc<Mapped>, found: &Found<'_>, view: &View<'_>) -> Result<FileTensor, String> {
    let width = (view.dtype.bitsize() / 8) as u64;
    let bytes = found.storages.get(view.storage.key).cloned().ok_or("its storage is missing")?;
    let told = view.storage.count.checked_mul(view.storage.width());
    if told != Some(bytes.len() as u64) {
        let count = view.storage.count;
        return Err(format!("its storage is said to have {count} numbers, but has {} bytes", bytes.len()));
    }
    // The numbers from its first to its last, counted in its storage.
    let first = view.offset.checked_add(view.storage.skip);
    let sizes = view.shape.iter().zip(&view.strides);
    let reach = sizes
        .clone()
        .try_fold(0_u64, |sum, (length, stride)| sum.checked_add(length.saturating_sub(1).checked_mul(*stride)?));
    let numbers = view.shape.iter().try_fold(1_u64, |product, &length| product.checked_mul(length));
    let (Some(first), Some(reach), Some(numbers)) = (first, reach, numbers) else {
        return Err(format!("its shape {:?} is too large", view.shape));
    };
    let count = if numbers == 0 { 0 } else { reach.saturating_add(1) };
    let end = first.checked_add(count).and_then(|end| end.checked_mul(width));
    let end = end.filter(|&end| end <= bytes.len() as u64 || numbers == 0);
    // A number that many places repeat could stand for any size.
    let small = numbers.checked_mul(width).is_some_and(|size| size <= file.bytes().len() as u64);
    let (Some(end), true) = (end, small) else {
        let shape = &view.shape;
        return Err(format!("its shape {shape:?} does not fit its storage of {} bytes", bytes.len()));
    };
    let place = if numbers == 0 { 0..0 } else { bytes.start + (first * width) as usize..bytes.start + end as usize };
    let shape: Vec<usize> = view.shape.iter().map(|&length| length as usize).collect();
    let strided = Strided { width: width as usize, shape: shape.clone(), strides: view.strides.clone() };
    let decoder: Option<Arc<dyn Decoder>> =
        if numbers == 0 || strided.is_plain() { None } else { Some(Arc::new(strided)) };
    Ok(FileTensor::new(file, Place { dtype: view.dtype, shape, bytes: place }, decoder))
}

/// Numbers that do not lie in row-major order.
#[derive(Debug)]
struct Strided {
    /// Bytes of a number.
    width: usize,
    shape: Vec<usize>,
    /// Numbers from one to the next along each dimension.
    strides: Vec<u64>,
}

impl Strided {
    fn is_plain(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&length, &stride)| {
            let plain = length == 1 || stride == expected;
            expected *= length as u64;
            plain
        })
    }
}

impl Decoder for Strided {
    fn decode(&self, stored: &[u8]) -> Result<Vec<u8>, String> {
        let count: usize = self.shape.iter().product();
        let mut numbers = Vec::with_capacity(count * self.width);
        for index in 0..count {
            let mut rest = index;
            let mut place = 0;
            for (&length, &stride) in self.shape.iter().zip(&self.strides).rev() {
                place += rest % length * stride as usize;
                rest /= length;
            }
            let number = stored.get(place * self.width..(place + 1) * self.width);
            numbers.extend_from_slice(number.ok_or("a number lies outside its storage")?);
        }
        Ok(numbers)
    }

    fn stored_type(&self) -> Option<String> {
        None
    }
}

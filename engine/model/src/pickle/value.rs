//! What a pickle builds. Values lie in one list and name each other by their place in it, so that a value may hold
//! itself and cost nothing more.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::globals::Global;

/// A value's place in the list.
pub(super) type Id = u32;

/// One value. Texts are those of the file.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    None,
    Int(i128),
    Text(&'a [u8]),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Box<Storage<'a>>),
    Tensor(Box<View<'a>>),
    /// Something that holds no weights: a truth value, a number with a point, a date, a namespace.
    Other,
}

/// Numbers that lie one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a> {
    /// The type of its numbers; `None` where each tensor says it.
    pub(super) dtype: Option<Dtype>,
    /// Its name in the file.
    pub(super) key: &'a [u8],
    /// How many numbers it has; bytes where it has no type.
    pub(super) count: u64,
    /// The first number of it that is meant, where that is not the first it has.
    pub(super) skip: u64,
}

impl Storage<'_> {
    /// Bytes of one of its numbers.
    pub(super) fn width(&self) -> u64 {
        self.dtype.map_or(1, |dtype| dtype.bitsize() as u64 / 8)
    }
}

/// A tensor: how it sees a storage.
#[derive(Debug, Clone)]
pub(super) struct View<'a> {
    pub(super) dtype: Dtype,
    pub(super) storage: Storage<'a>,
    pub(super) offset: u64,
    pub(super) shape: Vec<u64>,
    pub(super) strides: Vec<u64>,
}

/// All values, and the one that the pickle stands for.
#[derive(Debug)]
pub(super) struct Root<'a> {
    pub(super) values: Vec<Value<'a>>,
    pub(super) top: Id,
}

impl<'a> Root<'a> {
    pub(super) fn get(&self, id: Id) -> &Value<'a> {
        get(&self.values, id)
    }

    pub(super) fn top(&self) -> &Value<'a> {
        self.get(self.top)
    }

    /// The storages of the pickle, by key, with the bytes of one of their numbers.
    pub(super) fn storages(&self) -> BTreeMap<&'a [u8], u64> {
        let storage = |value: &Value<'a>| match value {
            Value::Storage(storage) => Some((storage.key, storage.width())),
            _ => None,
        };
        self.values.iter().filter_map(storage).collect()
    }
}

/// The value at a place; nothing where there is none.
pub(super) fn get<'v, 'a>(values: &'v [Value<'a>], id: Id) -> &'v Value<'a> {
    values.get(id as usize).unwrap_or(&Value::None)
}

impl Value<'_> {
    /// What messages call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::None => "nothing",
            Value::Int(_) => "a whole number",
            Value::Text(_) => "a text",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Dict(_) => "a dictionary",
            Value::Global(_) => "a class",
            Value::Storage(_) => "a storage",
            Value::Tensor(_) => "a tensor",
            Value::Other => "an object",
        }
    }

    /// How many values it was made with.
    pub(super) fn len(&self) -> usize {
        match self {
            Value::Tuple(items) | Value::List(items) => items.len(),
            Value::Dict(items) => items.len(),
            _ => 0,
        }
    }

    /// A whole number from 0.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }
}

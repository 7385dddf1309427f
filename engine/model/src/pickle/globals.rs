//! The classes and functions that a pickle may name, and what each makes of its arguments. A name that is not listed is
//! refused.

use safetensors::Dtype;

use super::value::{Id, Storage, Value, View, get};

/// A class or function of the list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    /// A dictionary.
    Dict,
    /// `_rebuild_tensor` and `_rebuild_tensor_v2`: storage, offset, shape, strides, ...
    Tensor,
    /// `_rebuild_tensor_v3`: as before, and the type of the numbers as seventh argument.
    TypedTensor,
    /// A parameter: its first argument.
    Parameter,
    /// A shape: a tuple of its first argument's.
    Size,
    /// A storage of numbers of that type, or of bytes.
    Storage(Option<Dtype>),
    /// A number type.
    Dtype(Dtype),
    /// Something without weights, which is not made.
    Other,
}

/// What a call gives.
pub(super) enum Call<'a> {
    /// A value that is there.
    Same(Id),
    /// Another.
    New(Value<'a>),
}

/// Storages by the name of their class, with the number type.
const STORAGES: [(&str, Dtype); 11] = [
    ("DoubleStorage", Dtype::F64),
    ("FloatStorage", Dtype::F32),
    ("HalfStorage", Dtype::F16),
    ("BFloat16Storage", Dtype::BF16),
    ("LongStorage", Dtype::I64),
    ("IntStorage", Dtype::I32),
    ("ShortStorage", Dtype::I16),
    ("CharStorage", Dtype::I8),
    ("ByteStorage", Dtype::U8),
    ("BoolStorage", Dtype::BOOL),
    ("ComplexFloatStorage", Dtype::C64),
];

/// Number types by their name in `torch`.
const DTYPES: [(&str, Dtype); 17] = [
    ("float64", Dtype::F64),
    ("float32", Dtype::F32),
    ("float16", Dtype::F16),
    ("bfloat16", Dtype::BF16),
    ("float8_e4m3fn", Dtype::F8_E4M3),
    ("float8_e5m2", Dtype::F8_E5M2),
    ("float8_e8m0fnu", Dtype::F8_E8M0),
    ("complex64", Dtype::C64),
    ("int64", Dtype::I64),
    ("int32", Dtype::I32),
    ("int16", Dtype::I16),
    ("int8", Dtype::I8),
    ("uint64", Dtype::U64),
    ("uint32", Dtype::U32),
    ("uint16", Dtype::U16),
    ("uint8", Dtype::U8),
    ("bool", Dtype::BOOL),
];

/// What training scripts save beside weights. Python 2 has other names for some.
const OTHERS: [(&str, &[&str]); 16] = [
    ("torch", &["device", "memory_format", "strided", "contiguous_format", "Generator"]),
    ("torch.torch_version", &["TorchVersion"]),
    ("torch.serialization", &["_get_layout"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("collections", &["Counter", "deque"]),
    (
        "builtins",
        &["set", "frozenset", "bytearray", "complex", "slice", "range", "int", "float", "str", "bool", "bytes"],
    ),
    ("__builtin__", &["set", "frozenset", "bytearray", "complex", "slice", "xrange", "int", "float", "str", "bool"]),
    ("copy_reg", &["_reconstructor"]),
    ("copyreg", &["_reconstructor"]),
    ("_codecs", &["encode"]),
    ("datetime", &["datetime", "date", "timedelta", "timezone"]),
    ("pathlib", &["Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
];

impl Global {
    /// Looks a name up.
    ///
    /// # Errors
    /// When it is not listed.
    pub(super) fn find(module: &[u8], name: &[u8]) -> Result<Self, String> {
        let found = std::str::from_utf8(module).ok().zip(std::str::from_utf8(name).ok());
        let found = found.and_then(|(module, name)| known(module, name));
        found.ok_or_else(|| {
            let name = format!("{}.{}", shown(module), shown(name));
            format!(
                "it names `{name}`, which weights are not read from; nothing of it was run; save the weights alone: \
                 `torch.save(model.state_dict(), path)`"
            )
        })
    }

    /// What it makes of its arguments.
    pub(super) fn call<'a>(self, values: &[Value<'a>], arguments: &[Id]) -> Result<Call<'a>, String> {
        Ok(match (self, arguments) {
            (Global::Dict, [pairs]) => Call::New(Value::Dict(dict(values, *pairs)?)),
            (Global::Dict, _) => Call::New(Value::Dict(Vec::new())),
            (Global::Parameter, [first, ..]) => Call::Same(*first),
            (Global::Size, [first]) => match get(values, *first) {
                Value::Tuple(items) | Value::List(items) => Call::New(Value::Tuple(items.clone())),
                other => return Err(format!("{} stands for a shape", other.kind())),
            },
            (Global::Tensor, _) => Call::New(Value::Tensor(Box::new(view(values, arguments, None)?))),
            (Global::TypedTensor, [_, _, _, _, _, _, dtype, ..]) => {
                let Value::Global(Global::Dtype(dtype)) = *get(values, *dtype) else {
                    return Err(format!("{} stands for the type of numbers", get(values, *dtype).kind()));
                };
                Call::New(Value::Tensor(Box::new(view(values, arguments, Some(dtype))?)))
            }
            (Global::Other | Global::Dtype(_), _) => Call::New(Value::Other),
            (Global::Parameter | Global::Size | Global::TypedTensor | Global::Storage(_), _) => {
                return Err(format!("a class is called with {} values, which do not fit it", arguments.len()));
            }
        })
    }
}

fn known(module: &str, name: &str) -> Option<Global> {
    let of = |list: &[(&str, Dtype)]| list.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype);
    match (module, name) {
        ("collections", "OrderedDict" | "defaultdict") | ("builtins" | "__builtin__", "dict") => Some(Global::Dict),
        ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Some(Global::Tensor),
        ("torch._utils", "_rebuild_tensor_v3") => Some(Global::TypedTensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Some(Global::Parameter),
        ("torch", "Size") => Some(Global::Size),
        ("torch.storage" | "torch", "UntypedStorage") => Some(Global::Storage(None)),
        ("torch" | "torch.cuda", _) if name.ends_with("Storage") => Some(Global::Storage(Some(of(&STORAGES)?))),
        ("torch", _) if of(&DTYPES).is_some() => of(&DTYPES).map(Global::Dtype),
        _ => OTHERS.iter().any(|(other, names)| *other == module && names.contains(&name)).then_some(Global::Other),
    }
}

/// The items of a dictionary's argument: another, or pairs.
fn dict(values: &[Value<'_>], id: Id) -> Result<Vec<(Id, Id)>, String> {
    match get(values, id) {
        Value::Dict(items) => Ok(items.clone()),
        Value::List(items) | Value::Tuple(items) => items.iter().map(|&item| pair(values, item)).collect(),
        // The class of a default dictionary's values.
        Value::Global(_) | Value::None => Ok(Vec::new()),
        other => Err(format!("{} is to become a dictionary", other.kind())),
    }
}

fn pair(values: &[Value<'_>], id: Id) -> Result<(Id, Id), String> {
    match get(values, id) {
        Value::Tuple(items) | Value::List(items) => match items.as_slice() {
            &[key, value] => Ok((key, value)),
            _ => Err(format!("{} values stand for a key and its value", items.len())),
        },
        other => Err(format!("{} stands for a key and its value", other.kind())),
    }
}

/// A tensor of storage, offset, shape and strides.
fn view<'a>(values: &[Value<'a>], arguments: &[Id], dtype: Option<Dtype>) -> Result<View<'a>, String> {
    let [storage, offset, shape, strides, ..] = *arguments else {
        return Err(format!("a tensor is made of {} values, expected at least 4", arguments.len()));
    };
    let Value::Storage(storage) = get(values, storage) else {
        return Err(format!("a tensor's numbers are {}, expected a storage", get(values, storage).kind()));
    };
    let dtype = dtype.or(storage.dtype).ok_or("a tensor does not tell the type of its numbers")?;
    let offset = get(values, offset).count().ok_or("a tensor's offset is no number from 0")?;
    let (shape, strides) = (lengths(values, shape, "shape")?, lengths(values, strides, "strides")?);
    if shape.len() != strides.len() {
        return Err(format!("a tensor has {} dimensions, but {} strides", shape.len(), strides.len()));
    }
    Ok(View { dtype, storage: **storage, offset, shape, strides })
}

fn lengths(values: &[Value<'_>], id: Id, what: &str) -> Result<Vec<u64>, String> {
    let (Value::Tuple(items) | Value::List(items)) = get(values, id) else {
        return Err(format!("a tensor's {what} is {}, expected a tuple", get(values, id).kind()));
    };
    if items.len() > 64 {
        return Err(format!("a tensor has {} dimensions, expected at most 64", items.len()));
    }
    let count = |&item: &Id| get(values, item).count();
    items.iter().map(count).collect::<Option<_>>().ok_or_else(|| format!("a tensor's {what} has numbers below 0"))
}

/// A storage of the tuple that names it: `storage`, class, key, device, count, and in old files where a part begins.
pub(super) fn storage<'a>(values: &[Value<'a>], items: &[Id]) -> Result<Storage<'a>, String> {
    let [tag, class, key, _, count, rest @ ..] = items else {
        return Err(format!("{} values name a storage, expected at least 5", items.len()));
    };
    let named = matches!(get(values, *tag), Value::Text(b"storage"));
    let (Value::Global(Global::Storage(dtype)), Value::Text(key)) = (get(values, *class), get(values, *key)) else {
        return Err("a storage has no class or key".to_owned());
    };
    let count = get(values, *count).count().filter(|_| named).ok_or("a storage has no length")?;
    // Its name, where it begins, and its length.
    let skip = match rest.first().map(|&id| get(values, id)) {
        Some(Value::Tuple(part)) => part.get(1).and_then(|&id| get(values, id).count()),
        _ => Some(0),
    };
    let skip = skip.ok_or("a part of a storage does not tell where it begins")?;
    Ok(Storage { dtype: *dtype, key, count, skip })
}

/// A name as messages show it.
fn shown(name: &[u8]) -> String {
    let shown: String = String::from_utf8_lossy(name).chars().take(64).flat_map(char::escape_debug).collect();
    if shown.is_empty() { "?".to_owned() } else { shown }
}

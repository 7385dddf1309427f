//! Writes GGUF files part by part.

/// A value with its kind.
#[derive(Clone)]
pub enum Value {
    U32(u32),
    Text(&'static str),
    Texts(Vec<&'static str>),
    /// Kind and bytes as they are.
    Raw(u32, Vec<u8>),
}

/// A tensor: name, type, shape as the file has it (the shortest stride first), offset and bytes.
#[derive(Clone)]
pub struct Tensor {
    pub name: &'static str,
    pub kind: u32,
    pub shape: Vec<u64>,
    pub offset: u64,
    pub bytes: Vec<u8>,
}

pub fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl Value {
    fn bytes(&self) -> Vec<u8> {
        let (kind, bytes) = match self {
            Value::U32(number) => (4, number.to_le_bytes().to_vec()),
            Value::Text(value) => (8, text(value)),
            Value::Texts(texts) => {
                let head = [8_u32.to_le_bytes().as_slice(), &(texts.len() as u64).to_le_bytes()].concat();
                (9, texts.iter().fold(head, |all, value| [all, text(value)].concat()))
            }
            Value::Raw(kind, bytes) => (*kind, bytes.clone()),
        };
        [kind.to_le_bytes().as_slice(), &bytes].concat()
    }
}

/// A file of a version.
pub fn file(version: u32, metadata: &[(&str, Value)], tensors: &[Tensor]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(version.to_le_bytes());
    file.extend((tensors.len() as u64).to_le_bytes());
    file.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        file.extend([text(key), value.bytes()].concat());
    }
    for tensor in tensors {
        file.extend(text(tensor.name));
        file.extend((tensor.shape.len() as u32).to_le_bytes());
        file.extend(tensor.shape.iter().flat_map(|length| length.to_le_bytes()));
        file.extend(tensor.kind.to_le_bytes());
        file.extend(tensor.offset.to_le_bytes());
    }
    file.resize(file.len().next_multiple_of(32), 0);
    let start = file.len();
    for tensor in tensors.iter().filter(|tensor| !tensor.bytes.is_empty()) {
        file.resize(file.len().max(start + tensor.offset as usize), 0);
        file.extend(&tensor.bytes);
    }
    file
}

/// A tensor at the start.
pub fn tensor(name: &'static str, kind: u32, shape: &[u64], bytes: &[u8]) -> Tensor {
    Tensor { name, kind, shape: shape.to_vec(), offset: 0, bytes: bytes.to_vec() }
}

/// What every file begins with here: an architecture that no family reads.
pub fn novel() -> Vec<(&'static str, Value)> {
    vec![("general.architecture", Value::Text("novel"))]
}

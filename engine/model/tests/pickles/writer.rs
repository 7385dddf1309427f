//! Writes files as `torch.save` did before PyTorch 1.6, operation by operation.

use candle_core::Tensor;

/// A pickle: operations between the protocol and the end.
pub fn pickle(operations: &[u8]) -> Vec<u8> {
    [b"\x80\x02", operations, b"."].concat()
}

/// A file around the pickle of an object: its storages' keys, and for each a length and numbers.
pub fn file(object: &[u8], storages: &[(&str, Vec<f32>)]) -> Vec<u8> {
    let magic = pickle(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    let keys: Vec<u8> = storages.iter().flat_map(|(key, _)| text(key)).collect();
    let keys = pickle(&[b"](", keys.as_slice(), b"e"].concat());
    let mut file = [magic, pickle(b"M\xe9\x03"), pickle(b"}"), pickle(object), keys].concat();
    for (_, numbers) in storages {
        file.extend((numbers.len() as u64).to_le_bytes());
        file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    file
}

/// A dictionary of tensors.
pub fn state(tensors: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = tensors.iter().flat_map(|(name, tensor)| [text(name), tensor.clone()].concat()).collect();
    [b"ccollections\nOrderedDict\n)R(", items.as_slice(), b"u"].concat()
}

/// A tensor that sees a float storage of `count` numbers.
pub fn tensor(key: &str, count: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let storage = [b"(".to_vec(), text("storage"), b"ctorch\nFloatStorage\n".to_vec(), text(key), text("cpu")];
    let storage = [storage.concat(), int(count), b"NtQ".to_vec()].concat();
    let call = b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec();
    [call, storage, int(offset), ints(shape), ints(strides), b"\x89}tR".to_vec()].concat()
}

/// A whole file of float tensors.
pub fn weights(tensors: &[(&str, &Tensor)]) -> Vec<u8> {
    let numbers = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let described = tensors.iter().map(|&(name, values)| {
        let shape: Vec<i64> = values.dims().iter().map(|&length| length as i64).collect();
        let strides: Vec<i64> = values.stride().iter().map(|&stride| stride as i64).collect();
        (name, tensor(name, values.elem_count() as i64, 0, &shape, &strides))
    });
    let described: Vec<(&str, Vec<u8>)> = described.collect();
    let storages: Vec<(&str, Vec<f32>)> = tensors.iter().map(|&(name, tensor)| (name, numbers(tensor))).collect();
    file(&state(&described), &storages)
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

pub fn int(number: i64) -> Vec<u8> {
    [b"\x8a\x08", number.to_le_bytes().as_slice()].concat()
}

fn ints(numbers: &[i64]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.iter().flat_map(|&number| int(number)).collect();
    [b"(", numbers.as_slice(), b"t"].concat()
}

//! Files that lie: each is refused with a message that says where, and nothing of it is run.

use std::fs;
use std::io::{Cursor, Write};

use paring_model::Checkpoint;
use rstest::rstest;
use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::fixture;
use crate::writer::{file, int, state, tensor, text};

/// What is said of a file with these bytes.
fn said(bytes: &[u8]) -> String {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("weights.pt");
    fs::write(&path, bytes).unwrap();
    crate::reason(&path)
}

/// What is said of a file with this object and one storage of 6 numbers.
fn of_object(object: &[u8]) -> String {
    said(&file(object, &[("0", vec![0.0; 6])]))
}

const CURE: &str = "which weights are not read from; nothing of it was run; save the weights alone: \
                    `torch.save(model.state_dict(), path)`";

#[rstest]
#[case::shell(b"cos\nsystem\n(X\x02\x00\x00\x00lstR", "`os.system`")]
#[case::builtin(b"cbuiltins\neval\n(X\x01\x00\x00\x001tR", "`builtins.eval`")]
#[case::by_stack(b"X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93", "`os.system`")]
#[case::new_line(b"X\x03\x00\x00\x00a\nbX\x01\x00\x00\x00\xff\x93", "`a\\nb.\u{fffd}`")]
#[case::nameless(b"c\n\n", "`?.?`")]
#[case::quantized(b"ctorch._utils\n_rebuild_qtensor\n", "`torch._utils._rebuild_qtensor`")]
#[case::storage(b"ctorch\nQInt8Storage\n", "`torch.QInt8Storage`")]
fn names_that_are_not_listed(#[case] object: &[u8], #[case] name: &str) {
    let said = of_object(object);
    assert!(said.ends_with(&format!("it names {name}, {CURE}")), "{said}");
}

#[rstest]
#[case::endless_text(b"X\xff\xff\xff\xff", "4294967295 bytes are expected here, but only ")]
#[case::endless_bytes(b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 bytes are expected here")]
#[case::no_value(b"0", "a value is missing")]
#[case::value_before_a_mark(b"N(0", "a value is missing")]
#[case::no_mark(b"Nt", "a mark is missing")]
#[case::no_memory(b"h\x07", "value 7 was not remembered")]
#[case::key_alone(b"}(Nu", "a key has no value")]
#[case::filled_number(b"NNa", "nothing is to be filled, expected a list or a dictionary")]
#[case::called_text(b"X\x00\x00\x00\x00)R", "a text is called, expected a class or function")]
#[case::arguments(b"ccollections\nOrderedDict\nNR", "nothing stands for arguments, expected a tuple")]
#[case::many_arguments(b"ccollections\nOrderedDict\n(NNNNNNNNNNNNNNNNNtR", "17 arguments, expected at most 16")]
#[case::old_protocol(b"I1\n", "operation `I`, which protocols 0 and 1 have, expected 2 or later")]
#[case::operation(b"\xff", "operation `\\xff`, which is not known")]
#[case::new_protocol(b"\x80\x06", "protocol 6, expected at most 5")]
#[case::nameless_storage(b"NQ", "nothing names a storage, expected a tuple")]
#[case::short_storage(b")Q", "0 values name a storage, expected at least 5")]
#[case::wrong_storage(b"(NNNNNtQ", "a storage has no class or key")]
#[case::pairs(b"ccollections\nOrderedDict\n]Na\x85R", "nothing stands for a key and its value")]
#[case::short_tensor(b"ctorch._utils\n_rebuild_tensor_v2\n)R", "a tensor is made of 0 values, expected at least 4")]
#[case::typed_tensor(b"ctorch._utils\n_rebuild_tensor_v3\n)R", "a class is called with 0 values, which do not fit it")]
#[case::no_storage(b"ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR", "a tensor's numbers are nothing, expected a storage")]
fn operations_that_fail(#[case] object: &[u8], #[case] expected: &str) {
    let said = of_object(object);
    let (place, why) = said.split_once(" of its pickle: ").unwrap_or_default();
    assert!(place.starts_with("at byte ") && why.starts_with(expected), "{said}");
}

/// Values, marks, items and memory that cost one byte each in the file.
#[rstest]
#[case::values(vec![b'N'; 5 << 20], "it has more than 4194304 values")]
#[case::marks(vec![b'('; 5 << 20], "it has more than 4194304 marks")]
#[case::repeated([b"N(".as_slice(), &[b'2'; 0], &[b'N'; 1], &[b'2'; 5 << 20], b"t"].concat(), "it has more than 4194304 values")]
#[case::copies(
    [b"(", [b'N'; 4000].as_slice(), b"l\x85q\x00", &b"ctorch\nSize\nh\x00R".repeat(2000)].concat(),
    "it has more than 4194304 values"
)]
fn bombs(#[case] object: Vec<u8>, #[case] expected: &str) {
    let said = of_object(&object);
    assert!(said.ends_with(expected), "{said}");
}

#[rstest]
#[case::past_the_end(tensor("0", 6, 1, &[2, 3], &[3, 1]), "its shape [2, 3] does not fit its storage of 24 bytes")]
#[case::stride(tensor("0", 6, 0, &[2, 2], &[5, 1]), "its shape [2, 2] does not fit its storage of 24 bytes")]
#[case::expanded(
    tensor("0", 6, 0, &[1 << 40, 1], &[0, 1]),
    "its shape [1099511627776, 1] does not fit its storage of 24 bytes"
)]
#[case::overflow(
    tensor("0", 6, 0, &[i64::MAX, i64::MAX], &[i64::MAX, 1]),
    "its shape [9223372036854775807, 9223372036854775807] is too large"
)]
#[case::offset(tensor("0", 6, i64::MAX, &[1], &[1]), "its shape [1] does not fit its storage of 24 bytes")]
#[case::count(tensor("0", 7, 0, &[1], &[1]), "its storage is said to have 7 numbers, but has 24 bytes")]
fn tensors_that_do_not_fit(#[case] tensor: Vec<u8>, #[case] expected: &str) {
    assert_eq!(of_object(&state(&[("a", tensor)])), format!("tensor `a`: {expected}"));
}

#[rstest]
#[case::negative(tensor("0", 6, 0, &[-1], &[1]), "a tensor's shape has numbers below 0")]
#[case::negative_stride(tensor("0", 6, 0, &[1], &[-1]), "a tensor's strides has numbers below 0")]
#[case::strides(tensor("0", 6, 0, &[2, 3], &[1]), "a tensor has 2 dimensions, but 1 strides")]
#[case::dimensions(tensor("0", 6, 0, &[1; 65], &[1; 65]), "a tensor has 65 dimensions, expected at most 64")]
#[case::storage(tensor("0", -6, 0, &[1], &[1]), "a storage has no length")]
fn tensors_that_are_none(#[case] tensor: Vec<u8>, #[case] expected: &str) {
    let said = of_object(&state(&[("a", tensor)]));
    assert!(said.ends_with(expected), "{said}");
}

#[rstest]
#[case::missing(vec![], "tensor `a`: its storage is missing")]
#[case::unknown(vec![("1", vec![0.0; 6])], "storage `1` has no type")]
#[case::twice(vec![("0", vec![0.0; 6]), ("0", vec![0.0; 6])], "storage `0`: it is there twice")]
fn storages_that_do_not_fit(#[case] storages: Vec<(&str, Vec<f32>)>, #[case] expected: &str) {
    let object = state(&[("a", tensor("0", 6, 0, &[6], &[1]))]);
    assert_eq!(said(&file(&object, &storages)), expected);
}

#[test]
fn what_no_storage_owns_is_refused() {
    let object = state(&[("a", tensor("0", 6, 0, &[6], &[1]))]);
    let good = file(&object, &[("0", vec![0.0; 6])]);
    assert_eq!(said(&[good.as_slice(), b"x"].concat()), "its last 1 bytes belong to no storage");
    let cut = said(&good[..good.len() - 1]);
    assert_eq!(cut, "storage `0`: 24 bytes are expected here, but only 23 follow");
}

#[rstest]
#[case::number(b"K\x01", "it holds a whole number, expected a dictionary of tensors")]
#[case::empty(b"}", "it holds a dictionary without tensors, expected a dictionary of tensors")]
#[case::itself(b"}q\x00(X\x05\x00\x00\x00modelh\x00u", "it holds a dictionary without tensors")]
fn objects_without_tensors(#[case] object: &[u8], #[case] expected: &str) {
    let said = said(&file(object, &[]));
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn names_of_tensors_are_texts() {
    let object = [b"}(".to_vec(), int(1), tensor("0", 6, 0, &[6], &[1]), b"u".to_vec()].concat();
    assert_eq!(of_object(&object), "the name of a tensor is not a text");
}

#[test]
fn pickles_of_others_are_refused() {
    let said = said(&[b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00", text("a").as_slice(), b"."].concat());
    assert_eq!(said, "it is a pickle that `torch.save` did not write");
}

#[test]
fn a_file_that_is_cut_or_empty_is_told_by_its_name() {
    assert_eq!(said(b""), "it is empty");
    let good = fs::read(fixture("archive.pt")).unwrap();
    let cut = said(&good[..good.len() / 2]);
    assert!(cut.starts_with("its archive cannot be read, as when a file was cut short ("), "{cut}");
}

/// An archive of these members.
fn archive(members: &[(&str, &[u8])], compression: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(compression)).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn archives_that_do_not_fit() {
    let object = crate::writer::pickle(&state(&[("a", tensor("0", 6, 0, &[6], &[1]))]));
    let stored = |members: &[(&str, &[u8])]| said(&archive(members, CompressionMethod::Stored));
    assert_eq!(stored(&[("x/data.txt", b"")]), "its archive holds no `data.pkl`");
    assert_eq!(stored(&[("x/data.pkl", &object)]), "`x/data/0` of its archive: it is missing");
    assert_eq!(
        stored(&[("x/data.pkl", &object), ("x/data/0", &[0; 20])]),
        "tensor `a`: its storage is said to have 6 numbers, but has 20 bytes"
    );
    assert_eq!(
        stored(&[("x/data.pkl", &object), ("x/byteorder", b"big"), ("x/data/0", &[0; 24])]),
        "its numbers are big-endian"
    );
    let whole = archive(&[("x/data.pkl", &object), ("x/data/0", &[0; 24])], CompressionMethod::Stored);
    // The name of a class, changed to that of another.
    let at = whole.windows(12).position(|window| window == b"FloatStorage").unwrap();
    let mut changed = whole.clone();
    changed[at..at + 5].copy_from_slice(b"Int__");
    assert_eq!(said(&changed), "`x/data.pkl` of its archive: Invalid checksum");
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("weights.pt");
    fs::write(&path, whole).unwrap();
    assert_eq!(Checkpoint::open(&path).unwrap().names(), ["a"]);
}

/// Cut anywhere and changed anywhere, a file is refused or opens; nothing else happens, and whatever opens can be read.
#[rstest]
fn damage_is_survived(#[values("archive.pt", "legacy.pt", "training.pt")] file: &str) {
    let good = fs::read(fixture(file)).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("weights.pt");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let Ok(model) = Checkpoint::open(&path) else { return false };
        model.names().iter().for_each(|name| drop(model.weight(name)));
        true
    };
    assert!(open(&good));
    for length in (0..good.len()).step_by(7) {
        assert!(!open(&good[..length]), "{length} bytes open");
    }
    for at in (0..good.len()).step_by(3) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        open(&changed);
    }
}

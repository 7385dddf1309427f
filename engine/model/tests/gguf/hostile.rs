//! Files that lie: each is refused with a message that says where, before any number is read.

use std::fs;

use paring_model::Checkpoint;
use rstest::rstest;

use crate::writer::{Tensor, Value, file, novel, tensor, text};
use crate::{fixture, open, said};

/// The start of a file: version and counts.
fn start(version: u32, tensors: u64, keys: u64) -> Vec<u8> {
    [b"GGUF".as_slice(), &version.to_le_bytes(), &tensors.to_le_bytes(), &keys.to_le_bytes()].concat()
}

#[rstest]
#[case::empty(vec![], "4 bytes are expected here, but only 0 follow")]
#[case::other(b"\x00\x01\x02\x03\x04".to_vec(), "it does not begin with `GGUF`")]
#[case::cut(b"GGUF\x03".to_vec(), "4 bytes are expected here, but only 1 follow")]
#[case::version(start(4, 0, 0), "it has version 4, expected 2 or 3")]
#[case::old(start(1, 0, 0), "it has version 1, expected 2 or 3")]
#[case::big_endian(start(3_u32.swap_bytes(), 0, 0), "its numbers are big-endian")]
#[case::tensors(start(3, u64::MAX, 0), "8 bytes are expected here, but only 0 follow")]
#[case::keys(start(3, 0, u64::MAX), "8 bytes are expected here, but only 0 follow")]
#[case::endless_key(
    [start(3, 0, 1), u64::MAX.to_le_bytes().to_vec()].concat(),
    "18446744073709551615 bytes are expected here, but only 0 follow"
)]
#[case::key([start(3, 0, 1), vec![1, 0, 0, 0, 0, 0, 0, 0, 0xff]].concat(), "a key of its metadata is not UTF-8")]
fn starts_that_lie(#[case] bytes: Vec<u8>, #[case] expected: &str) {
    assert_eq!(said(&bytes), expected);
}

fn list(kind: u32, count: u64) -> Vec<u8> {
    [kind.to_le_bytes().as_slice(), &count.to_le_bytes()].concat()
}

#[rstest]
#[case::kind(Value::Raw(13, vec![]), "key `a`: a value has kind 13, which is not known")]
#[case::kind_of_list(Value::Raw(9, list(99, 1)), "key `a`: a value has kind 99, which is not known")]
#[case::long_list(Value::Raw(9, list(4, 1 << 60)), "key `a`: 4611686018427387904 bytes are expected here")]
#[case::longer_list(Value::Raw(9, list(10, 1 << 61)), "key `a`: a list claims 2305843009213693952 values")]
#[case::deep(Value::Raw(9, list(9, 1).repeat(9)), "key `a`: lists lie in lists more than 8 deep")]
#[case::text(Value::Raw(8, u64::MAX.to_le_bytes().to_vec()), "key `a`: 18446744073709551615 bytes are expected here")]
fn values_that_lie(#[case] value: Value, #[case] expected: &str) {
    let said = said(&file(3, &[("a", value)], &[]));
    assert!(said.starts_with(expected), "{said}");
}

#[rstest]
#[case::twice(vec![("a", Value::U32(1)), ("a", Value::U32(2))], "key `a` is there twice")]
#[case::alignment(
    vec![("general.alignment", Value::U32(12))],
    "key `general.alignment`: expected a power of two from 8"
)]
#[case::no_alignment(
    vec![("general.alignment", Value::Text("32"))],
    "key `general.alignment`: expected a power of two from 8"
)]
fn metadata_that_lies(#[case] metadata: Vec<(&'static str, Value)>, #[case] expected: &str) {
    assert_eq!(said(&file(3, &metadata, &[])), expected);
}

fn at(offset: u64, mut tensor: Tensor) -> Tensor {
    tensor.offset = offset;
    tensor
}

#[rstest]
#[case::kind(vec![tensor("a", 99, &[1], &[])], "tensor `a`: its type has number 99, which is not known")]
#[case::taken_back(vec![tensor("a", 4, &[1], &[])], "tensor `a`: its type has number 4, which is not known")]
#[case::dimensions(vec![tensor("a", 0, &[1; 5], &[])], "tensor `a`: it has 5 dimensions, expected at most 4")]
#[case::short(
    vec![tensor("a", 0, &[2], &[0; 7])],
    "tensor `a` of type `F32` and shape [2] needs bytes 128 to 136, but the file has 135"
)]
#[case::blocks(
    vec![tensor("a", 2, &[33, 2], &[0; 99])],
    "tensor `a` of type `Q4_0` and shape [2, 33]: its rows are no whole blocks of 32 numbers"
)]
#[case::huge(
    vec![tensor("a", 0, &[1 << 40, 1 << 40], &[])],
    "tensor `a` of type `F32` and shape [1099511627776, 1099511627776] is too large"
)]
#[case::unaligned(
    vec![at(4, tensor("a", 0, &[1], &[0; 4]))],
    "tensor `a` of type `F32` and shape [1] starts at 4, expected a multiple of 32"
)]
#[case::far(
    vec![at(1 << 40, tensor("a", 24, &[0], &[]))],
    "tensor `a` of type `I8` and shape [0] needs bytes 1099511627904 to 1099511627904, but the file has 128"
)]
#[case::overlap(
    vec![tensor("a", 0, &[16], &[0; 64]), at(32, tensor("b", 0, &[4], &[]))],
    "tensors `a` and `b` overlap"
)]
#[case::twice(vec![tensor("a", 0, &[1], &[0; 4]), at(32, tensor("a", 0, &[1], &[0; 4]))], "tensor `a` is listed twice")]
fn tensors_that_lie(#[case] tensors: Vec<Tensor>, #[case] expected: &str) {
    let said = said(&file(3, &novel(), &tensors));
    assert!(said.starts_with(expected), "{said}");
}

/// The settings of a small llama without weights.
fn llama() -> Vec<(&'static str, Value)> {
    vec![
        ("general.architecture", Value::Text("llama")),
        ("llama.block_count", Value::U32(1)),
        ("llama.embedding_length", Value::U32(8)),
        ("llama.attention.head_count", Value::U32(2)),
    ]
}

fn with(key: &'static str, value: Value) -> Vec<(&'static str, Value)> {
    let rest = llama().into_iter().filter(|(other, _)| *other != key);
    rest.chain([(key, value)]).collect()
}

fn counts(numbers: &[u32]) -> Value {
    let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    Value::Raw(9, [list(4, numbers.len() as u64 / 4), numbers].concat())
}

#[rstest]
#[case::missing(vec![llama()[0].clone()], "key `llama.attention.head_count` is missing")]
#[case::wrong(
    with("llama.block_count", Value::Text("two")),
    "key `llama.block_count` is wrong, expected a whole number"
)]
#[case::heads(with("llama.attention.head_count", counts(&[])),
    "key `llama.attention.head_count` is wrong, expected a whole number, or one for each layer")]
#[case::experts(with("llama.expert_count", Value::U32(8)), "the model has 8 experts, which are not read")]
#[case::rope(
    with("llama.rope.dimension_count", Value::U32(2)),
    "2 of the 4 numbers in a head turn, expected all of them"
)]
#[case::no_heads(
    with("llama.attention.head_count", Value::U32(0)),
    "tensor `blk.0.attn_q.weight`: it has 8 rows, expected pairs of them for each of 0 heads"
)]
#[case::uneven(
    with("llama.attention.head_count", Value::U32(3)),
    "tensor `blk.0.attn_q.weight`: it has 8 rows, expected pairs of them for each of 3 heads"
)]
#[case::layers(
    with("llama.attention.head_count", Value::Raw(9, [list(4, 2), [2, 0, 0, 0, 2, 0, 0, 0].to_vec()].concat())),
    "tensor `blk.7.attn_q.weight`: key `llama.attention.head_count` is wrong, expected a number for each layer"
)]
fn settings_that_lie(#[case] metadata: Vec<(&'static str, Value)>, #[case] expected: &str) {
    let name = if expected.contains("blk.7") { "blk.7.attn_q.weight" } else { "blk.0.attn_q.weight" };
    assert_eq!(said(&file(3, &metadata, &[tensor(name, 0, &[8, 8], &[0; 256])])), expected);
}

/// The factors of frequencies that are not those of Llama 3 stand for a model that would be read wrongly.
#[test]
fn factors_of_another_kind_are_refused() {
    let factors: Vec<u8> = [1.0_f32, 2.5].iter().flat_map(|factor| factor.to_le_bytes()).collect();
    assert_eq!(
        said(&file(3, &llama(), &[tensor("rope_freqs.weight", 0, &[2], &factors)])),
        "the factors in `rope_freqs.weight` are not those of Llama 3, which alone are read"
    );
}

fn tokenizer(model: &'static str, more: Vec<(&'static str, Value)>) -> Vec<(&'static str, Value)> {
    let tokens = ("tokenizer.ggml.tokens", Value::Texts(vec!["a", "b", "ab"]));
    let model = ("tokenizer.ggml.model", Value::Text(model));
    novel()
        .into_iter()
        .chain([model])
        .chain([tokens].into_iter().filter(|(key, _)| more.iter().all(|(other, _)| other != key)))
        .chain(more.clone())
        .collect()
}

/// A model without a tokenizer opens; what needs the tokenizer says why there is none.
#[rstest]
#[case::none(novel(), "the file has no tokenizer")]
#[case::kind(tokenizer("bert", vec![]), "the file's tokenizer is of kind `bert`, expected gpt2 or llama")]
#[case::merges(tokenizer("gpt2", vec![]), "key `tokenizer.ggml.merges` holds no list")]
#[case::no_pair(
    tokenizer("gpt2", vec![("tokenizer.ggml.merges", Value::Texts(vec!["ab"]))]),
    "a merge of the file's tokenizer is no pair of tokens"
)]
#[case::split(
    tokenizer("gpt2", vec![("tokenizer.ggml.pre", Value::Text("chatglm"))]),
    "the file's tokenizer splits texts as `chatglm`, which is not read"
)]
#[case::scores(tokenizer("llama", vec![]), "key `tokenizer.ggml.scores` holds no list")]
#[case::few_scores(
    tokenizer("llama", vec![("tokenizer.ggml.scores", counts(&[1, 2]))]),
    "the file has 3 tokens, but 2 scores"
)]
#[case::kinds(
    tokenizer("gpt2", vec![("tokenizer.ggml.token_type", counts(&[1]))]),
    "the file names 3 tokens, but kinds of 1"
)]
#[case::twice(
    tokenizer("gpt2", vec![("tokenizer.ggml.tokens", Value::Texts(vec!["a", "a"]))]),
    "token `a` is there twice"
)]
fn tokenizers_that_are_none(#[case] metadata: Vec<(&'static str, Value)>, #[case] expected: &str) {
    let model = open(&file(3, &metadata, &[tensor("a", 0, &[1], &[0; 4])])).unwrap();
    assert_eq!(model.tokenizer().unwrap_err().to_string(), format!("the model has no tokenizer: {expected}"));
}

#[test]
fn names_that_mean_the_same_tensor_are_refused() {
    let one = tensor("output_norm.weight", 0, &[1], &[0; 4]);
    let other = at(32, tensor("model.norm.weight", 0, &[1], &[0; 4]));
    assert_eq!(said(&file(3, &llama(), &[one, other])), "two tensors stand for `model.norm.weight`");
}

#[test]
fn a_name_that_is_no_text_is_refused() {
    let mut bytes = file(3, &novel(), &[tensor("a", 0, &[1], &[0; 4])]);
    let name = bytes.windows(9).position(|window| window == text("a")).unwrap();
    bytes[name + 8] = 0xff;
    assert_eq!(said(&bytes), "the name of a tensor is not UTF-8");
}

/// Cut anywhere and changed anywhere before the numbers, a file is refused or opens; nothing else happens, and whatever
/// opens can be read.
#[rstest]
fn damage_is_survived(#[values("llama.gguf", "sentence_piece.gguf", "types.gguf")] name: &str) {
    let good = fs::read(fixture(name)).unwrap();
    let read = |model: Checkpoint| {
        model.names().iter().for_each(|name| drop(model.weight(name)));
        drop(model.tokenizer());
    };
    open(&good).map(read).unwrap();
    let header = good.len().min(8192);
    for length in (0..header).step_by(97) {
        assert!(open(&good[..length]).is_err(), "{length} bytes open");
    }
    for at in (0..header).step_by(41) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        open(&changed).map(read).unwrap_or_default();
    }
}

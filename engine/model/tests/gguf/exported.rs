//! Models written as GGUF files: opened again they say the same, and so do candle's own loaders.

use std::fs;

use candle_core::quantized::gguf_file::{Content, Value as Stored};
use candle_core::{DType, Device, Tensor};
use candle_transformers::models::{quantized_llama, quantized_qwen2, quantized_qwen3};
use paring_model::{BlockWeight, Checkpoint, Forward, GgmlType, Input, Tokens, Weight};
use rstest::rstest;
use tempfile::TempDir;

use crate::{fixture, told};

const IDS: [u32; 7] = [3, 17, 4, 9, 21, 5, 30];

fn tokens() -> Tensor {
    Tensor::new(IDS.as_slice(), &Device::Cpu).unwrap().unsqueeze(0).unwrap()
}

/// The logits after the last token.
fn logits(model: &Checkpoint) -> Vec<f32> {
    let network = model.network().unwrap();
    let all = network.forward(&Input::Tokens(Tokens::new(tokens())), &mut Forward::inference()).unwrap();
    all.squeeze(0).unwrap().get(IDS.len() - 1).unwrap().to_vec1().unwrap()
}

/// What candle's loader of that architecture says.
fn stock(name: &str, path: &std::path::Path) -> Vec<f32> {
    let mut file = fs::File::open(path).unwrap();
    let mut content = Content::read(&mut file).unwrap();
    // The loader of qwen3 computes in half precision unless a key that is candle's own says 32 bits.
    content.metadata.insert("general.dtype".to_owned(), Stored::U32(0));
    let (x, cpu) = (tokens(), Device::Cpu);
    let logits = match name {
        "llama" => quantized_llama::ModelWeights::from_gguf(content, &mut file, &cpu).unwrap().forward(&x, 0),
        "qwen2" => quantized_qwen2::ModelWeights::from_gguf(content, &mut file, &cpu).unwrap().forward(&x, 0),
        _ => quantized_qwen3::ModelWeights::from_gguf(content, &mut file, &cpu).unwrap().forward(&x, 0),
    };
    logits.unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn worst(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).fold(0.0, |worst, (one, other)| worst.max((one - other).abs()))
}

#[rstest]
fn a_model_comes_back(#[values("llama", "qwen2", "qwen3")] name: &str) {
    let model = Checkpoint::open(&fixture(&format!("{name}.gguf"))).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.gguf");
    let (tensors, size) = model.save_gguf(&path, "tiny").unwrap();
    assert_eq!((tensors, size), (model.names().len(), fs::metadata(&path).unwrap().len()));
    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.outline(), model.outline());
    assert_eq!(opened.changed_tensors(&model).unwrap(), Vec::<String>::new());
    assert_eq!(logits(&opened), logits(&model));
    assert!(worst(&stock(name, &path), &logits(&model)) < 2e-5);
    // The tokenizer too, to the byte, where there is one.
    let saved = [&model, &opened].map(|model| {
        let directory = TempDir::new().unwrap();
        model.save(directory.path()).unwrap();
        ["tokenizer.json", "tokenizer_config.json"].map(|file| fs::read(directory.path().join(file)).ok())
    });
    assert_eq!(saved[0], saved[1]);
}

/// The tokenizer of SentencePiece in a model with as many tokens; SentencePiece encoded the texts.
#[test]
fn sentence_pieces_come_back() {
    let directory = TempDir::new().unwrap();
    let mut model = Checkpoint::open(&fixture("llama.gguf")).unwrap();
    let table = model.tensor("model.embed_tokens.weight").unwrap();
    let more = Tensor::cat(&[&table, &table.narrow(0, 0, 42).unwrap()], 0).unwrap();
    model.set_tensor("model.embed_tokens.weight", more);
    model.save(directory.path()).unwrap();
    let other = TempDir::new().unwrap();
    Checkpoint::open(&fixture("sentence_piece.gguf")).unwrap().save(other.path()).unwrap();
    fs::copy(other.path().join("tokenizer.json"), directory.path().join("tokenizer.json")).unwrap();
    let path = directory.path().join("a.gguf");
    Checkpoint::open(directory.path()).unwrap().save_gguf(&path, "tiny").unwrap();
    let tokenizer = Checkpoint::open(&path).unwrap().tokenizer().unwrap();
    // Two rows of the table have no token.
    assert_eq!(tokenizer.vocabulary(), 342);
    let told = &told()["sentence_piece"];
    for (text, expected) in told["texts"].as_array().unwrap().iter().zip(told["ids"].as_array().unwrap()) {
        let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
        assert_eq!(tokenizer.prompt(text.as_str().unwrap()).unwrap(), expected, "{text}");
    }
}

/// Rows of 32 numbers in blocks: queries and keys change the order of their rows, bytes and all.
#[rstest]
fn blocks_are_written_as_they_are(#[values("llama", "qwen2")] name: &str) {
    let mut model = Checkpoint::open(&fixture(&format!("{name}.gguf"))).unwrap();
    for site in
        model.outline().sites().unwrap().iter().filter(|site| site.in_features == 32 || site.name.contains("embed"))
    {
        let tensor = model.tensor(&site.weight()).unwrap();
        let numbers = tensor.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        let rounded = BlockWeight::round(&numbers, tensor.dims(), GgmlType::Q8_0, None).unwrap();
        model.set_weight(&site.weight(), Weight::Blocks(rounded));
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.gguf");
    model.save_gguf(&path, "tiny").unwrap();
    let opened = Checkpoint::open(&path).unwrap();
    let query = "model.layers.1.self_attn.q_proj.weight";
    assert_eq!(opened.stored_type(query).as_deref(), Some("Q8_0"));
    let numbers = |model: &Checkpoint| model.tensor(query).unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(numbers(&opened), numbers(&model));
    // The same arithmetic in candle's loader; with floats for inputs in ours once it is opened.
    assert!(worst(&stock(name, &path), &logits(&model)) < 1e-4);
    let difference = worst(&logits(&opened), &logits(&model));
    assert!(difference > 0.0 && difference < 0.1, "{difference}");
}

#[test]
fn layers_of_different_widths_are_told() {
    let mut model = Checkpoint::open(&fixture("llama.gguf")).unwrap();
    let groups = model.outline().units().unwrap();
    let neurons = groups.iter().find(|group| group.kind == "neurons").unwrap();
    let keep: Vec<usize> = (0..neurons.count / 2).collect();
    paring_model::units::keep_units(&mut model, neurons, &keep).unwrap();
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.gguf");
    model.save_gguf(&path, "tiny").unwrap();
    assert_eq!(logits(&Checkpoint::open(&path).unwrap()), logits(&model));
    assert!(worst(&stock("llama", &path), &logits(&model)) < 2e-5);
    let content = Content::read(&mut fs::File::open(&path).unwrap()).unwrap();
    let Stored::Array(widths) = &content.metadata["llama.feed_forward_length"] else { panic!("no list") };
    let widths: Vec<u32> = widths.iter().map(|width| width.to_u32().unwrap()).collect();
    assert_eq!(widths, [24, 48]);
}

/// Loaders of `qwen3` read how wide heads are; those of the others take it that heads are as wide as the stream in all.
#[rstest]
fn a_narrower_stream_is_told(#[values("llama", "qwen2", "qwen3")] name: &str) {
    let mut model = Checkpoint::open(&fixture(&format!("{name}.gguf"))).unwrap();
    let stream = paring_model::families::stream(&model.outline()).unwrap().unwrap();
    let keep: Vec<usize> = (0..stream.count).filter(|place| place % 2 == 1).collect();
    paring_model::units::keep_units(&mut model, &stream, &keep).unwrap();
    if name != "qwen3" {
        let reason = model.gguf_refusals(&model.outline()).remove(0).reason;
        assert!(reason.ends_with(&format!("wide in all, as loaders of `{name}` take for granted")), "{reason}");
        for group in model.outline().units().unwrap().iter().filter(|group| group.kind == "kv_groups") {
            let half: Vec<usize> = (0..group.count / 2).collect();
            paring_model::units::keep_units(&mut model, group, &half).unwrap();
        }
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.gguf");
    model.save_gguf(&path, "tiny").unwrap();
    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.outline().weights, model.outline().weights);
    assert_eq!(logits(&opened), logits(&model));
    assert!(worst(&stock(name, &path), &logits(&model)) < 2e-5);
}

#[test]
fn what_loaders_would_refuse_is_refused() {
    let said = |model: &Checkpoint| -> Vec<String> {
        model.gguf_refusals(&model.outline()).into_iter().map(|refusal| refusal.reason).collect()
    };
    let llama = Checkpoint::open(&fixture("llama.gguf")).unwrap();
    assert_eq!(said(&llama), Vec::<String>::new());
    let unknown = Checkpoint::open(&fixture("types.gguf")).unwrap();
    assert_eq!(said(&unknown), ["GGUF loaders know no model of the family `unknown`, expected `llama`"]);

    let mut pruned = llama.clone();
    for group in pruned.outline().units().unwrap().iter().filter(|group| group.kind == "kv_groups") {
        paring_model::units::keep_units(&mut pruned, group, &[0]).unwrap();
    }
    let heads = "its 2 heads of 8 are not 32 numbers wide in all, as loaders of `llama` take for granted";
    assert_eq!(said(&pruned), [heads]);

    let mut integers = llama.clone();
    let weight = integers.tensor("model.layers.0.mlp.up_proj.weight").unwrap();
    let scheme =
        paring_model::WeightScheme { bits: 4, symmetric: true, granularity: paring_model::Granularity::Tensor };
    let rounded = paring_model::QuantizedWeight::round(&weight, scheme, &[0.1], &[]).unwrap();
    integers.set_weight("model.layers.0.mlp.up_proj.weight", Weight::Quantized(rounded));
    assert_eq!(said(&integers), ["tensor `model.layers.0.mlp.up_proj.weight` is int4, which GGUF files do not hold"]);

    let mut more = llama;
    more.set_tensor("score.weight", Tensor::new(&[[1.0_f32]], &Device::Cpu).unwrap());
    assert_eq!(said(&more), ["tensor `score.weight` has no name in GGUF files"]);
}

//! Transformers with a narrower stream: every tensor and every setting follows, and stock models agree.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{bert, distilbert, llama};
use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Forward, Outputs, Tokens, UnitGroup, families};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::distance;
use crate::tiny::{self, HIDDEN, Tiny, hidden, outputs, tokens};

fn stream(model: &Checkpoint) -> UnitGroup {
    families::stream(&model.outline()).unwrap().unwrap()
}

/// Goes on with some dimensions of the stream; the outline foretells what is left.
fn narrow(model: &mut Checkpoint, keep: &[usize]) {
    let (stream, mut foretold) = (stream(model), model.outline());
    keep_units_outline(&mut foretold, &stream, keep.len()).unwrap();
    keep_units(model, &stream, keep).unwrap();
    assert_eq!(model.outline(), foretold);
}

/// The model as it is in a file, and that file's settings.
fn written(model: &Checkpoint, directory: &Path) -> (Checkpoint, Value) {
    model.save(directory).unwrap();
    (Checkpoint::open(directory).unwrap(), read(directory, "config.json"))
}

fn read(directory: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join(file)).unwrap()).unwrap()
}

fn of(model: &Checkpoint) -> Tensor {
    outputs(model, &tokens(5, true), &mut Forward::inference())
}

/// Seven dimensions, which no number of heads divides: heads stay as wide as they were.
#[test]
fn every_architecture_can_be_narrower_and_comes_back() {
    for (name, tiny) in tiny::all() {
        let mut model = tiny.open();
        narrow(&mut model, &[0, 1, 3, 6, 10, 13, 15]);
        let directory = tempfile::tempdir().unwrap();
        let (again, config) = written(&model, directory.path());
        assert_eq!(again.outline(), model.outline(), "{name}");
        assert_eq!(again.digest().unwrap(), model.digest().unwrap(), "{name}");
        assert_eq!(hidden(&model, &tokens(5, true), &mut Forward::inference()).dims(), [2, 5, 7], "{name}");
        assert_eq!(distance(&of(&again), &of(&model)), 0.0, "{name}");
        let told = ["hidden_size", "dim"].map(|key| config.get(key).and_then(Value::as_u64));
        assert!(told.contains(&Some(7)), "{name}: {config}");
        let width = if name == "qwen3" { 6 } else { 4 };
        assert_eq!(config["head_dim"], json!(width), "{name}");
        for weight in model.names().iter().filter(|weight| !weight.contains("relative")) {
            let shape = model.tensor(weight).unwrap().dims().to_vec();
            let heads = weight.contains("q_norm") || weight.contains("k_norm");
            assert!(
                shape.contains(&7) || shape.len() == 1 && shape != [HIDDEN] || heads || of_heads(weight),
                "{weight}"
            );
        }
    }
}

/// Biases of what attention reads with are as long as its heads are wide.
fn of_heads(weight: &str) -> bool {
    ["query", "key", "value", "q_lin", "k_lin", "v_lin", "attn.q", "attn.k", "attn.v"]
        .iter()
        .any(|part| weight.ends_with(&format!("{part}.bias")))
        || ["intermediate.dense.bias", "lin1.bias", "q_proj.bias", "k_proj.bias", "v_proj.bias"]
            .iter()
            .any(|it| weight.ends_with(it))
}

/// Of a stream with zeros in some dimensions, the root mean square over the others is larger by a known factor. Once
/// the norms' weights make up for that, nothing is lost.
#[rstest]
fn dimensions_of_zeros_scale_a_root_mean_square(
    #[values("llama", "tied llama", "mistral", "qwen2", "qwen3")] name: &str,
) {
    let (_, tiny) = tiny::all().into_iter().find(|(found, _)| *found == name).unwrap();
    let mut model = tiny.with("rms_norm_eps", json!(1e-12)).open();
    let keep = [1, 2, 4, 5, 7, 8, 11, 12, 14];
    for slice in stream(&model).slices {
        let tensor = model.tensor(&slice.tensor).unwrap();
        let writes = slice.axis == 0 && tensor.rank() == 2 || slice.tensor.contains("embed_tokens");
        if writes {
            let loud: Vec<f32> = (0..HIDDEN).map(|place| f32::from(u8::from(keep.contains(&place)))).collect();
            let shape = if slice.axis == 0 { (HIDDEN, 1) } else { (1, HIDDEN) };
            let loud = Tensor::from_vec(loud, shape, &Device::Cpu).unwrap();
            model.set_tensor(&slice.tensor, tensor.broadcast_mul(&loud).unwrap());
        }
    }
    let expected = of(&model);
    narrow(&mut model, &keep);
    let factor = (HIDDEN as f64 / keep.len() as f64).sqrt();
    for name in model.names().iter().filter(|name| name.ends_with("norm.weight")) {
        if !name.contains("q_norm") && !name.contains("k_norm") {
            let scaled = (model.tensor(name).unwrap() * factor).unwrap();
            model.set_tensor(name, scaled);
        }
    }
    let spread = distance(&expected, &expected.zeros_like().unwrap());
    assert!(spread > 0.1 && distance(&of(&model), &expected) <= 1e-5, "{}", distance(&of(&model), &expected));
}

/// Half of the heads and half of the stream: widths are what loaders of others take for granted.
fn halved(tiny: &Tiny, directory: &Path, heads_first: bool) -> (Checkpoint, VarBuilder<'static>) {
    let mut model = tiny.open();
    let dimensions = [0, 2, 3, 7, 9, 10, 12, 15];
    if !heads_first {
        narrow(&mut model, &dimensions);
    }
    for group in model.outline().units().unwrap() {
        match group.kind {
            "heads" => keep_units(&mut model, &group, &[1, 2]).unwrap(),
            "kv_groups" => keep_units(&mut model, &group, &[1]).unwrap(),
            _ => {}
        }
    }
    if heads_first {
        narrow(&mut model, &dimensions);
    }
    let (again, _) = written(&model, directory);
    let tensors = candle_core::safetensors::load(directory.join("model.safetensors"), &Device::Cpu).unwrap();
    (again, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))
}

fn close(found: &Tensor, expected: &Tensor) {
    let apart = distance(found, expected);
    assert!(apart <= 1e-5, "they are {apart} apart");
}

#[rstest]
fn stock_encoders_agree_where_heads_fit_the_stream(#[values(true, false)] heads_first: bool) {
    let (directory, tokens) = (tempfile::tempdir().unwrap(), tokens(7, true));
    let (model, stock) = halved(&tiny::bert(""), directory.path(), heads_first);
    let config: bert::Config = serde_json::from_value(read(directory.path(), "config.json")).unwrap();
    let stock = bert::BertModel::load(stock, &config).unwrap();
    let expected = stock.forward(&tokens.ids, tokens.types.as_ref().unwrap(), tokens.mask.as_ref()).unwrap();
    close(&hidden(&model, &tokens, &mut Forward::inference()), &expected);

    let directory = tempfile::tempdir().unwrap();
    let (model, stock) = halved(&tiny::distilbert("").with("activation", json!("relu")), directory.path(), heads_first);
    let config: distilbert::Config = serde_json::from_value(read(directory.path(), "config.json")).unwrap();
    let stock = distilbert::DistilBertModel::load(stock, &config).unwrap();
    let unseen = tokens.mask.as_ref().unwrap().eq(0_u32).unwrap().reshape((2, 1, 1, 7)).unwrap();
    let expected = stock.forward(&tokens.ids, &unseen).unwrap();
    close(&hidden(&model, &tokens, &mut Forward::inference()), &expected);
}

#[rstest]
fn stock_decoders_agree_where_heads_fit_the_stream(#[values(true, false)] heads_first: bool) {
    let (directory, ids) = (tempfile::tempdir().unwrap(), tokens(7, false).ids);
    let (model, stock) = halved(&tiny::llama(), directory.path(), heads_first);
    let config: llama::LlamaConfig = serde_json::from_value(read(directory.path(), "config.json")).unwrap();
    let config = config.into_config(false);
    let mut cache = llama::Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
    let expected = llama::Llama::load(stock, &config).unwrap().forward(&ids, 0, &mut cache).unwrap();
    let found = outputs(&model, &Tokens::new(ids), &mut Forward::inference());
    close(&found.narrow(1, 6, 1).unwrap().squeeze(1).unwrap(), &expected);
}

/// A sentence encoder: what is said of the stream beside config.json follows too, and a pooler that nothing reads.
#[test]
fn files_that_tell_the_width_follow() {
    let module = |kind: &str, path: &str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path});
    let modules = json!([module("Transformer", ""), module("Pooling", "1_Pooling"), module("Dense", "2_Dense")]);
    let pooling = json!({"word_embedding_dimension": HIDDEN, "pooling_mode_mean_tokens": true});
    let dense = json!({"in_features": HIDDEN, "out_features": 5, "bias": true});
    let tiny = tiny::bert("").linear("pooler.dense", HIDDEN, HIDDEN).linear("2_Dense.linear", 5, HIDDEN);
    let tiny = tiny.file("modules.json", modules).file("1_Pooling/config.json", pooling);
    let source = tempfile::tempdir().unwrap();
    tiny.file("2_Dense/config.json", dense).write(source.path());
    let mut model = Checkpoint::open(source.path()).unwrap();
    model.set_outputs(Outputs::Embed { width: 5, pair: None, score: None });
    narrow(&mut model, &[1, 4, 6]);
    let directory = tempfile::tempdir().unwrap();
    let (again, _) = written(&model, directory.path());
    assert_eq!(again.outline(), model.outline());
    assert_eq!(again.digest().unwrap(), model.digest().unwrap());
    assert_eq!(read(directory.path(), "1_Pooling/config.json")["word_embedding_dimension"], json!(3));
    let dense = read(directory.path(), "2_Dense/config.json");
    assert_eq!((&dense["in_features"], &dense["out_features"]), (&json!(3), &json!(5)));
    assert_eq!(again.outputs().map(Outputs::width), Some(5));
    assert_eq!(again.tensor("pooler.dense.weight").unwrap().dims(), [3, 3]);
}

#[test]
fn embeddings_without_a_head_get_shorter() {
    let mut model = tiny::bert("").open();
    model.set_outputs(Outputs::Embed { width: HIDDEN, pair: None, score: None });
    narrow(&mut model, &[1, 4, 6]);
    assert_eq!(model.outputs().map(Outputs::width), Some(3));
    assert_eq!(of(&model).dims(), [2, 3]);
}

#[rstest]
#[case("bert.pooler.dense", "classifier", tiny::bert("bert."))]
#[case("classifier.dense", "classifier.out_proj", tiny::roberta("roberta."))]
#[case("pre_classifier", "classifier", tiny::distilbert("distilbert."))]
fn classifiers_follow(#[case] pooler: &str, #[case] classifier: &str, #[case] tiny: Tiny) {
    let mut model = tiny.linear(pooler, HIDDEN, HIDDEN).linear(classifier, 3, HIDDEN).open();
    narrow(&mut model, &[1, 4, 6, 7]);
    assert_eq!(model.tensor(&format!("{pooler}.weight")).unwrap().dims(), [4, 4]);
    assert_eq!(model.tensor(&format!("{pooler}.bias")).unwrap().dims(), [4]);
    assert_eq!(model.tensor(&format!("{classifier}.weight")).unwrap().dims(), [3, 4]);
    assert_eq!(of(&model).dims(), [2, 3]);
}

#[test]
fn other_families_have_no_stream() {
    let spec = crate::support::spec("mlp", json!({"hidden": [4]}));
    assert_eq!(families::stream(&crate::support::outline(&spec, &[3], 2)).unwrap(), None);
}

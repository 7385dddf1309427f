//! The same weights in candle-transformers' models and in ours give the same numbers, fast and with gradients.

use candle_core::{DType, Device, IndexOp, Tensor};
use candle_transformers::models::{bert, distilbert, llama, mistral, qwen2, qwen3, xlm_roberta};
use paring_model::{Forward, Mode, Tokens};
use rstest::rstest;
use serde_json::json;

use crate::support::distance;
use crate::tiny::{self, Tiny, hidden, outputs, tokens};

const TOLERANCE: f64 = 1e-5;

fn mode(mode: Mode) -> Forward<'static> {
    Forward { mode, ..Forward::inference() }
}

fn close(found: &Tensor, expected: &Tensor) {
    let spread = distance(expected, &expected.zeros_like().unwrap());
    assert!(spread > 0.1, "numbers of {spread} at most say nothing");
    let apart = distance(found, expected);
    assert!(apart <= TOLERANCE, "they are {apart} apart");
}

fn ones(tokens: &Tokens) -> Tensor {
    tokens.mask.clone().unwrap_or_else(|| tokens.ids.ones_like().unwrap())
}

#[rstest]
fn bert_and_minilm(
    #[values("", "bert.")] prefix: &str,
    #[values(true, false)] padded: bool,
    #[values(Mode::Inference, Mode::Differentiable)] path: Mode,
) {
    let (tiny, tokens) = (tiny::bert(prefix), tokens(7, padded));
    let stock = bert::BertModel::load(tiny.stock(), &tiny.stock_config()).unwrap();
    let expected = stock.forward(&tokens.ids, tokens.types.as_ref().unwrap(), tokens.mask.as_ref()).unwrap();
    close(&hidden(&tiny.open(), &tokens, &mut mode(path)), &expected);
}

#[rstest]
fn roberta_and_xlm_roberta(
    #[values("roberta", "xlm-roberta")] model_type: &str,
    #[values(true, false)] padded: bool,
    #[values(Mode::Inference, Mode::Differentiable)] path: Mode,
) {
    let (tiny, tokens) = (tiny::roberta("").with("model_type", json!(model_type)), tokens(7, padded));
    let stock = xlm_roberta::XLMRobertaModel::new(&tiny.stock_config(), tiny.stock()).unwrap();
    let types = tokens.types.as_ref().unwrap();
    let expected = stock.forward(&tokens.ids, &ones(&tokens), types, None, None, None).unwrap();
    close(&hidden(&tiny.open(), &tokens, &mut mode(path)), &expected);
}

#[rstest]
fn classifiers_of_roberta(#[values(Mode::Inference, Mode::Differentiable)] path: Mode) {
    let tiny = tiny::roberta("roberta.").linear("classifier.dense", tiny::HIDDEN, tiny::HIDDEN);
    let (tiny, tokens) = (tiny.linear("classifier.out_proj", 3, tiny::HIDDEN), tokens(7, true));
    let config = tiny.stock_config();
    let stock = xlm_roberta::XLMRobertaForSequenceClassification::new(3, &config, tiny.stock()).unwrap();
    let expected = stock.forward(&tokens.ids, &ones(&tokens), tokens.types.as_ref().unwrap()).unwrap();
    close(&outputs(&tiny.open(), &tokens, &mut mode(path)), &expected);
}

/// Stock computes the tanh approximation under the name of the exact one.
#[rstest]
#[case("gelu", "gelu_new")]
#[case("relu", "relu")]
fn distilbert_gives_the_stock_numbers(
    #[case] stock_activation: &str,
    #[case] activation: &str,
    #[values("", "distilbert.")] prefix: &str,
    #[values(true, false)] padded: bool,
    #[values(Mode::Inference, Mode::Differentiable)] path: Mode,
) {
    let (tiny, tokens) = (tiny::distilbert(prefix).with("activation", json!(stock_activation)), tokens(7, padded));
    let stock = distilbert::DistilBertModel::load(tiny.stock(), &tiny.stock_config()).unwrap();
    let unseen = ones(&tokens).eq(0_u32).unwrap().reshape((2, 1, 1, 7)).unwrap();
    let expected = stock.forward(&tokens.ids, &unseen).unwrap();
    let model = tiny.with("activation", json!(activation)).open();
    close(&hidden(&model, &tokens, &mut mode(path)), &expected);
}

/// Logits of a stock model that gives those of the last token only, after each token.
fn each(length: usize, mut last: impl FnMut(&Tensor) -> Tensor) -> Tensor {
    let ids = tokens(length, false).ids;
    let of = |end: usize| last(&ids.narrow(1, 0, end).unwrap().contiguous().unwrap()).reshape((2, 1, ())).unwrap();
    Tensor::cat(&(1..=length).map(of).collect::<Vec<_>>(), 1).unwrap()
}

fn check(tiny: &Tiny, path: Mode, last: impl FnMut(&Tensor) -> Tensor) {
    let tokens = Tokens::new(tokens(7, false).ids);
    let found = outputs(&tiny.open(), &tokens, &mut mode(path));
    assert_eq!(found.dims(), [2, 7, tiny::VOCABULARY]);
    close(&found, &each(7, last));
}

#[rstest]
fn llama_gives_the_stock_numbers(
    #[values(tiny::llama(), tiny::tied_llama())] tiny: Tiny,
    #[values(Mode::Inference, Mode::Differentiable)] path: Mode,
) {
    let config = tiny.stock_config::<llama::LlamaConfig>().into_config(false);
    let stock = llama::Llama::load(tiny.stock(), &config).unwrap();
    check(&tiny, path, |ids| {
        let mut cache = llama::Cache::new(false, DType::F32, &config, &Device::Cpu).unwrap();
        stock.forward(ids, 0, &mut cache).unwrap()
    });
}

/// A window of stock leaves out the token itself, which that of transformers counts.
#[rstest]
fn mistral_gives_the_stock_numbers(
    #[values(2, 3, 40)] window: usize,
    #[values(Mode::Inference, Mode::Differentiable)] path: Mode,
) {
    let tiny = tiny::mistral(window);
    let mut stock = mistral::Model::new(&tiny::mistral(window - 1).stock_config(), tiny.stock()).unwrap();
    check(&tiny, path, |ids| {
        stock.clear_kv_cache();
        stock.forward(ids, 0).unwrap()
    });
}

#[rstest]
fn qwen2_gives_the_stock_numbers(
    #[values(true, false)] tied: bool,
    #[values(Mode::Inference, Mode::Differentiable)] path: Mode,
) {
    let mut tiny = tiny::qwen2().with("tie_word_embeddings", json!(tied));
    if tied {
        tiny.tensors.remove("lm_head.weight");
    }
    let mut stock = qwen2::ModelForCausalLM::new(&tiny.stock_config(), tiny.stock()).unwrap();
    check(&tiny, path, |ids| {
        stock.clear_kv_cache();
        stock.forward(ids, 0).unwrap()
    });
}

#[rstest]
fn qwen3_gives_the_stock_numbers(#[values(Mode::Inference, Mode::Differentiable)] path: Mode) {
    let tiny = tiny::qwen3();
    let mut stock = qwen3::ModelForCausalLM::new(&tiny.stock_config(), tiny.stock()).unwrap();
    check(&tiny, path, |ids| {
        stock.clear_kv_cache();
        stock.forward(ids, 0).unwrap()
    });
}

/// Half-precision weights are computed with in f32: exactly what their f32 copies give.
#[test]
fn half_precision_computes_in_f32() {
    for (name, mut tiny) in tiny::all() {
        for (index, tensor) in tiny.tensors.values_mut().enumerate() {
            *tensor = tensor.to_dtype(if index % 2 == 0 { DType::F16 } else { DType::BF16 }).unwrap();
        }
        let mut wide = tiny.clone();
        wide.tensors.values_mut().for_each(|tensor| *tensor = tensor.to_dtype(DType::F32).unwrap());
        let run = |tiny: &Tiny| outputs(&tiny.open(), &tokens(5, false), &mut Forward::inference());
        assert_eq!(distance(&run(&tiny), &run(&wide)), 0.0, "{name}");
        assert_eq!(run(&tiny).i(0).unwrap().dtype(), DType::F32);
    }
}

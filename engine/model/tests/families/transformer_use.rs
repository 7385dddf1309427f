//! Encoders and decoders at work: embeddings, padding, continuation, gradients, and removing units.

use candle_core::{D, DType, Device, IndexOp as _, Tensor};
use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Forward, Mode, Outputs, Tokens, families};
use rstest::rstest;
use serde_json::json;

use crate::support::distance;
use crate::tiny::{self, Tiny, hidden, outputs, tokens};

fn close(found: &Tensor, expected: &Tensor) {
    let apart = distance(found, expected);
    assert!(apart <= 1e-5, "they are {apart} apart");
}

/// A sentence encoder: mean pooling, then length one.
fn sentences() -> Tiny {
    let module = |kind: &str, path: &str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path});
    tiny::bert("")
        .file(
            "modules.json",
            json!([module("Transformer", ""), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize")]),
        )
        .file("1_Pooling/config.json", json!({"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}))
}

#[test]
fn an_embedding_is_the_mean_of_its_tokens_made_one_long() {
    let (model, tokens) = (sentences().open(), tokens(6, true));
    let states = hidden(&model, &tokens, &mut Forward::inference());
    let found = outputs(&model, &tokens, &mut Forward::inference());
    let mean = states.i((1, ..4)).unwrap().mean(0).unwrap();
    let length = mean.sqr().unwrap().sum_all().unwrap().sqrt().unwrap();
    close(&found.i(1).unwrap(), &mean.broadcast_div(&length).unwrap());
}

#[test]
fn every_architecture_leaves_padding_out() {
    for (name, tiny) in tiny::all() {
        let (model, padded) = (tiny.open(), tokens(6, true));
        let short = Tokens::new(padded.ids.i((1..2, ..4)).unwrap());
        let short = Tokens { types: Some(padded.types.as_ref().unwrap().i((1..2, ..4)).unwrap()), ..short };
        let expected = hidden(&model, &short, &mut Forward::inference());
        let found = hidden(&model, &padded, &mut Forward::inference()).i((1..2, ..4)).unwrap();
        let apart = distance(&found, &expected);
        assert!(apart <= 1e-5, "{name}: padding moves tokens by {apart}");
    }
}

#[rstest]
fn a_text_read_token_by_token_is_continued_as_a_whole_one(
    #[values("llama", "tied llama", "mistral", "qwen2", "qwen3")] name: &str,
) {
    let (_, tiny) = tiny::all().into_iter().find(|(found, _)| *found == name).unwrap();
    let (model, tokens) = (tiny.open(), tokens(7, false));
    let whole = outputs(&model, &tokens, &mut Forward::inference());
    let network = model.network().unwrap();
    let mut generation = network.generation().unwrap();
    let prompt = Tokens::new(tokens.ids.i((.., ..3)).unwrap());
    let mut next = generation.prefill(&prompt, &mut Forward::inference()).unwrap();
    for place in 3..7 {
        close(&next, &whole.i((.., place - 1)).unwrap());
        next = generation.step(&tokens.ids.i((.., place)).unwrap(), &mut Forward::inference()).unwrap();
    }
    close(&next, &whole.i((.., 6)).unwrap());
    assert_eq!(generation.length(), 7);
}

/// The checkpoint's weights as variables.
struct Variables(std::collections::BTreeMap<String, candle_core::Var>);

impl Variables {
    fn of(model: &Checkpoint) -> Self {
        let variable = |name: String| {
            let tensor = model.tensor(&name).unwrap().to_dtype(DType::F32).unwrap();
            (name, candle_core::Var::from_tensor(&tensor).unwrap())
        };
        Self(model.names().into_iter().map(variable).collect())
    }
}

impl paring_model::tap::WeightSource for Variables {
    fn site(&self, name: &str) -> paring_model::Result<paring_model::tap::TapWeight> {
        Ok(paring_model::tap::TapWeight::Dense(self.0[&format!("{name}.weight")].as_tensor().clone()))
    }

    fn tensor(&self, name: &str) -> paring_model::Result<Tensor> {
        Ok(self.0[name].as_tensor().clone())
    }
}

#[test]
fn every_weight_of_every_architecture_has_the_gradient_of_finite_differences() {
    for (name, tiny) in tiny::all() {
        let (model, tokens) = (tiny.open(), tokens(5, true));
        let variables = Variables::of(&model);
        let network = model.network_from(&variables).unwrap();
        let loss = || {
            let found = network.forward(&paring_model::Input::Tokens(tokens.clone()), &mut Forward::differentiable());
            let found = found.unwrap().flatten_all().unwrap();
            let mixed = Tensor::arange(0_f32, found.dim(0).unwrap() as f32, &Device::Cpu).unwrap().sin().unwrap();
            (found * mixed).unwrap().sum_all().unwrap()
        };
        let gradients = loss().backward().unwrap();
        for (weight, variable) in &variables.0 {
            let gradient = gradients.get(variable).unwrap_or_else(|| panic!("{name}: `{weight}` has no gradient"));
            let flat = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let at = (0..flat.len()).max_by(|&a, &b| flat[a].abs().total_cmp(&flat[b].abs())).unwrap();
            // The bias of keys moves all scores of a query alike, and a padding row is never read.
            if flat[at].abs() < 1e-4 {
                assert!(
                    weight.contains("key.bias") || weight.contains("k_lin.bias") || weight.contains("attn.k.bias"),
                    "{name}: `{weight}` has no gradient"
                );
                continue;
            }
            let before = variable.as_tensor().copy().unwrap();
            let moved = |by: f32| {
                let mut numbers = before.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                numbers[at] += by;
                variable.set(&Tensor::from_vec(numbers, before.shape(), &Device::Cpu).unwrap()).unwrap();
                loss().to_scalar::<f32>().unwrap()
            };
            let step = 2e-3;
            let expected = (moved(step) - moved(-step)) / (2.0 * step);
            variable.set(&before).unwrap();
            let difference = (flat[at] - expected).abs();
            assert!(
                difference <= 0.03 * expected.abs().max(0.1),
                "{name}: `{weight}` is {} and not {expected}",
                flat[at]
            );
        }
    }
}

#[test]
fn silent_heads_and_neurons_of_every_architecture_can_go() {
    for (name, tiny) in tiny::all() {
        let tokens = tokens(5, true);
        for group in families::units(&tiny.open().outline()).unwrap() {
            let mut model = tiny.open();
            let keep: Vec<usize> = (0..group.count).filter(|unit| unit % 2 == 0).collect();
            // What reads a unit reads zeros: the units that go say nothing.
            for slice in group.slices.iter().filter(|slice| slice.axis == 1) {
                let tensor = model.tensor(&slice.tensor).unwrap();
                let width = tensor.dim(1).unwrap();
                let loud =
                    (0..width).map(|entry| match entry.checked_sub(slice.offset).map(|entry| entry / slice.width) {
                        Some(unit) if unit < group.count && unit % 2 == 1 => 0.0_f32,
                        _ => 1.0,
                    });
                let loud = Tensor::from_vec(loud.collect(), (1, width), &Device::Cpu).unwrap();
                model.set_tensor(&slice.tensor, tensor.broadcast_mul(&loud).unwrap());
            }
            let expected = outputs(&model, &tokens, &mut Forward::inference());
            let mut foretold = model.outline();
            keep_units_outline(&mut foretold, &group, keep.len()).unwrap();
            keep_units(&mut model, &group, &keep).unwrap();
            assert_eq!(model.outline(), foretold, "{name}: {} of {}", group.kind, group.site);
            let apart = distance(&outputs(&model, &tokens, &mut Forward::inference()), &expected);
            assert!(apart <= 1e-5, "{name}: without {} of `{}` it is {apart} apart", group.kind, group.site);
            let directory = tempfile::tempdir().unwrap();
            model.save(directory.path()).unwrap();
            let again = Checkpoint::open(directory.path()).unwrap();
            assert_eq!(again.outline().weights, model.outline().weights);
            assert!(distance(&outputs(&again, &tokens, &mut Forward::inference()), &expected) <= 1e-5);
        }
    }
}

#[rstest]
#[case(tiny::bert("").with("num_attention_heads", json!(0)), "`config.json` is not a valid config.json file: the `bert` configuration is wrong: `num_attention_heads` is `0`, expected a whole number from 1 to 2147483648")]
#[case(tiny::bert("").with("num_attention_heads", json!(5)), "`config.json` is not a valid config.json file: the `bert` configuration is wrong: `hidden_size` is `16`, expected a multiple of `num_attention_heads`, 5")]
#[case(tiny::bert("").with("num_hidden_layers", json!(9)), "tensor `encoder.layer.2.attention.self.query.weight` is missing")]
#[case(tiny::bert("").with("num_hidden_layers", json!(1_u64 << 60)), "`config.json` is not a valid config.json file: the `bert` configuration is wrong: `num_hidden_layers` is `1152921504606846976`, expected a whole number from 1 to 2147483648")]
#[case(tiny::bert("").with("hidden_act", json!("swish9")), "`config.json` is not a valid config.json file: the `bert` configuration is wrong: `hidden_act` is `\"swish9\"`, expected gelu, gelu_new, gelu_fast, gelu_pytorch_tanh, relu, silu or tanh")]
#[case(tiny::bert("").with("layer_norm_eps", json!("small")), "`config.json` is not a valid config.json file: the `bert` configuration is wrong: `layer_norm_eps` is `\"small\"`, expected a number above 0")]
#[case(tiny::llama().with("head_dim", json!(0)), "`config.json` is not a valid config.json file: the `llama` configuration is wrong: `head_dim` is `0`, expected a whole number from 1 to 2147483648")]
#[case(tiny::llama().with("head_dim", json!(5)), "`config.json` is not a valid config.json file: the `llama` configuration is wrong: the head width is `5`, expected an even number")]
#[case(tiny::llama().with("num_hidden_layers", json!(null)), "`config.json` is not a valid config.json file: the `llama` configuration is wrong: `num_hidden_layers` is missing, expected a whole number from 1 to 2147483648")]
#[case(tiny::llama().with("rope_theta", json!(-1)), "`config.json` is not a valid config.json file: the `llama` configuration is wrong: `rope_theta` is `-1`, expected a number above 0")]
#[case(tiny::llama().with("rope_scaling", json!({"rope_type": "novel"})), "`config.json` is not a valid config.json file: the `llama` configuration is wrong: `rope_scaling`: `rope_type` is `\"novel\"`, expected default, linear or llama3")]
#[case(sentences().file("1_Pooling/config.json", json!({"pooling_mode_max_tokens": true})), "`config.json` is not a valid config.json file: the `bert` configuration is wrong: `1_Pooling/config.json`: the ways of pooling are others, expected one of `pooling_mode_mean_tokens` and `pooling_mode_cls_token` to be true")]
fn settings_that_do_not_fit_are_explained(#[case] tiny: Tiny, #[case] expected: &str) {
    let directory = tempfile::tempdir().unwrap();
    tiny.write(directory.path());
    let message = match Checkpoint::open(directory.path()) {
        Err(_) => tiny.refused(),
        Ok(model) => model.outline().sites().unwrap_err().to_string(),
    };
    assert_eq!(message, expected);
}

#[test]
fn every_encoder_takes_an_output_layer_and_keeps_it() {
    for (name, tiny) in tiny::all().into_iter().filter(|(_, tiny)| families::takes_text_head(&tiny.open())) {
        let mut model = tiny.open();
        let labels = ["bad", "fair", "good"].map(str::to_owned).to_vec();
        let outputs_of = Outputs::Classify { column: "stars".to_owned(), labels };
        let mut uniform =
            |_: &str, buffer: &mut [f32]| buffer.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 7) as f32 / 7.0);
        let added = families::add_text_head(&mut model, &outputs_of, &mut uniform).unwrap();
        assert!(added.iter().any(|weight| weight.starts_with("classifier")), "{name}: {added:?}");
        let found = outputs(&model, &tokens(5, true), &mut Forward::inference());
        assert_eq!(found.dims(), [2, 3], "{name}");
        let directory = tempfile::tempdir().unwrap();
        model.save(directory.path()).unwrap();
        let again = Checkpoint::open(directory.path()).unwrap();
        assert_eq!((again.outline(), again.digest().unwrap()), (model.outline(), model.digest().unwrap()), "{name}");
        assert!(distance(&outputs(&again, &tokens(5, true), &mut Forward::inference()), &found) == 0.0, "{name}");
    }
    assert_eq!(tiny::all().iter().filter(|(_, tiny)| families::takes_text_head(&tiny.open())).count(), 6);
}

#[test]
fn the_head_of_a_classifier_gives_a_number_a_class() {
    let tiny = tiny::bert("bert.").linear("bert.pooler.dense", tiny::HIDDEN, tiny::HIDDEN);
    let model = tiny.linear("classifier", 3, tiny::HIDDEN).open();
    let found = outputs(&model, &tokens(5, true), &mut Forward { mode: Mode::Inference, ..Forward::inference() });
    let states = hidden(&model, &tokens(5, true), &mut Forward::inference());
    let affine = |x: &Tensor, name: &str| {
        let weight = model.tensor(&format!("{name}.weight")).unwrap();
        x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&model.tensor(&format!("{name}.bias")).unwrap()).unwrap()
    };
    let first = states.i((.., 0)).unwrap().contiguous().unwrap();
    let expected = affine(&affine(&first, "bert.pooler.dense").tanh().unwrap(), "classifier");
    assert_eq!(found.dim(D::Minus1).unwrap(), 3);
    close(&found, &expected);
}

/// The last hidden states that transformers 5.24 (torch 2.15) gives for the same checkpoint and tokens.
#[test]
fn mpnet_gives_the_numbers_of_transformers() {
    let states = hidden(&tiny::mpnet().open(), &tokens(12, true), &mut Forward::inference());
    let expected = Tensor::new(
        &[
            [
                0.34253883_f32,
                1.1266859,
                -0.6918952,
                0.14789906,
                0.9448033,
                -0.63313437,
                -0.06623568,
                -0.44335684,
                0.1612344,
                3.1514828,
                -1.1371217,
                -0.62764573,
                0.23411362,
                -1.7811644,
                -0.27814123,
                0.4844769,
            ],
            [
                -0.6790578,
                0.5727429,
                1.4138258,
                0.85219413,
                0.5396247,
                -1.4814322,
                -0.5621087,
                0.78674775,
                -0.44384447,
                2.4948123,
                -0.96843904,
                0.23424666,
                -0.9346356,
                -1.2433051,
                0.76258326,
                -0.07460673,
            ],
        ],
        &Device::Cpu,
    );
    let found = Tensor::stack(&[states.i((0, 0)).unwrap(), states.i((1, 9)).unwrap()], 0).unwrap();
    close(&found, &expected.unwrap());
}

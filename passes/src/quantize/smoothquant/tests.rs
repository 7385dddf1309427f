//! `quantize/smoothquant`: the model computes what it did, with smaller outliers.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Forward, Input, Site, Tokens};
use paring_train::Stream;
use proptest::prelude::{prop, proptest};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{SmoothQuant, fold, groups};
use crate::testing::{Bench, built, classes, inputs, labels};

/// Rows whose third column is fifty times the others.
fn bench(rows: usize) -> Bench {
    let mut rng = Stream::new(3).rng();
    let size = |column: usize| if column == 2 { 50.0 } else { 1.0 };
    let rows: Vec<Vec<f64>> =
        (0..rows).map(|_| (0..4).map(|column| rng.random_range(-1.0..1.0) * size(column)).collect()).collect();
    let names: Vec<&str> = (0..rows.len()).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    Bench::with_rows(classes(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), &names))
}

fn outputs(model: &Checkpoint) -> Vec<f32> {
    let data = (0..80).map(|place| ((place * 37 % 101) as f32 - 50.0) / 25.0).collect();
    let rows = Matrix { rows: 20, columns: 4, data }.into();
    model.predict(&rows, 8).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(found: &[f32], expected: &[f32]) {
    let most = expected.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-5 * most, "{found} {expected}");
    }
}

#[test]
fn a_network_with_relu_computes_what_it_did_and_its_ranges_shrink() {
    let model = built(&[8, 6], inputs(4), labels(&["a", "b"]));
    for parameters in [json!({}), json!({"alpha": 0.8}), json!({"search": true})] {
        let effect = bench(40).plan::<SmoothQuant>(&parameters, &model).unwrap();
        assert_eq!(effect.touches, ["head", "layers.0", "layers.1"]);
        assert_eq!(effect.skips, [("layers.0".to_owned(), "nothing that takes up factors lies before it".to_owned())]);
        let outcome = bench(40).run::<SmoothQuant>(&parameters, &model).unwrap();
        assert_close(&outputs(&outcome.model), &outputs(&model));
        let changed = outcome.model.changed_tensors(&model).unwrap();
        let expected = ["head.weight", "layers.0.bias", "layers.0.weight", "layers.1.bias", "layers.1.weight"];
        assert_eq!(changed, expected);
        let figures = &outcome.receipt.sites["head"];
        assert!(figures["largest_input_after"] < figures["largest_input_before"], "{figures:?}");
    }
}

#[test]
fn what_cannot_be_smoothed_is_said() {
    let model = built(&[], inputs(4), labels(&["a", "b"]));
    let problems = bench(40).plan::<SmoothQuant>(&json!({}), &model).unwrap_err();
    assert!(problems[0].message.starts_with("no target has a norm of its own"), "{problems:?}");
    let problems = bench(40).plan::<SmoothQuant>(&json!({"alpha": 0.5, "search": true}), &model).unwrap_err();
    assert_eq!(problems[0].message, "does not go with `search: true`, which finds it");
}

/// A checkpoint as others write it, of tensors that follow from their names.
fn foreign(config: &Value, shapes: &[(String, Vec<usize>)]) -> Checkpoint {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    let stream = Stream::new(11);
    let tensor = |(name, shape): &(String, Vec<usize>)| {
        let mut rng = stream.split(name).rng();
        let numbers = (0..shape.iter().product()).map(|_| rng.random_range(-0.5_f32..0.5)).collect();
        (name.clone(), Tensor::from_vec(numbers, shape.as_slice(), &Device::Cpu).unwrap())
    };
    let tensors: HashMap<String, Tensor> = shapes.iter().map(tensor).collect();
    candle_core::safetensors::save(&tensors, directory.path().join("model.safetensors")).unwrap();
    Checkpoint::open(directory.path()).unwrap()
}

/// A decoder of two layers, whose norms have no bias.
fn decoder() -> Checkpoint {
    let config = json!({"model_type": "llama", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 12, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 32, "tie_word_embeddings": false});
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![20, 8])];
    for layer in 0..2 {
        let at = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for (part, shape) in [
            ("self_attn.q_proj", vec![8, 8]),
            ("self_attn.k_proj", vec![4, 8]),
            ("self_attn.v_proj", vec![4, 8]),
            ("self_attn.o_proj", vec![8, 8]),
            ("mlp.gate_proj", vec![12, 8]),
            ("mlp.up_proj", vec![12, 8]),
            ("mlp.down_proj", vec![8, 12]),
            ("input_layernorm", vec![8]),
            ("post_attention_layernorm", vec![8]),
        ] {
            shapes.push((at(part), shape));
        }
    }
    shapes.push(("model.norm.weight".to_owned(), vec![8]));
    shapes.push(("lm_head.weight".to_owned(), vec![20, 8]));
    foreign(&config, &shapes)
}

/// An encoder that labels tokens: the norms of its layers are added to, the last one feeds the classifier alone.
fn encoder() -> Checkpoint {
    let config = json!({"model_type": "bert", "architectures": ["BertForTokenClassification"], "vocab_size": 20,
        "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12,
        "hidden_act": "gelu", "max_position_embeddings": 16, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
        "pad_token_id": 0, "position_embedding_type": "absolute", "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0, "id2label": {"0": "a", "1": "b", "2": "c"}});
    let mut shapes = Vec::new();
    for (name, rows) in [("word", 20), ("position", 16), ("token_type", 2)] {
        shapes.push((format!("bert.embeddings.{name}_embeddings.weight"), vec![rows, 8]));
    }
    let mut pairs = vec![("bert.embeddings.LayerNorm".to_owned(), vec![8]), ("classifier".to_owned(), vec![3, 8])];
    let at = |part: &str| format!("bert.encoder.layer.0.{part}");
    for part in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
        pairs.push((at(part), vec![8, 8]));
    }
    pairs.push((at("intermediate.dense"), vec![12, 8]));
    pairs.push((at("output.dense"), vec![8, 12]));
    pairs.push((at("attention.output.LayerNorm"), vec![8]));
    pairs.push((at("output.LayerNorm"), vec![8]));
    for (name, shape) in pairs {
        shapes.push((format!("{name}.bias"), shape[..1].to_vec()));
        shapes.push((format!("{name}.weight"), shape));
    }
    foreign(&config, &shapes)
}

fn of_tokens(model: &Checkpoint) -> Vec<f32> {
    let ids = Tensor::new(&[[1_u32, 5, 9, 2, 17], [3, 3, 8, 19, 0]], &Device::Cpu).unwrap();
    let network = model.network().unwrap();
    let output = network.forward(&Input::Tokens(Tokens::new(ids)), &mut Forward::inference()).unwrap();
    output.flatten_all().unwrap().to_vec1().unwrap()
}

fn groups_of(model: &Checkpoint) -> (Vec<groups::Group>, Vec<(String, String)>) {
    let sites: Vec<Site> = model.outline().sites().unwrap();
    groups::find(&model.outline(), &sites)
}

#[test]
fn groups_are_the_readers_of_a_norm_that_nothing_else_reads() {
    let names = |model: &Checkpoint| -> Vec<Vec<String>> {
        let groups = groups_of(model).0;
        groups.iter().map(|group| group.sites.iter().map(|site| site.name.clone()).collect()).collect()
    };
    let found = names(&decoder());
    assert_eq!(found.len(), 7);
    assert_eq!(found[0], ["q", "k", "v"].map(|part| format!("model.layers.0.self_attn.{part}_proj")));
    assert_eq!(found[2], ["model.layers.0.mlp.down_proj"]);
    assert_eq!(found[6], ["lm_head"]);
    assert_eq!(names(&encoder()), [["classifier"]]);
    let left = groups_of(&encoder()).1;
    let query = left.iter().find(|(site, _)| site.ends_with("query")).unwrap();
    assert_eq!(query.1, "what the norm before it gives is also added to what the layer gives");
}

#[test]
fn a_target_whose_neighbour_is_left_out_is_left() {
    let model = decoder();
    let sites: Vec<Site> = model.outline().sites().unwrap();
    let some: Vec<Site> = sites.into_iter().filter(|site| !site.name.ends_with("layers.0.self_attn.k_proj")).collect();
    let (groups, left) = groups::find(&model.outline(), &some);
    assert_eq!(groups.len(), 6);
    let query = left.iter().find(|(site, _)| site.ends_with("layers.0.self_attn.q_proj")).unwrap();
    assert!(query.1.contains("`model.layers.0.self_attn.k_proj`, which is not among the targets"), "{}", query.1);
}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20))]
    #[test]
    fn any_factors_leave_the_outputs_as_they_are(factors in prop::collection::vec(0.05_f32..20.0, 8)) {
        for mut model in [decoder(), encoder()] {
            let before = of_tokens(&model);
            for group in groups_of(&model).0 {
                let inputs = group.sites[0].in_features;
                let factors: Vec<f32> = factors.iter().copied().cycle().take(inputs).collect();
                fold::apply(&mut model, &group, &factors).unwrap();
            }
            assert_close(&of_tokens(&model), &before);
        }
    }
}

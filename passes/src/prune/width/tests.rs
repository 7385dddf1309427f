//! `prune/width` on transformers of a few numbers.

use candle_core::{Device, Tensor};
use paring_model::config::Spec;
use paring_model::{Checkpoint, Input, Outputs, Tokens};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Width, by_magnitude, by_norms};
use crate::builtin;
use crate::calibration::Calibration;
use crate::testing::transformers::{decoder, encoder, of_tokens};
use crate::testing::{Bench, built, classes, inputs, labels};

fn numbers(model: &Checkpoint, name: &str) -> Vec<Vec<f64>> {
    let tensor = model.tensor(name).unwrap();
    let rows = if tensor.rank() == 1 { tensor.unsqueeze(0).unwrap() } else { tensor };
    let rows = rows.to_vec2::<f32>().unwrap();
    rows.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect()
}

fn close(found: &[f64], expected: &[f64]) {
    let fits = found.iter().zip(expected).all(|(one, other)| (one - other).abs() <= 1e-5 * other.abs());
    assert!(found.len() == expected.len() && fits, "{found:?} {expected:?}");
}

/// The layers add nothing, so that every norm reads the tokens' own vectors.
#[test]
fn activations_are_those_of_the_norms() {
    let mut model = decoder();
    for layer in 0..2 {
        for part in ["self_attn.o_proj", "mlp.down_proj"] {
            let name = format!("model.layers.{layer}.{part}.weight");
            model.set_tensor(&name, model.tensor(&name).unwrap().zeros_like().unwrap());
        }
    }
    let ids = [[1_u32, 5, 9], [3, 3, 8]];
    let batch = Input::Tokens(Tokens::new(Tensor::new(&ids, &Device::Cpu).unwrap()));
    let calibration = Calibration::of_batches(&model, vec![batch]);
    let found = Bench::empty().with_cx(&model, |cx| by_norms(cx, &model, &calibration)).unwrap();
    let words = numbers(&model, "model.embed_tokens.weight");
    let mut expected = [0.0; 8];
    for &id in ids.as_flattened() {
        let word = &words[id as usize];
        let length = (word.iter().map(|number| number * number).sum::<f64>() / 8.0 + 1e-5).sqrt();
        for (place, expected) in expected.iter_mut().enumerate() {
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                for layer in 0..2 {
                    let weight = numbers(&model, &format!("model.layers.{layer}.{norm}.weight"))[0][place];
                    *expected += (word[place] / length * weight).abs() / 6.0;
                }
            }
        }
    }
    close(&found, &expected);
}

#[test]
fn magnitudes_are_those_of_all_that_reads_or_writes() {
    let model = encoder();
    let stream = paring_model::families::stream(&model.outline()).unwrap().unwrap();
    let mut expected = [0.0; 8];
    let readers = ["attention.self.query", "attention.self.key", "attention.self.value", "intermediate.dense"];
    let readers = readers.map(|part| format!("bert.encoder.layer.0.{part}.weight"));
    let tables = ["word", "position", "token_type"].map(|part| format!("bert.embeddings.{part}_embeddings.weight"));
    for name in readers.iter().chain(&tables).chain(&["classifier.weight".to_owned()]) {
        for row in numbers(&model, name) {
            expected.iter_mut().zip(row).for_each(|(sum, number)| *sum += number.abs());
        }
    }
    for part in ["attention.output.dense", "output.dense"] {
        for (sum, row) in expected.iter_mut().zip(numbers(&model, &format!("bert.encoder.layer.0.{part}.weight"))) {
            *sum += row.iter().map(|number| number.abs()).sum::<f64>();
        }
    }
    close(&by_magnitude(&model, &stream).unwrap(), &expected);
}

/// The heads stay: four of two numbers each.
#[rstest]
#[case(decoder(), 2)]
#[case(encoder(), 4)]
fn the_best_dimensions_stay_everywhere(#[case] model: Checkpoint, #[case] head_width: usize) {
    let parameters = json!({"ratio": 0.4, "importance": "magnitude"});
    let effect = Bench::empty().plan::<Width>(&parameters, &model).unwrap();
    assert_eq!((effect.exact, &effect.notes[..]), (true, &["5 of 8 dimensions stay".to_owned()][..]));
    assert_eq!((effect.touches.len(), effect.skips.len()), (model.outline().sites().unwrap().len(), 0));
    let outcome = Bench::empty().run::<Width>(&parameters, &model).unwrap();
    assert_eq!(outcome.receipt.summary, "kept 5 of 8 dimensions");
    let details = &outcome.receipt.details["stream"];
    let kept: Vec<usize> = serde_json::from_value(details["kept"].clone()).unwrap();
    let scores: Vec<f64> = serde_json::from_value(details["scores"].clone()).unwrap();
    let least = kept.iter().map(|&place| scores[place]).fold(f64::INFINITY, f64::min);
    assert!((0..8).filter(|place| !kept.contains(place)).all(|place| scores[place] < least), "{scores:?} {kept:?}");
    let words = model.names().into_iter().find(|name| name.contains("embed_tokens") || name.contains("word_")).unwrap();
    for (after, before) in numbers(&outcome.model, &words).iter().zip(numbers(&model, &words)) {
        assert_eq!(*after, kept.iter().map(|&place| before[place]).collect::<Vec<_>>());
    }
    let found = match &outcome.model.config().unwrap().spec {
        Spec::Bert(spec) => spec.head_width,
        Spec::Llama(spec) => spec.head_width,
        Spec::Mlp(_) | Spec::Convnet(_) => 0,
    };
    assert_eq!(found, head_width);
    let directory = tempfile::tempdir().unwrap();
    outcome.model.save(directory.path()).unwrap();
    let opened = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(opened.outline(), outcome.model.outline());
    assert_eq!(of_tokens(&opened), of_tokens(&outcome.model));
}

#[rstest]
#[case(json!({"ratio": 0.5}), 4)]
#[case(json!({"ratio": 0.9, "round_to": 3}), 3)]
#[case(json!({"keep": 5, "round_to": 2}), 6)]
fn widths_are_rounded_up(#[case] mut parameters: Value, #[case] width: usize) {
    parameters["importance"] = json!("magnitude");
    let outcome = Bench::empty().run::<Width>(&parameters, &decoder()).unwrap();
    assert_eq!(outcome.model.tensor("model.norm.weight").unwrap().dims(), [width]);
}

#[rstest]
#[case(json!({}), "", "has neither `ratio` nor `keep`")]
#[case(json!({"ratio": 0.5, "keep": 2}), "/keep", "cannot be given together with `ratio`")]
#[case(json!({"ratio": 0}), "/ratio", "is `0`, expected a number from 0 (exclusive) to 1 (exclusive)")]
#[case(json!({"ratio": 1}), "/ratio", "is `1`, expected a number from 0 (exclusive) to 1 (exclusive)")]
fn all_and_nothing_are_refused(#[case] parameters: Value, #[case] pointer: &str, #[case] message: &str) {
    let problems = builtin::pass::<Width>().configure(&parameters).err().unwrap();
    assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message));
}

#[rstest]
#[case(json!({"ratio": 0.05, "importance": "magnitude"}))]
#[case(json!({"keep": 8, "importance": "magnitude"}))]
#[case(json!({"ratio": 0.5, "round_to": 8, "importance": "magnitude"}))]
fn removing_nothing_is_refused(#[case] parameters: Value) {
    let problems = Bench::empty().plan::<Width>(&parameters, &decoder()).unwrap_err();
    assert_eq!(problems[0].message, "removes no dimension: all 8 stay");
}

#[test]
fn models_without_a_stream_are_refused() {
    let model = built(&[4], inputs(2), labels(&["a", "b"]));
    let problems = Bench::empty().plan::<Width>(&json!({"ratio": 0.5, "importance": "magnitude"}), &model).unwrap_err();
    assert_eq!(problems[0].message, "the model has no stream that all of its layers share, as transformers have");
}

#[test]
fn activations_need_rows() {
    let problems = Bench::empty().plan::<Width>(&json!({"ratio": 0.5}), &decoder()).unwrap_err();
    assert_eq!(problems[0].message, "has 0 calibration rows, expected at least 8");
}

/// Embeddings that get shorter cannot be compared with those that were.
#[test]
fn a_measure_that_cannot_be_taken_afterwards_is_refused() {
    let mut model = encoder();
    for part in ["weight", "bias"] {
        model.remove(&format!("classifier.{part}"));
    }
    let source = tempfile::tempdir().unwrap();
    model.save(source.path()).unwrap();
    let mut model = Checkpoint::open(source.path()).unwrap();
    model.set_outputs(Outputs::Embed { width: 8, pair: None, score: None });
    let rows = classes(&[[1.0].as_slice(); 8], &["a", "b", "a", "b", "a", "b", "a", "b"]);
    let mut bench = Bench::with_rows(rows);
    bench.measures = vec!["size".to_owned()];
    let effect = bench.plan::<Width>(&json!({"keep": 3}), &model).unwrap();
    assert!(effect.notes.contains(&"embeddings have 3 numbers, no longer 8".to_owned()), "{:?}", effect.notes);
    bench.measures.push("cosine_min".to_owned());
    let problems = bench.plan::<Width>(&json!({"keep": 3}), &model).unwrap_err();
    let expected =
        "leaves embeddings of 3 numbers, so that the measure `cosine_min` cannot compare them with those of 8";
    assert_eq!(problems[0].message, expected);
}

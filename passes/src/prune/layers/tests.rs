//! `prune/layers` on a decoder of two layers.

use candle_core::Tensor;
use paring_model::{Checkpoint, Forward, Input, Tokens};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Layers, influences, strongest};
use crate::builtin;
use crate::testing::transformers::{decoder, encoder, of_tokens};
use crate::testing::{Bench, built, classes, inputs, labels};

/// A layer that adds nothing to its input: what writes the stream is zero.
fn idle(layer: usize) -> Checkpoint {
    let mut model = decoder();
    for part in ["self_attn.o_proj", "mlp.down_proj"] {
        let name = format!("model.layers.{layer}.{part}.weight");
        model.set_tensor(&name, model.tensor(&name).unwrap().zeros_like().unwrap());
    }
    model
}

/// Rows, which only the fake measure would look at.
fn with_rows() -> Bench {
    Bench::with_rows(classes(&[[1.0].as_slice(); 8], &["a", "b", "a", "b", "a", "b", "a", "b"]))
}

/// What is left answers as the whole did, whichever of the layers was idle.
#[rstest]
#[case(0)]
#[case(1)]
fn a_layer_that_does_nothing_goes_without_a_trace(#[case] layer: usize) {
    let before = idle(layer);
    let effect = Bench::empty().plan::<Layers>(&json!({"layers": [layer]}), &before).unwrap();
    let outside = effect.skips.iter().map(|(site, _)| site.as_str()).collect::<Vec<_>>();
    assert_eq!((effect.touches.len(), outside), (14, vec!["model.embed_tokens", "lm_head"]));
    let outcome = Bench::empty().run::<Layers>(&json!({"layers": [layer]}), &before).unwrap();
    assert_eq!(of_tokens(&outcome.model), of_tokens(&before));
    assert_eq!(outcome.receipt.summary, format!("removed 1 of 2 layers: number {layer}"));
    let directory = tempfile::tempdir().unwrap();
    outcome.model.save(&directory.path().join("model")).unwrap();
    let opened = Checkpoint::open(&directory.path().join("model")).unwrap();
    assert_eq!(of_tokens(&opened), of_tokens(&before));
    assert_eq!(opened.names().iter().filter(|name| name.starts_with("model.layers.")).count(), 9);
}

#[test]
fn the_other_layer_does_not() {
    let before = idle(0);
    let outcome = Bench::empty().run::<Layers>(&json!({"layers": [1]}), &before).unwrap();
    assert_ne!(of_tokens(&outcome.model), of_tokens(&before));
}

#[test]
fn the_only_layer_stays() {
    let problems = Bench::empty().plan::<Layers>(&json!({"remove": 1}), &encoder()).unwrap_err();
    assert_eq!(problems[0].message, "leaves none of the 1 layers");
}

/// A layer that adds nothing turns its input by nothing; what the other one does is worked out from its input and
/// output.
#[test]
fn influence_is_how_far_a_layer_turns_its_input() {
    let model = idle(1);
    let ids = Tensor::new(&[[1_u32, 5, 9], [3, 3, 8]], &candle_core::Device::Cpu).unwrap();
    let input = Input::Tokens(Tokens::new(ids));
    let names = ["model.layers.0".to_owned(), "model.layers.1".to_owned()];
    let batches = [input.clone(), input.clone()];
    let found = Bench::empty().with_cx(&model, |cx| influences(cx, &model, &batches, &names)).unwrap();
    let network = model.network().unwrap();
    let (x, shared) = network.enter(&input).unwrap();
    let block = |index, x: &Tensor| network.block(index, x, &shared, &mut Forward::inference()).unwrap();
    let before = block(0, &x);
    let after = block(1, &before);
    let rows = |x: &Tensor| x.reshape((6, 8)).unwrap().to_vec2::<f32>().unwrap();
    let dot = |one: &[f32], other: &[f32]| one.iter().zip(other).map(|(one, other)| one * other).sum::<f32>();
    let cosine = |(one, other): (&Vec<f32>, &Vec<f32>)| dot(one, other) / (dot(one, one) * dot(other, other)).sqrt();
    let mean = rows(&before).iter().zip(&rows(&after)).map(cosine).sum::<f32>() / 6.0;
    assert!((found[0] - f64::from(1.0 - mean)).abs() < 1e-5 && found[0] > 0.01, "{found:?} {mean}");
    assert!(found[1].abs() < 1e-9, "{found:?}");
}

#[test]
fn the_least_influential_of_the_candidates_go() {
    assert_eq!(strongest(&[0.5, 0.1, 0.3, 0.2], &[0, 1, 2, 3], 2), [0, 2]);
    assert_eq!(strongest(&[0.5, 0.1, 0.3, 0.2], &[0, 2, 3], 2), [0, 1]);
    assert_eq!(strongest(&[0.2, 0.2, 0.2], &[0, 1, 2], 1), [0]);
}

/// The measure is a number of the first layer that is left: without layer 0 it is that of layer 1.
#[rstest]
#[case("perplexity")]
#[case("accuracy")]
fn a_measure_can_judge_instead(#[case] measure: &'static str) {
    let first = |model: &Checkpoint| -> f64 {
        let numbers: Vec<f32> =
            model.tensor("model.layers.0.mlp.up_proj.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap();
        f64::from(numbers[0])
    };
    let mut bench = with_rows();
    bench.measures = vec![measure.to_owned()];
    bench.services.measure = Some(Box::new(first));
    let before = decoder();
    let mut second = before.clone();
    paring_model::depth::keep_layers(&mut second, &[1]).unwrap();
    let outcome = bench.run::<Layers>(&json!({"remove": 1, "measure": measure}), &before).unwrap();
    let figure = |layer: usize| outcome.receipt.sites[&format!("model.layers.{layer}")][&format!("{measure}_without")];
    assert_eq!((figure(0), figure(1)), (first(&second), first(&before)));
    // Lower perplexity and higher accuracy are better: the layer goes without which the model is best.
    let without_first_is_better = (figure(0) < figure(1)) == (measure == "perplexity");
    let kept = |layer: usize| outcome.receipt.sites[&format!("model.layers.{layer}")]["kept"] == 1.0;
    assert_eq!((kept(0), kept(1)), (!without_first_is_better, without_first_is_better));
}

#[rstest]
#[case("size", "`size` does not tell a good layer from a bad one")]
#[case("perplexity", "`perplexity` is not among the recipe's measures")]
fn measures_that_say_nothing_are_refused(#[case] measure: &str, #[case] message: &str) {
    let mut bench = with_rows();
    bench.measures = vec!["size".to_owned()];
    let problems = bench.plan::<Layers>(&json!({"remove": 1, "measure": measure}), &decoder()).unwrap_err();
    assert_eq!(problems[0].message, message);
}

#[rstest]
#[case(json!({}), "", "has none of `remove`, `ratio` and `layers`")]
#[case(json!({"remove": 1, "layers": [0]}), "", "has more than one of `remove`, `ratio` and `layers`")]
#[case(json!({"ratio": 1}), "/ratio", "is `1`, expected a number from 0 (exclusive) to 1 (exclusive)")]
fn parameters_that_do_not_go_together(#[case] parameters: Value, #[case] pointer: &str, #[case] message: &str) {
    let problems = builtin::pass::<Layers>().configure(&parameters).err().unwrap();
    assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message));
}

#[rstest]
#[case(json!({"layers": [2]}), "names layer 2, but the model has layers 0 to 1")]
#[case(json!({"layers": [0, 1]}), "leaves none of the 2 layers")]
#[case(json!({"ratio": 0.1}), "removes none of the 2 layers")]
#[case(json!({"remove": 1}), "has 0 calibration rows, expected at least 8")]
fn plans_that_do_not_fit(#[case] parameters: Value, #[case] message: &str) {
    let problems = Bench::empty().plan::<Layers>(&parameters, &decoder()).unwrap_err();
    assert_eq!(problems[0].message, message);
}

#[test]
fn a_model_without_layers_is_refused() {
    let model = built(&[4], inputs(2), labels(&["a", "b"]));
    let problems = Bench::empty().plan::<Layers>(&json!({"layers": [0]}), &model).unwrap_err();
    assert_eq!(problems[0].message, "the model has no layers that are alike, as transformers have");
}

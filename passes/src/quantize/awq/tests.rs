//! `quantize/awq` on small models.

use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, families};
use paring_train::Stream;
use rand::RngExt as _;
use serde_json::json;

use super::Awq;
use crate::testing::{Bench, classes, inputs, labels};
use crate::weights::Difference;

/// Rows of 16 numbers of which two are far larger than the rest.
fn rows(count: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Stream::new(seed).rng();
    let number = |column: usize, random: f64| if column % 8 == 3 { 20.0 * random } else { random };
    (0..count).map(|_| (0..16).map(|column| number(column, rng.random_range(-1.0..1.0))).collect()).collect()
}

fn bench() -> Bench {
    let rows = rows(300, 3);
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = (0..rows.len()).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    Bench::with_rows(classes(&rows, &labels))
}

fn model(activation: Activation) -> Checkpoint {
    let spec = Spec::Mlp(MlpSpec { hidden: vec![48, 32], activation, dropout: 0.0 });
    let stream = Stream::new(5);
    // The first layer makes some channels that are far more active than others.
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        let louder = |index: usize| if name == "layers.0.weight" && index / 16 % 12 == 1 { 1.5 } else { 0.6 };
        buffer
            .iter_mut()
            .enumerate()
            .for_each(|(index, number)| *number = 0.5 + louder(index) * (rng.random::<f32>() - 0.5));
    };
    families::initialize(&spec, &inputs(16), &labels(&["a", "b"]), fill).unwrap()
}

fn outputs(model: &Checkpoint) -> Vec<f32> {
    let data: Vec<f32> = rows(64, 9).concat().into_iter().map(|number| number as f32).collect();
    let rows = Matrix { rows: 64, columns: 16, data }.into();
    model.predict(&rows, 16).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn scaled_weights_lose_less_than_others() {
    let float = model(Activation::Relu);
    let outcome = bench().run::<Awq>(&json!({"bits": 3, "clip": false}), &float).unwrap();
    let ratio = outcome.receipt.figures["output_error_ratio"];
    assert!(ratio < 0.95, "{ratio}");
    let powers: Vec<f64> = outcome.receipt.sites.values().map(|figures| figures["power"]).collect();
    // Nothing comes before the first layer.
    assert!(powers[0] == 0.0 && powers[1..].iter().any(|power| *power > 0.0), "{powers:?}");
    let clipped = bench().run::<Awq>(&json!({"bits": 3}), &float).unwrap();
    assert!(clipped.receipt.figures["output_error_ratio"] <= ratio);
}

/// At 8 bits rounding hardly moves the outputs: what is left is whether the scales cancel.
#[test]
fn scales_leave_the_function_as_it_is() {
    let float = model(Activation::Relu);
    let outcome = bench().run::<Awq>(&json!({"bits": 8, "clip": false}), &float).unwrap();
    assert!(outcome.receipt.sites.values().any(|figures| figures["power"] > 0.0));
    let moved = outcome.model.tensor("layers.0.bias").unwrap().to_vec1::<f32>().unwrap();
    assert_ne!(moved, float.tensor("layers.0.bias").unwrap().to_vec1::<f32>().unwrap());
    let difference = Difference::between(&outputs(&float), &outputs(&outcome.model));
    assert!(difference.relative < 0.01, "{difference:?}");
}

#[test]
fn a_model_that_takes_no_scales_is_refused() {
    let refused = bench().plan::<Awq>(&json!({}), &model(Activation::Gelu)).unwrap_err();
    assert_eq!(refused[0].message, "nothing before any of the targets can take up scales of their inputs");
}

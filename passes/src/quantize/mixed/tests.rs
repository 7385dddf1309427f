//! `quantize/mixed` on a small model whose layers differ in what they need.

use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::{Checkpoint, families};
use paring_train::Stream;
use paring_train::metrics::kl_divergence;
use rand::RngExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use super::Mixed;
use crate::testing::{Bench, classes, inputs, labels};

fn bench() -> Bench {
    let mut rng = Stream::new(3).rng();
    let rows: Vec<Vec<f64>> = (0..200).map(|_| (0..16).map(|_| rng.random_range(-1.0..1.0)).collect()).collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let labels: Vec<&str> = (0..rows.len()).map(|row| if row % 2 == 0 { "a" } else { "b" }).collect();
    Bench::with_rows(classes(&rows, &labels))
}

/// The weights of the second layer have outliers: it loses more than the others with the same number of bits.
fn model() -> Checkpoint {
    let spec = Spec::Mlp(MlpSpec { hidden: vec![32, 32, 32], activation: Activation::Relu, dropout: 0.0 });
    let stream = Stream::new(5);
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        for (index, number) in buffer.iter_mut().enumerate() {
            let size = if name == "layers.1.weight" && index % 32 == 7 { 8.0 } else { 1.0 };
            *number = 0.5 + size * (rng.random::<f32>() - 0.5);
        }
    };
    families::initialize(&spec, &inputs(16), &labels(&["a", "b"]), fill).unwrap()
}

#[rstest]
#[case("nearest")]
#[case("gptq")]
fn the_layer_that_loses_most_gets_most(#[case] method: &str) {
    let parameters = json!({"bits_per_weight": 6.0, "method": method});
    let outcome = bench().run::<Mixed>(&parameters, &model()).unwrap();
    let figure = |site: &str, name: &str| outcome.receipt.sites[site][name];
    let bits = |site| figure(site, "bits");
    assert!(bits("layers.1") > bits("layers.0"), "{:?}", outcome.receipt.sites);
    let weights = [("layers.0", 512.0), ("layers.1", 1024.0), ("layers.2", 1024.0), ("head", 64.0)];
    let total: f64 = weights.iter().map(|(site, count)| figure(site, "bits_per_weight") * count).sum();
    assert!(total <= 6.0 * 2624.0 && total > 5.0 * 2624.0, "{}", total / 2624.0);
    // Fewer errors than with one number of bits that fits the same budget.
    let error = |site: &str, bits: f64| figure(site, &format!("error_at_{bits}_bits"));
    let chosen: f64 = weights.iter().map(|(site, _)| error(site, bits(site))).sum();
    let uniform: f64 = weights.iter().map(|(site, _)| error(site, 4.0)).sum();
    assert!(chosen < uniform, "{chosen}, with 4 bits each {uniform}");
    // One layer is rounded at a time: the next does not pay for it.
    assert!(error("layers.2", 4.0) < 0.5 * error("layers.1", 4.0), "{:?}", outcome.receipt.sites);
}

/// A network without hidden layers rounds one site to as many bits as fit: what the receipt says the answers lose must be
/// what they have lost.
#[test]
fn divergence_is_that_of_the_answers() {
    let spec = Spec::Mlp(MlpSpec { hidden: vec![], activation: Activation::Relu, dropout: 0.0 });
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = Stream::new(5).split(name).rng();
        buffer.iter_mut().for_each(|number| *number = 4.0 * (rng.random::<f32>() - 0.5));
    };
    let model = families::initialize(&spec, &inputs(16), &labels(&["a", "b", "c"]), fill).unwrap();
    let bench = bench();
    let parameters = json!({"bits_per_weight": 8.0, "method": "nearest", "calibration_rows": 200});
    let outcome = bench.run::<Mixed>(&parameters, &model).unwrap();
    let figures = &outcome.receipt.sites["head"];
    let (dataset, _) = bench.data.as_ref().unwrap();
    let rows: Vec<usize> = (0..dataset.rows()).collect();
    let rows = paring_data::examples::examples(dataset, &rows, &model, model.outputs().unwrap()).unwrap().inputs;
    let answers = |model: &Checkpoint| -> Vec<f32> {
        model.predict(&rows, 16).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    };
    let lost = kl_divergence(&answers(&model), &answers(&outcome.model), 3).unwrap() / rows.len() as f64;
    let told = figures[&format!("error_at_{}_bits", figures["bits"])];
    assert!(lost > 1e-5 && (told / lost - 1.0).abs() < 0.02, "{told}, answers lost {lost}");
}

/// The second layer loses most, but the answers hardly depend on what comes before the head.
#[test]
fn what_the_answers_do_not_need_is_cheap() {
    let mut model = model();
    let tensor = |model: &Checkpoint, name: &str, factor: f64| (model.tensor(name).unwrap() * factor).unwrap();
    let small = tensor(&model, "layers.2.weight", 1e-4);
    let bias = (tensor(&model, "layers.2.bias", 0.0) + 1.0).unwrap();
    model.set_tensor("layers.2.weight", small);
    model.set_tensor("layers.2.bias", bias);
    let share = |sensitivity: &str| {
        let parameters = json!({"bits_per_weight": 4.4, "method": "nearest", "sensitivity": sensitivity});
        let sites = bench().run::<Mixed>(&parameters, &model).unwrap().receipt.sites;
        sites["layers.1"]["error_at_3_bits"] / sites["head"]["error_at_3_bits"]
    };
    assert!(share("reconstruction") > 1.0);
    assert!(share("divergence") < 1e-3);
}

#[test]
fn a_size_bounds_the_whole_file() {
    let outcome = bench().run::<Mixed>(&json!({"size": "3.5kB"}), &model()).unwrap();
    let size = outcome.model.outline().file_size();
    assert!(size <= 3500 && size > 3000, "{size}");
}

#[rstest]
#[case(json!({}), "there is no budget")]
#[case(json!({"size": "1MB", "bits_per_weight": 4.0}), "is a second budget beside `bits_per_weight`")]
#[case(json!({"bits_per_weight": 2.5}), "leaves 820 bytes for the targets, which take ")]
fn bad_budgets_are_refused(#[case] parameters: Value, #[case] message: &str) {
    let refused = bench().plan::<Mixed>(&parameters, &model()).unwrap_err();
    assert!(refused[0].message.starts_with(message), "{refused:?}");
}

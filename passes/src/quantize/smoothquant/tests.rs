//! `quantize/smoothquant`: the model computes what it did, with smaller outliers.

use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Site};
use paring_train::Stream;
use proptest::prelude::{prop, proptest};
use rand::RngExt as _;
use serde_json::json;

use super::{SmoothQuant, fold, groups};
use crate::testing::transformers::{decoder, encoder, of_tokens};
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

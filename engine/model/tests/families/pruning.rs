//! Removing units: silent ones leave the outputs as they are, and the outline foretells what remains.

use candle_core::Tensor;
use paring_model::config::{ConvnetLayer, Spec};
use paring_model::units::{keep_units, keep_units_outline};
use paring_model::{Checkpoint, Forward, Input, UnitGroup, Weight, families};
use proptest::prelude::{Strategy, any, proptest};
use proptest::test_runner::Config;
use serde_json::json;

use crate::support::{classes, distance, inputs, random, spec, uniform};

fn build(spec: &Spec, shape: &[usize], seed: u64) -> Checkpoint {
    let mut noise = uniform(seed);
    families::initialize(spec, &inputs(shape), &classes(3), &mut |_, buffer| noise(buffer)).unwrap()
}

fn convnet() -> Spec {
    let layers = json!([
        {"conv": {"channels": 5, "kernel": 3, "activation": "gelu"}},
        {"max_pool": {"size": 2}},
        {"conv": {"channels": 6, "batch_norm": true}},
        {"residual": {"channels": 6}},
        {"residual": {"channels": 4, "stride": 2}},
        {"dense": {"width": 5, "activation": "tanh"}},
    ]);
    spec("convnet", json!({"layers": layers}))
}

/// Sets everything that the units not in `keep` write to zero.
fn silence(model: &mut Checkpoint, group: &UnitGroup, keep: &[usize]) {
    for slice in group.slices.iter().filter(|slice| slice.axis == 0 && !slice.tensor.ends_with("running_var")) {
        let tensor = model.tensor(&slice.tensor).unwrap();
        let loud: Vec<f32> = (0..group.count).map(|unit| f32::from(u8::from(keep.contains(&unit)))).collect();
        let mut shape = vec![1; tensor.rank()];
        shape[0] = group.count;
        let loud = Tensor::from_vec(loud, shape, tensor.device()).unwrap();
        model.set_tensor(&slice.tensor, tensor.broadcast_mul(&loud).unwrap());
    }
}

fn outputs(model: &Checkpoint, x: &Tensor) -> Tensor {
    let network = model.network().unwrap();
    network.forward(&Input::Features(x.clone()), &mut Forward::inference()).unwrap()
}

/// Silences some units of one group, then removes them.
fn check(spec: &Spec, shape: &[usize], choice: usize, bits: u64) {
    let mut model = build(spec, shape, bits);
    let groups = families::units(&model.outline()).unwrap();
    let group = &groups[choice % groups.len()];
    let keep: Vec<usize> =
        (0..group.count).filter(|unit| bits >> unit & 1 == 1 || *unit == choice % group.count).collect();
    silence(&mut model, group, &keep);
    let x = random(&[&[3], shape].concat(), -1.0, 1.0, bits);
    let before = outputs(&model, &x);
    let mut foretold = model.outline();
    keep_units_outline(&mut foretold, group, keep.len()).unwrap();
    keep_units(&mut model, group, &keep).unwrap();
    assert_eq!(model.outline(), foretold);
    assert!(distance(&outputs(&model, &x), &before) <= 1e-5);
    let after = families::units(&model.outline()).unwrap();
    assert_eq!(after[choice % groups.len()].count, keep.len());
}

fn hidden() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..9_usize, 1..4)
}

proptest! {
    #![proptest_config(Config { cases: 24, ..Config::default() })]

    #[test]
    fn silent_neurons_can_go(hidden in hidden(), choice in any::<usize>(), bits in any::<u64>()) {
        check(&spec("mlp", json!({"hidden": hidden, "activation": "gelu"})), &[6], choice, bits);
    }

    #[test]
    fn silent_channels_can_go(choice in any::<usize>(), bits in any::<u64>()) {
        check(&convnet(), &[2, 8, 8], choice, bits);
    }
}

#[test]
fn the_settings_follow_the_weights() {
    let mut model = build(&convnet(), &[2, 8, 8], 1);
    let groups = families::units(&model.outline()).unwrap();
    let group = groups.iter().find(|group| group.site == "layers.3.conv1").unwrap();
    keep_units(&mut model, group, &[0, 4]).unwrap();
    let Some(Spec::Convnet(settings)) = model.config().map(|config| &config.spec) else { panic!("not a convnet") };
    let ConvnetLayer::Residual(block) = &settings.layers[3] else { panic!("not a residual block") };
    assert_eq!((block.channels, block.inner), (6, Some(2)));
    assert_eq!(families::units(&model.outline()).unwrap().len(), groups.len());
}

#[test]
fn masks_stay_masks() {
    let mut model = build(&spec("mlp", json!({"hidden": [4]})), &[3], 1);
    let tensor = model.tensor("layers.0.weight").unwrap();
    model.set_weight("layers.0.weight", Weight::Dense { tensor, masked: true });
    let group = families::units(&model.outline()).unwrap().remove(0);
    keep_units(&mut model, &group, &[1, 3]).unwrap();
    assert!(matches!(model.weight("layers.0.weight").unwrap(), Weight::Dense { masked: true, .. }));
}

#[test]
fn a_wrong_choice_is_refused() {
    let mut model = build(&spec("mlp", json!({"hidden": [4]})), &[3], 1);
    let group = families::units(&model.outline()).unwrap().remove(0);
    let mut refuse = |keep: &[usize]| keep_units(&mut model, &group, keep).unwrap_err().to_string();
    let prefix = "cannot remove neurons of `layers.0`:";
    assert_eq!(refuse(&[]), format!("{prefix} no units were to be kept, expected at least 1"));
    assert_eq!(refuse(&[2, 1]), format!("{prefix} the units to keep are not in ascending order"));
    assert_eq!(refuse(&[1, 4]), format!("{prefix} unit 4 was to be kept, but there are 4"));
}

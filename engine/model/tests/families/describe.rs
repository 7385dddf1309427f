//! What families say about themselves: sites, units, costs, and what is wrong with settings.

use paring_model::config::Spec;
use paring_model::{Checkpoint, Outline, Slice, families};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{classes, inputs, outline, spec};

fn small_resnet() -> Outline {
    let layers = json!([
        {"conv": {"channels": 4, "batch_norm": true}},
        {"residual": {"channels": 4}},
        {"residual": {"channels": 6, "stride": 2}},
        {"average_pool": {}},
        {"dense": {"width": 5}},
    ]);
    outline(&spec("convnet", json!({"layers": layers})), &[3, 8, 8], 2)
}

fn names(outline: &Outline) -> Vec<String> {
    families::sites(outline).unwrap().into_iter().map(|site| site.name).collect()
}

/// `tensor@axis*width` of each slice of the group at `site`.
fn slices(outline: &Outline, site: &str) -> Vec<String> {
    let groups = families::units(outline).unwrap();
    let group = groups.iter().find(|group| group.site == site).unwrap();
    group.slices.iter().map(|Slice { tensor, axis, width, .. }| format!("{tensor}@{axis}*{width}")).collect()
}

#[test]
fn sites_come_in_forward_order() {
    let expected = ["layers.0", "layers.1.conv1", "layers.1.conv2", "layers.2.conv1", "layers.2.conv2"];
    let rest = ["layers.2.shortcut", "layers.4", "head"];
    assert_eq!(names(&small_resnet()), [&expected[..], &rest[..]].concat());
}

#[test]
fn a_site_knows_its_shape_and_neighbours() {
    let sites = families::sites(&small_resnet()).unwrap();
    let shortcut = sites.iter().find(|site| site.name == "layers.2.shortcut").unwrap();
    assert_eq!((shortcut.in_features, shortcut.out_features, shortcut.positions, shortcut.bias), (4, 6, 16, false));
    assert_eq!(shortcut.shares_input_with, ["layers.2.conv1"]);
    let dense = sites.iter().find(|site| site.name == "layers.4").unwrap();
    assert_eq!((dense.in_features, dense.out_features, dense.positions, dense.bias), (24, 5, 1, true));
}

#[test]
fn channels_that_are_added_are_one_group() {
    let norm = |name: &str| ["weight", "bias", "running_mean", "running_var"].map(|part| format!("{name}.{part}@0*1"));
    let mut stream = vec!["layers.0.weight@0*1".to_owned()];
    stream.extend(norm("layers.0.norm"));
    stream.extend(["layers.1.conv1.weight@1*1", "layers.1.conv2.weight@0*1"].map(str::to_owned));
    stream.extend(norm("layers.1.norm2"));
    stream.extend(["layers.2.conv1.weight@1*1", "layers.2.shortcut.weight@1*1"].map(str::to_owned));
    assert_eq!(slices(&small_resnet(), "layers.0"), stream);
}

#[test]
fn a_channel_before_a_flatten_owns_its_positions() {
    let slices = slices(&small_resnet(), "layers.2.conv2");
    assert_eq!(slices.last().unwrap(), "layers.4.weight@1*4");
    let groups = families::units(&small_resnet()).unwrap();
    let counts: Vec<(&str, usize)> = groups.iter().map(|group| (group.site.as_str(), group.count)).collect();
    let expected =
        [("layers.0", 4), ("layers.1.conv1", 4), ("layers.2.conv1", 6), ("layers.2.conv2", 6), ("layers.4", 5)];
    assert_eq!(counts, expected);
}

#[test]
fn macs_count_every_window() {
    let mlp = outline(&spec("mlp", json!({"hidden": [5, 3]})), &[4], 2);
    assert_eq!(families::macs(&mlp).unwrap(), 4 * 5 + 5 * 3 + 3 * 2);
    let stem = 3 * 4 * 9 * 64;
    let first = 2 * 4 * 4 * 9 * 64;
    let second = (4 * 6 * 9 + 6 * 6 * 9 + 4 * 6) * 16;
    assert_eq!(families::macs(&small_resnet()).unwrap(), stem + first + second + 24 * 5 + 5 * 2);
}

#[test]
fn widths_are_those_of_the_tensors() {
    let mut outline = outline(&spec("mlp", json!({"hidden": [5]})), &[4], 2);
    let pruned = outline_of(&spec("mlp", json!({"hidden": [3]})));
    outline.weights = pruned.weights;
    assert_eq!(families::sites(&outline).unwrap()[0].out_features, 3);
}

fn outline_of(spec: &Spec) -> Outline {
    outline(spec, &[4], 2)
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let mut outline = outline_of(&spec("mlp", json!({"hidden": [5]})));
    let bias = outline.weights.get("head.bias").unwrap().clone();
    outline.weights.insert("layers.0.bias".to_owned(), bias);
    let error = families::sites(&outline).unwrap_err().to_string();
    assert_eq!(error, "tensor `layers.0.bias` has shape [2], expected [5]");
    outline.weights.remove("head.weight");
    outline.weights.remove("layers.0.bias");
    let error = families::units(&outline).unwrap_err().to_string();
    assert_eq!(error, "tensor `head.weight` is missing");
}

#[test]
fn a_shortcut_that_is_needed_is_missed() {
    let mut outline = small_resnet();
    outline.weights.remove("layers.2.shortcut.weight");
    assert_eq!(families::sites(&outline).unwrap_err().to_string(), "tensor `layers.2.shortcut.weight` is missing");
}

#[rstest]
#[case(json!([{"max_pool": {"size": 9}}]),
    "`layers.0` (max_pool) has a window of 9 x 9, larger than its input of 8 x 8 with padding 0")]
#[case(json!([{"max_pool": {"size": 2, "padding": 2}}]), "`layers.0` (max_pool) has padding 2, expected at most 1")]
#[case(json!([{"global_average_pool": {}}, {"conv": {"channels": 2, "kernel": 5, "padding": 1}}]),
    "`layers.1` (conv) has a kernel of 5 x 5, larger than its input of 1 x 1 with padding 1")]
#[case(json!([{"dense": {"width": 6}}, {"conv": {"channels": 2}}]),
    "`layers.1` (conv) needs an image, but its input is 6 features")]
#[case(json!([{"conv": {"channels": 0}}]), "`layers.0` has no outputs, expected at least 1")]
#[case(json!([{"conv": {"channels": 1, "stride": 0}}]), "`layers.0` (conv) has kernel 3 and stride 0, expected at least 1")]
#[case(json!([{"dense": {"width": 6, "dropout": 1.0}}]),
    "`layers.0` has dropout 1, expected a number from 0 (inclusive) to 1 (exclusive)")]
fn wrong_settings_are_explained(#[case] layers: Value, #[case] reason: &str) {
    let spec = spec("convnet", json!({"layers": layers}));
    let error = families::blueprint(&spec, &inputs(&[1, 8, 8]), &classes(2)).unwrap_err().to_string();
    assert_eq!(error, format!("the `convnet` configuration is wrong: {reason}"));
}

#[test]
fn an_image_shape_is_needed_and_checked() {
    let refuse = |settings: Value| {
        let spec = spec("convnet", settings);
        families::blueprint(&spec, &inputs(&[64]), &classes(2)).unwrap_err().to_string()
    };
    let layers = json!([{"conv": {"channels": 2}}]);
    assert_eq!(
        refuse(json!({"layers": layers})),
        "the `convnet` configuration is wrong: `input` (channels, height, width) is missing, and the data has 64 \
         features without an image shape"
    );
    assert_eq!(
        refuse(json!({"layers": layers, "input": [1, 9, 9]})),
        "the `convnet` configuration is wrong: `input` is 1 x 9 x 9 = 81 numbers, but the data has 64 features"
    );
}

#[test]
fn a_model_from_nothing_follows_its_inputs() {
    let settings = spec("convnet", json!({"layers": [{"conv": {"channels": 2}}], "input": [1, 4, 4]}));
    let mut outline = Checkpoint::unbuilt(settings, inputs(&[16]), classes(3)).outline();
    assert_eq!(families::sites(&outline).unwrap()[1].in_features, 2 * 4 * 4);
    outline.config =
        Checkpoint::unbuilt(spec("mlp", json!({"hidden": [5]})), inputs(&[16]), classes(3)).outline().config;
    outline.inputs = Some(inputs(&[9]));
    assert_eq!(families::macs(&outline).unwrap(), 9 * 5 + 5 * 3);
}

//! Units of zeros go without a trace, and plans come true, in every family that has such units.

use candle_core::Tensor;
use paring_model::config::Spec;
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Weight, families};
use paring_train::Stream;
use paring_train::sparse::SparsityScope;
use rand::RngExt as _;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Importance, Kind, Structure};
use crate::builtin;
use crate::pass::Definition;
use crate::prune::channels::Channels;
use crate::prune::heads::Heads;
use crate::prune::neurons::Neurons;
use crate::prune::share::Share;
use crate::testing::transformers::{decoder, encoder, of_tokens};
use crate::testing::{Bench, built, classes, inputs, labels, matrix};

/// A residual network on images of 4 x 4, every layer with a batch norm.
fn convnet() -> Checkpoint {
    let layers = json!({"input": [1, 4, 4], "layers": [{"conv": {"channels": 4, "batch_norm": true}},
        {"residual": {"channels": 6}}, {"residual": {"channels": 6}}, {"conv": {"channels": 5}},
        {"dense": {"width": 7}}]});
    let spec = Spec::from_parts("convnet", &layers).unwrap();
    let stream = Stream::new(3);
    let fill = &mut |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random_range(0.1..1.0));
    };
    families::initialize(&spec, &inputs(16), &labels(&["a", "b"]), fill).unwrap()
}

fn of_rows(model: &Checkpoint) -> Vec<f32> {
    let width = model.inputs().map_or(0, paring_model::Inputs::width);
    let data = (0..3 * width).map(|place| ((place * 37 % 101) as f32 - 50.0) / 25.0).collect();
    let rows = Matrix { rows: 3, columns: width, data }.into();
    model.predict(&rows, 8).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// All that produces the first and the last unit of each group of a kind becomes zero.
fn silence(model: &mut Checkpoint, kinds: &[&str]) {
    for group in model.outline().units().unwrap().into_iter().filter(|group| kinds.contains(&group.kind)) {
        for slice in group.slices.iter().filter(|slice| slice.axis == 0) {
            let tensor = model.tensor(&slice.tensor).unwrap();
            let mut numbers: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
            let row = numbers.len() / tensor.dims()[0];
            for unit in [0, group.count - 1] {
                let start = (slice.offset + unit * slice.width) * row;
                numbers[start..start + slice.width * row].fill(0.0);
            }
            let tensor = Tensor::from_vec(numbers, tensor.dims(), tensor.device()).unwrap();
            model.set_tensor(&slice.tensor, tensor);
        }
    }
}

fn check<D: Definition>(
    parameters: &Value,
    mut model: Checkpoint,
    kinds: &[&str],
    answers: fn(&Checkpoint) -> Vec<f32>,
) {
    silence(&mut model, kinds);
    let outcome = Bench::empty().run::<D>(parameters, &model).unwrap();
    assert!(outcome.model.outline().parameters() < model.outline().parameters());
    let (before, after) = (answers(&model), answers(&outcome.model));
    let far = before.iter().zip(&after).fold(0.0_f32, |far, (one, other)| far.max((one - other).abs()));
    assert!(far < 1e-5 && before.iter().any(|number| *number != 0.0), "{far}: {before:?}");
}

/// Each group has more units than two, but for the decoder's two groups of heads and the encoder's two heads, of which
/// both are silent.
#[test]
fn units_of_zeros_change_no_output() {
    check::<Neurons>(&json!({"keep": 10}), decoder(), &["neurons"], of_tokens);
    check::<Neurons>(&json!({"ratio": 0.1}), encoder(), &["neurons"], of_tokens);
    check::<Neurons>(&json!({"keep": 4}), built(&[6, 6], inputs(5), labels(&["a", "b"])), &["neurons"], of_rows);
    check::<Heads>(&json!({"keep": 1}), decoder(), &["kv_groups"], of_tokens);
    check::<Heads>(&json!({"ratio": 0.5}), encoder(), &["heads"], of_tokens);
    check::<Channels>(&json!({"ratio": 0.34}), convnet(), &["channels"], of_rows);
}

/// Removing what is not silent does change them, so that the comparison says something.
#[test]
fn other_units_do() {
    let outcome = Bench::empty().run::<Channels>(&json!({"ratio": 0.34}), &convnet()).unwrap();
    assert_ne!(of_rows(&outcome.model), of_rows(&convnet()));
}

/// The channels of both residual blocks are added to each other: one group, of all convolutions that write it.
#[test]
fn channels_that_are_added_go_together() {
    let effect = Bench::empty().plan::<Channels>(&json!({"keep": 3}), &convnet()).unwrap();
    let outcome = Bench::empty().run::<Channels>(&json!({"keep": 3}), &convnet()).unwrap();
    let rows = |name: &str| outcome.model.tensor(name).unwrap().dims()[0];
    assert_eq!([rows("layers.1.conv2.weight"), rows("layers.2.conv2.weight")], [3, 3]);
    assert_eq!(outcome.model.tensor("layers.3.weight").unwrap().dims()[..2], [3, 3]);
    assert_eq!(outcome.model.tensor("layers.4.weight").unwrap().dims(), [7, 3 * 16]);
    assert!(effect.notes.contains(&"`layers.3`: 3 of 5 channels stay".to_owned()), "{:?}", effect.notes);
}

/// Channels that a ReLU silences have no activation, however large their weights, whether a convolution reads them or a
/// layer of the flattened image.
#[test]
fn silent_channels_go_first_by_activation() {
    let mut model = convnet();
    let bias = model.tensor("layers.3.bias").unwrap();
    let bias = Tensor::new(&[1.0_f32, -1e4, 1.0, -1e4, 1.0], bias.device()).unwrap();
    model.set_tensor("layers.3.bias", bias);
    let bias = Tensor::new(&[1.0_f32, -1e4, 1.0, 1.0], &candle_core::Device::Cpu).unwrap();
    model.set_tensor("layers.0.norm.bias", bias);
    let rows: Vec<Vec<f64>> = (0..8).map(|row| (0..16).map(|place| f64::from((row * place) % 5)).collect()).collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let bench = Bench::with_rows(classes(&rows, &["a", "b", "a", "b", "a", "b", "a", "b"]));
    let outcome = bench.run::<Channels>(&json!({"ratio": 0.4, "importance": "activation"}), &model).unwrap();
    assert_eq!(outcome.receipt.details["layers.3"]["kept"], json!([0, 2, 4]));
    assert_eq!(outcome.receipt.details["layers.3"]["scores"][1], json!(0.0));
    assert_eq!(outcome.receipt.details["layers.0"]["scores"][1], json!(0.0));
    assert!(outcome.receipt.details["layers.0"]["scores"][0].as_f64().unwrap() > 0.0);
}

/// Of two neurons that always say the same one goes: the layer after it gives its weight to the other.
#[test]
fn readers_are_fitted_to_what_is_left() {
    let mut model = built(&[3], inputs(2), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[1.0, 2.0], &[0.5, 1.0], &[3.0, 1.0]]));
    model.set_tensor("layers.0.bias", matrix(&[&[0.0, 0.0, 0.0]]).squeeze(0).unwrap());
    model.set_tensor("head.weight", matrix(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, -6.0]]));
    let rows: Vec<[f64; 2]> = (1..=8).map(|row| [f64::from(row), f64::from(row * 3 % 5)]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
    let bench = Bench::with_rows(classes(&rows, &["a", "b", "a", "b", "a", "b", "a", "b"]));
    let outcome = bench.run::<Neurons>(&json!({"keep": 2, "reconstruct": true}), &model).unwrap();
    let found: Vec<f32> = outcome.model.tensor("head.weight").unwrap().flatten_all().unwrap().to_vec1().unwrap();
    // The second neuron is half of the first: 1 + 2 / 2, and 4 + 5 / 2.
    let expected = [2.0, 3.0, 6.5, -6.0];
    assert!(found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 5e-2), "{found:?}");
    assert!(outcome.receipt.figures["output_error_ratio"] < 1e-4, "{:?}", outcome.receipt.figures);
    assert_eq!(outcome.receipt.summary, "kept 2 of 3 neurons in 1 layer");
}

#[test]
fn fitted_readers_keep_their_masks() {
    let mut model = built(&[6], inputs(3), labels(&["a", "b"]));
    let alive: Vec<[f32; 3]> = (1..=6_u8).map(|unit| [1.0, f32::from(unit * 5 % 7), f32::from(unit * 3 % 7)]).collect();
    let alive: Vec<&[f32]> = alive.iter().map(|row| row.as_slice()).collect();
    model.set_tensor("layers.0.weight", matrix(&alive));
    let zeros = [[0.0, 1.0, 0.5, 0.0, 2.0, 0.0], [1.0, 0.0, 0.5, 3.0, 0.0, 0.0]];
    let tensor = matrix(&zeros.each_ref().map(|row| row.as_slice()));
    model.set_weight("head.weight", Weight::Dense { tensor, masked: true });
    let rows: Vec<[f64; 3]> =
        (1..=16).map(|row| [f64::from(row), f64::from(row * 3 % 5), f64::from(row % 3)]).collect();
    let rows: Vec<&[f64]> = rows.iter().map(|row| row.as_slice()).collect();
    let bench = Bench::with_rows(classes(&rows, &["a", "b"].repeat(8)));
    let outcome = bench.run::<Neurons>(&json!({"keep": 4, "reconstruct": true}), &model).unwrap();
    let kept: Vec<usize> = serde_json::from_value(outcome.receipt.details["layers.0"]["kept"].clone()).unwrap();
    let found = outcome.model.tensor("head.weight").unwrap().to_vec2::<f32>().unwrap();
    let mut moved = 0;
    for (found, before) in found.iter().zip(&zeros) {
        for (found, &unit) in found.iter().zip(&kept) {
            assert_eq!(*found == 0.0, before[unit] == 0.0, "{found} was {}", before[unit]);
            moved += usize::from(*found != before[unit]);
        }
    }
    assert!(moved > 0);
}

/// A convolution sees patches; silent channels are left out of the fit, and everything stays as it was.
#[test]
fn readers_of_silent_channels_stay_as_they_were() {
    let mut model = convnet();
    silence(&mut model, &["channels"]);
    let rows: Vec<Vec<f64>> = (0..40).map(|row| (0..16).map(|place| f64::from((row * place) % 7)).collect()).collect();
    let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
    let bench = Bench::with_rows(classes(&rows, &["a", "b"].repeat(20)));
    let parameters = json!({"ratio": 0.34, "importance": "activation", "reconstruct": true});
    let outcome = bench.run::<Channels>(&parameters, &model).unwrap();
    let (before, after) = (of_rows(&model), of_rows(&outcome.model));
    let most = before.iter().fold(0.0_f32, |most, number| most.max(number.abs()));
    assert!(before.iter().zip(&after).all(|(one, other)| (one - other).abs() < 2e-2 * most), "{before:?} {after:?}");
}

#[rstest]
#[case(json!({}), "", "has neither `ratio` nor `keep`")]
#[case(json!({"ratio": 1}), "/ratio", "is `1`, expected a number from 0 (exclusive) to 1 (exclusive)")]
#[case(json!({"ratio": 0}), "/ratio", "is `0`, expected a number from 0 (exclusive) to 1 (exclusive)")]
#[case(json!({"keep": 2, "scope": "global"}), "/scope", "goes with `ratio`, but `keep` is given")]
fn all_and_nothing_are_refused(#[case] parameters: Value, #[case] pointer: &str, #[case] message: &str) {
    for configured in [
        builtin::pass::<Heads>().configure(&parameters),
        builtin::pass::<Channels>().configure(&parameters),
        builtin::pass::<Neurons>().configure(&parameters),
    ] {
        let problems = configured.err().unwrap();
        assert_eq!((problems[0].pointer.as_str(), problems[0].message.as_str()), (pointer, message));
    }
}

/// Two hidden layers whose neurons have the importances 10, 20, 90 and 3, 3.3, 2.7: over their means 0.25, 0.5, 2.25
/// and 1, 1.1, 0.9.
fn uneven() -> Checkpoint {
    let mut model = built(&[3, 3], inputs(1), labels(&["a", "b"]));
    model.set_tensor("layers.0.weight", matrix(&[&[10.0], &[-20.0], &[90.0]]));
    model.set_tensor("layers.1.weight", matrix(&[&[1.0, -1.0, 1.0], &[1.1, 1.1, 1.1], &[0.9, 0.9, -0.9]]));
    model
}

#[test]
fn a_global_ranking_takes_from_the_layers_that_can_spare_units() {
    let parameters = json!({"ratio": 0.34, "scope": "global"});
    let outcome = Bench::empty().run::<Neurons>(&parameters, &uneven()).unwrap();
    let kept = |layer: &str| outcome.receipt.details[layer]["kept"].clone();
    assert_eq!((kept("layers.0"), kept("layers.1")), (json!([2]), json!([0, 1, 2])));
    assert_eq!(outcome.receipt.summary, "kept 4 of 6 neurons in 2 layers");
    assert_eq!(outcome.model.tensor("layers.1.weight").unwrap().dims(), [3, 1]);
    let effect = Bench::empty().plan::<Neurons>(&parameters, &uneven()).unwrap();
    let unsure = "; how many in each is found by running, and the size is that of equal shares";
    assert_eq!(effect.notes, [format!("4 of 6 neurons stay in 2 layers{unsure}")]);
    assert!(!effect.exact);
    assert_eq!(effect.outline.weights["layers.0.weight"].shape(), [2, 1]);
}

#[test]
fn slopes_of_the_loss_are_ranked_as_they_are() {
    let kept = |importance: Importance| {
        let kind = Kind { tables: &["neurons"], one: "neuron", lacking: "neurons" };
        let ratio = serde_json::from_value(json!(0.34)).unwrap();
        let share = Share { ratio, scope: Some(SparsityScope::Global), keep: None, round_to: 1 };
        let structure = Structure { kind, share, importance, answers: None, reconstruct: false, calibration_rows: 8 };
        share.counts(&structure.comparable(&[vec![10.0, 20.0, 90.0], vec![3.0, 3.3, 2.7]]))
    };
    assert_eq!(kept(Importance::Activation), [1, 3]);
    assert_eq!(kept(Importance::Taylor), [3, 1]);
}

/// What is left of each layer is found in the weights alone when the directory is opened again.
#[test]
fn layers_of_different_widths_survive_a_round_trip() {
    let opened = |model: &Checkpoint| {
        let directory = tempfile::tempdir().unwrap();
        model.save(directory.path()).unwrap();
        Checkpoint::open(directory.path()).unwrap()
    };
    let (quarter, model) = (json!({"ratio": 0.25, "scope": "global"}), decoder());
    let heads = Bench::empty().run::<Heads>(&quarter, &model).unwrap().model;
    let both = Bench::empty().run::<Neurons>(&quarter, &heads).unwrap().model;
    let rows =
        |part: &str| [0, 1].map(|layer| both.tensor(&format!("model.layers.{layer}.{part}.weight")).unwrap().dims()[0]);
    assert_eq!(rows("self_attn.q_proj").iter().sum::<usize>(), 12);
    assert_eq!(rows("mlp.down_proj"), [8, 8]);
    assert_ne!(rows("mlp.gate_proj")[0], rows("mlp.gate_proj")[1]);
    assert_eq!(rows("mlp.gate_proj").iter().sum::<usize>(), 18);
    assert_eq!(opened(&both).outline(), both.outline());
    assert_eq!(of_tokens(&opened(&both)), of_tokens(&both));
    let dense = Bench::empty().run::<Neurons>(&json!({"ratio": 0.34, "scope": "global"}), &uneven()).unwrap().model;
    assert_eq!(opened(&dense).outline(), dense.outline());
    let image = Bench::empty().run::<Channels>(&json!({"ratio": 0.3, "scope": "global"}), &convnet()).unwrap().model;
    assert_eq!(opened(&image).outline(), image.outline());
}

#[test]
fn a_global_ranking_that_removes_nothing_is_refused() {
    let refused = |parameters: Value, model: &Checkpoint| {
        let problem = Bench::empty().plan::<Neurons>(&parameters, model).unwrap_err().remove(0);
        (problem.pointer, problem.message)
    };
    let none = ("/ratio".to_owned(), "is `0.05`, which removes none of the 6 neurons".to_owned());
    assert_eq!(refused(json!({"ratio": 0.05, "scope": "global"}), &uneven()), none);
    let (_, message) = refused(json!({"ratio": 0.5, "scope": "global", "round_to": 4}), &uneven());
    assert!(message.starts_with("removes no neuron (`layers.0`: all of its 3 neurons stay;"), "{message}");
    let four = built(&[4, 4], inputs(1), labels(&["a", "b"]));
    let parameters = json!({"ratio": 0.125, "scope": "global", "round_to": 2});
    let effect = Bench::empty().plan::<Neurons>(&parameters, &four).unwrap();
    assert!(effect.notes[0].starts_with("at least 7 of 8 neurons stay in 2 layers; "), "{:?}", effect.notes);
    let error = Bench::empty().run::<Neurons>(&parameters, &four).unwrap_err().to_string();
    let expected = "removes no neuron: rounded up to a multiple of 2, all stay in every layer; lower `round_to`, or \
        raise `ratio`";
    assert_eq!(error, expected);
}

#[test]
fn one_layer_alone_is_foreseen() {
    let (model, parameters) = (built(&[4], inputs(1), labels(&["a", "b"])), json!({"ratio": 0.5, "scope": "global"}));
    let effect = Bench::empty().plan::<Neurons>(&parameters, &model).unwrap();
    assert!(effect.exact);
    assert_eq!(effect.notes, ["2 of 4 neurons stay in 1 layer"]);
    Bench::empty().run::<Neurons>(&parameters, &model).unwrap();
}

#[test]
fn targets_without_units_are_refused() {
    let model = built(&[4], inputs(2), labels(&["a", "b"]));
    let problems = Bench::empty().plan::<Channels>(&json!({"ratio": 0.5}), &model).unwrap_err();
    let expected = "removes no channel (`layers.0`: has no channels of its own; `head`: has no channels of its own)";
    assert_eq!(problems[0].message, expected);
}

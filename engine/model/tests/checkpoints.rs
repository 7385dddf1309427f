//! Models to disk and back: nothing is lost, sizes are as predicted, bytes depend on the model alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop where a test would")]

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use paring_model::config::{MlpSpec, Spec};
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{
    ActivationScheme, BlockWeight, Checkpoint, FixedInput, GgmlType, Granularity, InputStep, Inputs, ModelError,
    Outline, Outputs, QuantizedWeight, Weight, WeightScheme, families,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// An mlp 6 -> 4 -> 3 that projects its 8 raw features.
fn model() -> Checkpoint {
    let columns = vec![ColumnEncoding { name: "pixels".to_owned(), encoding: Encoding::Vector { width: 8 } }];
    let mut inputs = Inputs { columns, steps: Vec::new(), shape: vec![8] };
    inputs.push(InputStep::Scale { mean: vec![0.1; 8], scale: vec![3.7; 8] });
    let components = (0..48).map(|index| index as f32 / 7.0).collect();
    inputs.push(InputStep::Project { mean: vec![0.5; 8], components, rows: 6 });
    let outputs = Outputs::Classify { column: "kind".to_owned(), labels: vec!["a".into(), "b".into(), "ü".into()] };
    let spec = Spec::Mlp(MlpSpec { hidden: vec![4], activation: Default::default(), dropout: 0.0 });
    let mut next = 1_u32;
    let mut uniform = |_: &str, buffer: &mut [f32]| {
        for number in buffer {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *number = (next >> 8) as f32 / (1 << 24) as f32;
        }
    };
    families::initialize(&spec, &inputs, &outputs, &mut uniform).unwrap()
}

fn quantized(weight: &Tensor, scheme: WeightScheme, activation: Option<ActivationScheme>) -> Weight {
    let inputs = weight.elem_count() / weight.dim(0).unwrap();
    let scales = scheme.granularity.scales(weight.dim(0).unwrap(), inputs);
    let zero_points: Vec<i8> =
        if scheme.symmetric { vec![] } else { (0..scales).map(|index| (index % 2) as i8 - 1).collect() };
    let scales: Vec<f32> = (0..scales).map(|index| 0.1 + index as f32 / 64.0).collect();
    let rounded = QuantizedWeight::round(weight, scheme, &scales, &zero_points).unwrap();
    Weight::Quantized(QuantizedWeight { activation, ..rounded })
}

/// The same files with the same bytes.
fn assert_equal_directories(one: &Path, other: &Path) {
    let files = |directory: &Path| {
        let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        files
    };
    assert_eq!(files(one), files(other));
    for file in files(one).iter().filter(|file| one.join(file).is_file()) {
        assert!(fs::read(one.join(file)).unwrap() == fs::read(other.join(file)).unwrap(), "{file:?} differs");
    }
}

/// Saves, opens and saves again; the size is as predicted and nothing changes.
fn round_trip(model: &Checkpoint) -> Checkpoint {
    let directory = TempDir::new().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    model.save(&first).unwrap();
    let size = fs::metadata(first.join("model.safetensors")).unwrap().len();
    assert_eq!(model.outline().file_size(), size);
    let opened = Checkpoint::open(&first).unwrap();
    assert_eq!(opened.outline(), model.outline());
    assert_eq!(opened.digest().unwrap(), model.digest().unwrap());
    assert_eq!(opened.changed_tensors(model).unwrap(), Vec::<String>::new());
    opened.save(&second).unwrap();
    assert_equal_directories(&first, &second);
    assert!(fs::read_dir(&first).unwrap().all(|entry| !entry.unwrap().file_name().to_string_lossy().contains(".tmp")));
    // Tensors that were not read keep their file open, so the model outlives its directory.
    opened
}

#[test]
fn a_dense_model_comes_back() {
    let model = model();
    let opened = round_trip(&model);
    assert_eq!(opened.inputs(), model.inputs());
    assert_eq!(opened.outputs(), model.outputs());
    let values = |model: &Checkpoint| model.tensor("head.weight").unwrap().to_vec2::<f32>().unwrap();
    assert_eq!(values(&opened), values(&model));
}

#[test]
fn a_model_from_nothing_comes_back_unbuilt() {
    let built = model();
    let spec = built.config().unwrap().spec.clone();
    let unbuilt = Checkpoint::unbuilt(spec, built.inputs().unwrap().clone(), built.outputs().unwrap().clone());
    assert!(!round_trip(&unbuilt).is_built());
}

#[test]
fn masks_and_half_precision_come_back() {
    let mut model = model();
    let halves = model.tensor("layers.0.weight").unwrap().to_dtype(DType::BF16).unwrap();
    model.set_tensor("layers.0.weight", halves);
    model.set_tensor("layers.0.bias", model.tensor("layers.0.bias").unwrap().to_dtype(DType::F16).unwrap());
    model.set_masked("head.weight", true).unwrap();
    let opened = round_trip(&model);
    assert_eq!(opened.tensor("layers.0.weight").unwrap().dtype(), DType::BF16);
    assert!(matches!(opened.weight("head.weight").unwrap(), Weight::Dense { masked: true, .. }));
    assert!(matches!(opened.weight("layers.0.weight").unwrap(), Weight::Dense { masked: false, .. }));
}

#[test]
fn quantized_models_come_back_in_every_scheme() {
    let fixed = |bits, zero_point| Some(ActivationScheme::Fixed(FixedInput { bits, scale: 0.03, zero_point }));
    let inputs = [None, fixed(8, 201), fixed(4, 9), fixed(12, 3000), Some(ActivationScheme::ByRow { bits: 12 })];
    for bits in [2, 3, 5, 8] {
        for symmetric in [true, false] {
            for granularity in [Granularity::Tensor, Granularity::Channel, Granularity::Group(3)] {
                for activation in inputs {
                    let mut model = model();
                    let weight = model.tensor("layers.0.weight").unwrap();
                    let scheme = WeightScheme { bits, symmetric, granularity };
                    let weight = quantized(&weight, scheme, activation);
                    model.set_weight("layers.0.weight", weight.clone());
                    let (Weight::Quantized(found), Weight::Quantized(expected)) =
                        (round_trip(&model).weight("layers.0.weight").unwrap(), weight)
                    else {
                        panic!("it is not quantized any more")
                    };
                    assert_eq!(found, expected);
                }
            }
        }
    }
}

#[test]
fn weights_in_blocks_come_back_in_every_type() {
    use GgmlType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    for kind in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K] {
        let numbers: Vec<f32> = (0..4 * 256).map(|index| (index as f32 * 0.37).sin()).collect();
        let weight = BlockWeight::round(&numbers, &[4, 64, 2, 2], kind, None).unwrap();
        let mut model = model();
        model.set_weight("extra.weight", Weight::Blocks(weight.clone()));
        let opened = round_trip(&model);
        let Weight::Blocks(found) = opened.weight("extra.weight").unwrap() else { panic!("no blocks") };
        assert_eq!(found, weight);
        assert_eq!(opened.outline().weights["extra.weight"].size(), weight.bytes.len() as u64);
        let restored = opened.tensor("extra.weight").unwrap();
        assert_eq!(restored.dims(), [4, 64, 2, 2]);
        assert!(opened.clone().set_masked("extra.weight", true).is_err());
    }
}

#[test]
fn a_quantized_convolution_keeps_its_shape() {
    let kernel = Tensor::rand(-1.0_f32, 1.0, (3, 2, 3, 3), &Device::Cpu).unwrap();
    let scheme = WeightScheme { bits: 4, symmetric: true, granularity: Granularity::Channel };
    let mut model = model();
    model.set_weight("extra.weight", quantized(&kernel, scheme, None));
    let Weight::Quantized(weight) = round_trip(&model).weight("extra.weight").unwrap() else { panic!("dense") };
    assert_eq!(weight.shape, [3, 2, 3, 3]);
}

#[test]
fn stock_loaders_read_what_is_saved() {
    let directory = TempDir::new().unwrap();
    model().save(directory.path()).unwrap();
    let stock = candle_core::safetensors::load(directory.path().join("model.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(stock["layers.0.weight"].dims(), [4, 6]);
    assert_eq!(stock["inputs.1.components"].dims(), [6, 8]);
    let config: Value = serde_json::from_slice(&fs::read(directory.path().join("config.json")).unwrap()).unwrap();
    assert_eq!(config["model_type"], "mlp");
    assert_eq!(config["hidden"], json!([4]));
}

#[test]
fn files_and_settings_of_others_are_carried_through() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (directory.path().join("my model ü"), directory.path().join("second"));
    model().save(&first).unwrap();
    fs::create_dir(first.join("notes")).unwrap();
    fs::write(first.join("notes/read me.txt"), "kept").unwrap();
    fs::write(first.join("tokenizer.json"), "{}").unwrap();
    fs::write(first.join(".hidden"), "left").unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(first.join("config.json")).unwrap()).unwrap();
    config["license"] = json!("MIT");
    fs::write(first.join("config.json"), config.to_string()).unwrap();

    let mut opened = Checkpoint::open(&first).unwrap();
    let carried: Vec<_> = opened.carried_files().collect();
    assert_eq!(carried, [Path::new("notes/read me.txt"), Path::new("tokenizer.json")]);
    let weight = opened.tensor("head.weight").unwrap();
    let scheme = WeightScheme { bits: 4, symmetric: true, granularity: Granularity::Tensor };
    opened.set_weight("head.weight", quantized(&weight, scheme, None));
    opened.save(&second).unwrap();
    assert_eq!(fs::read(second.join("notes/read me.txt")).unwrap(), b"kept");
    assert_eq!(fs::read(second.join("tokenizer.json")).unwrap(), b"{}");
    assert!(!second.join(".hidden").exists());
    let config: Value = serde_json::from_slice(&fs::read(second.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["license"], "MIT");
    assert_eq!(config["quantization_config"]["format"], "pack-quantized");

    // Dense again: the description of the quantization goes.
    opened.set_tensor("head.weight", weight);
    opened.save(&second).unwrap();
    let config = fs::read_to_string(second.join("config.json")).unwrap();
    assert!(!config.contains("quantization_config") && config.contains("MIT"), "{config}");
}

#[test]
fn saving_over_itself_keeps_the_model() {
    let directory = TempDir::new().unwrap();
    model().save(directory.path()).unwrap();
    fs::write(directory.path().join("LICENSE"), "MIT").unwrap();
    let opened = Checkpoint::open(directory.path()).unwrap();
    opened.save(directory.path()).unwrap();
    assert_eq!(Checkpoint::open(directory.path()).unwrap().digest().unwrap(), model().digest().unwrap());
    assert_eq!(fs::read(directory.path().join("LICENSE")).unwrap(), b"MIT");
}

#[test]
fn models_of_others_open_as_tensors_and_keep_their_config() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    model().save(&first).unwrap();
    fs::remove_file(first.join("paring.json")).unwrap();
    let config = "{ \"model_type\": \"bilstm\",   \"hidden\": 3 }";
    fs::write(first.join("config.json"), config).unwrap();
    let opened = Checkpoint::open(&first).unwrap();
    assert!(opened.config().is_none() && opened.inputs().is_none() && opened.is_built());
    assert!(opened.names().contains(&"inputs.1.components".to_owned()));
    opened.save(&second).unwrap();
    assert_eq!(fs::read_to_string(second.join("config.json")).unwrap(), config);
}

#[test]
fn shards_open_as_one_model_and_are_saved_as_one() {
    let directory = TempDir::new().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    model().save(&first).unwrap();
    let tensors = candle_core::safetensors::load(first.join("model.safetensors"), &Device::Cpu).unwrap();
    let mut names: Vec<_> = tensors.keys().cloned().collect();
    names.sort();
    let mut weight_map = serde_json::Map::new();
    for (index, name) in names.iter().enumerate() {
        let shard = format!("model-0000{}-of-00002.safetensors", index % 2 + 1);
        weight_map.insert(name.clone(), json!(shard));
    }
    for shard in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
        let held: std::collections::HashMap<_, _> = names
            .iter()
            .filter(|name| weight_map[*name] == shard)
            .map(|name| (name.clone(), tensors[name].clone()))
            .collect();
        candle_core::safetensors::save(&held, first.join(shard)).unwrap();
    }
    fs::remove_file(first.join("model.safetensors")).unwrap();
    fs::write(first.join("model.safetensors.index.json"), json!({"weight_map": weight_map}).to_string()).unwrap();

    let opened = Checkpoint::open(&first).unwrap();
    assert_eq!(opened.digest().unwrap(), model().digest().unwrap());
    opened.save(&second).unwrap();
    let mut files: Vec<_> = fs::read_dir(&second).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["config.json", "model.safetensors", "paring.json"]);
}

#[test]
fn changes_are_found_by_name() {
    let (one, mut other) = (model(), model());
    assert_eq!(one.changed_tensors(&other).unwrap(), Vec::<String>::new());
    other.set_tensor("head.bias", (other.tensor("head.bias").unwrap() + 1.0).unwrap());
    other.set_masked("layers.0.weight", true).unwrap();
    other.remove("layers.0.bias");
    other.set_tensor("more", Tensor::new(&[1.0_f32], &Device::Cpu).unwrap());
    let expected = ["head.bias", "layers.0.bias", "layers.0.weight", "more"];
    assert_eq!(one.changed_tensors(&other).unwrap(), expected);
    assert_ne!(one.digest().unwrap(), other.digest().unwrap());
}

/// Nothing in the file of weights says how inputs are quantized row by row, and it changes what the model computes.
#[test]
fn the_form_of_inputs_is_a_change() {
    let scheme = WeightScheme { bits: 8, symmetric: true, granularity: Granularity::Channel };
    let with = |bits| {
        let mut model = model();
        let weight = model.tensor("head.weight").unwrap();
        model.set_weight("head.weight", quantized(&weight, scheme, Some(ActivationScheme::ByRow { bits })));
        model
    };
    assert_ne!(with(8).digest().unwrap(), with(12).digest().unwrap());
    assert_eq!(with(8).changed_tensors(&with(12)).unwrap(), ["head.weight"]);
    assert_eq!(with(8).digest().unwrap(), with(8).digest().unwrap());
}

#[test]
fn a_new_tensor_keeps_the_mask_flag() {
    let mut model = model();
    model.set_masked("head.weight", true).unwrap();
    model.set_tensor("head.weight", model.tensor("head.weight").unwrap());
    assert!(matches!(model.weight("head.weight").unwrap(), Weight::Dense { masked: true, .. }));
    assert!(matches!(model.set_masked("nothing", true), Err(ModelError::MissingTensor { .. })));
    assert!(model.remove("head.weight") && !model.remove("head.weight"));
}

/// What opening says after `change` was done to a saved model's directory.
fn refused(change: impl Fn(&Path)) -> String {
    let directory = TempDir::new().unwrap();
    model().save(directory.path()).unwrap();
    change(directory.path());
    let error = Outline::open(directory.path()).unwrap_err().to_string();
    let root = directory.path().canonicalize().unwrap();
    error.replace(&format!("{}/", root.display()), "").replace(&format!("{}/", directory.path().display()), "")
}

/// Replaces text in a file of the directory.
fn edit(directory: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(directory.join(file)).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(directory.join(file), text.replacen(from, to, 1)).unwrap();
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let paring = |from: &'static str, to: &'static str| refused(|directory| edit(directory, "paring.json", from, to));
    assert_eq!(
        paring("\"format\": 1", "\"format\": 2"),
        "`paring.json` is not a valid paring.json file: it has format 2, but this program reads format 1"
    );
    assert_eq!(
        paring("\"masks\": []", "\"masks\": [\"heat.weight\"]"),
        "`paring.json` is not a valid paring.json file: it lists a mask for `heat.weight`, which is no plain tensor of the model"
    );
    assert_eq!(
        paring("\"rows\": 6", "\"rows\": 5"),
        "`model.safetensors` is not a valid safetensors file: tensor `inputs.1.components` has type `F32` and shape [6, 8], expected `F32` and [5, 8]"
    );
    assert_eq!(
        paring("\"a\",", "\"b\","),
        "`paring.json` is not a valid paring.json file: the outputs name class `b` twice"
    );
    assert_eq!(
        refused(|directory| edit(directory, "config.json", "\"output\": 3", "\"output\": 4")),
        "`paring.json` is not a valid paring.json file: its outputs need 3 numbers, but the network gives 4"
    );
    assert_eq!(
        refused(|directory| fs::write(directory.join("config.json"), "[]").unwrap()),
        "`config.json` is not a valid config.json file: it holds no object"
    );
    assert_eq!(
        refused(|directory| edit(directory, "config.json", "\"hidden\"", "\"hiden\"")),
        "`config.json` is not a valid config.json file: the `mlp` configuration is wrong: missing field `hidden`"
    );
}

#[test]
fn quantized_tensors_that_lie_are_refused() {
    let mut model = model();
    let scheme = WeightScheme { bits: 4, symmetric: true, granularity: Granularity::Group(3) };
    model.set_weight("head.weight", quantized(&Tensor::ones((3, 6), DType::F32, &Device::Cpu).unwrap(), scheme, None));
    let directory = TempDir::new().unwrap();
    model.save(directory.path()).unwrap();
    let message = |from, to| {
        let copy = TempDir::new().unwrap();
        model.save(copy.path()).unwrap();
        edit(copy.path(), "config.json", from, to);
        let error = Checkpoint::open(copy.path()).unwrap_err().to_string();
        error.split_once("file: ").unwrap().1.to_owned()
    };
    assert_eq!(
        message("\"group_size\": 3", "\"group_size\": 4"),
        "tensor `head.weight`: groups of 4 do not divide its 6 inputs"
    );
    assert_eq!(
        message("\"group_size\": 3", "\"group_size\": 2"),
        "tensor `head.weight_scale` has type `F32` and shape [3, 2], expected `F32` and [3, 3]"
    );
    assert_eq!(message("\"symmetric\": true", "\"symmetric\": false"), "tensor `head.weight_zero_point` is missing");
}

#[test]
fn a_directory_without_weights_is_no_model() {
    let message = refused(|directory| fs::remove_file(directory.join("model.safetensors")).unwrap());
    let expected = "it holds none of `model.safetensors`, `model.safetensors.index.json`, `pytorch_model.bin`, \
                    `pytorch_model.bin.index.json`, and no GGUF file";
    assert!(message.ends_with(expected), "{message}");
}

#[cfg(unix)]
#[test]
fn links_are_followed_inside_the_directory_only() {
    use std::os::unix::fs::symlink;
    let message = refused(|directory| symlink("/etc/passwd", directory.join("vocabulary.txt")).unwrap());
    assert_eq!(
        message,
        "`vocabulary.txt` is not a valid model file: the link does not lead to a file of the model's directory"
    );
    let directory = TempDir::new().unwrap();
    model().save(directory.path()).unwrap();
    fs::write(directory.path().join("one.txt"), "1").unwrap();
    symlink("one.txt", directory.path().join("two.txt")).unwrap();
    assert_eq!(Checkpoint::open(directory.path()).unwrap().carried_files().count(), 2);
}

#[test]
fn a_directory_that_cannot_be_written_to_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = model().save(&file.join("model")).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot create `{}", file.display())), "{error}");
}

//! Masked matrices without their zeros: what is written comes back bit for bit, and what is damaged is refused by name.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use paring_model::families::beyond_transformers;
use paring_model::units::keep_units;
use paring_model::{Checkpoint, SparseLayout, Weight};
use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

use crate::tiny::{self, Tiny};

const LAYOUTS: [SparseLayout; 2] = [SparseLayout::Bitmask, SparseLayout::Bitmask24];

/// Two of each four weights of every layer's matrices are zero, and that is a mask.
fn pruned(tiny: &Tiny) -> Checkpoint {
    let mut model = tiny.open();
    for site in model.outline().sites().unwrap().iter().filter(|site| site.layer.is_some()) {
        let tensor = model.tensor(&site.weight()).unwrap();
        let mask: Vec<u8> = (0..tensor.elem_count()).map(|place| u8::from(place % 4 % 3 == 0)).collect();
        let mask = Tensor::from_vec(mask, tensor.dims(), &Device::Cpu).unwrap();
        let tensor = mask.where_cond(&tensor, &tensor.zeros_like().unwrap()).unwrap();
        model.set_weight(&site.weight(), Weight::Dense { tensor, masked: true });
    }
    model
}

fn config(directory: &Path) -> Value {
    serde_json::from_slice(&fs::read(directory.join("config.json")).unwrap()).unwrap()
}

fn size(directory: &Path) -> u64 {
    fs::metadata(directory.join("model.safetensors")).unwrap().len()
}

#[test]
fn sparse_weights_come_back_bit_for_bit() {
    for (name, tiny) in tiny::all() {
        for layout in LAYOUTS {
            let model = pruned(&tiny);
            let directory = TempDir::new().unwrap();
            model.save_sparse(directory.path(), layout).unwrap();
            let opened = Checkpoint::open(directory.path()).unwrap();
            assert_eq!(model.changed_tensors(&opened).unwrap(), Vec::<String>::new(), "{name}");
            assert_eq!(model.digest().unwrap(), opened.digest().unwrap(), "{name}");
            // And from there dense, as if they had never been sparse.
            let dense = [TempDir::new().unwrap(), TempDir::new().unwrap()];
            model.save(dense[0].path()).unwrap();
            opened.save(dense[1].path()).unwrap();
            for file in ["model.safetensors", "paring.json"] {
                let [one, other] = [0, 1].map(|at: usize| fs::read(dense[at].path().join(file)).unwrap());
                assert!(one == other, "{name}: {file}");
            }
            let [one, other] = [0, 1].map(|at: usize| config(dense[at].path()));
            assert_eq!(one, other, "{name}");
            assert!(size(directory.path()) != size(dense[0].path()), "{name}");
        }
    }
}

#[test]
fn halves_come_back_too_and_config_says_what_loaders_need() {
    let mut model = pruned(&tiny::llama());
    let name = "model.layers.0.mlp.up_proj.weight";
    let halves = model.tensor(name).unwrap().to_dtype(DType::BF16).unwrap();
    model.set_tensor(name, halves);
    let directory = TempDir::new().unwrap();
    model.save_sparse(directory.path(), SparseLayout::Bitmask24).unwrap();
    let opened = Checkpoint::open(directory.path()).unwrap();
    assert_eq!(model.changed_tensors(&opened).unwrap(), Vec::<String>::new());
    let config = config(directory.path());
    let said = &config["quantization_config"];
    assert_eq!(said["quant_method"], "compressed-tensors");
    let said = &said["sparsity_config"];
    assert_eq!((&said["format"], &said["sparsity_structure"]), (&"sparse-24-bitmask".into(), &"2:4".into()));
    assert_eq!((said["global_sparsity"].as_f64(), said["targets"].as_array().unwrap().len()), (Some(0.5), 14));
    assert_eq!(said["targets"][0], "model.layers.0.mlp.down_proj");
}

/// The place of a tensor's bytes in the file.
fn place(file: &[u8], name: &str) -> std::ops::Range<usize> {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&file[8..8 + length]).unwrap();
    let at = |index: usize| header[name]["data_offsets"][index].as_u64().unwrap() as usize + 8 + length;
    at(0)..at(1)
}

#[rstest]
#[case::bits("bitmask", 0, 1, "row 1 begins after ")]
#[case::offset("row_offsets", 8, 1, "row 1 begins after ")]
#[case::last("bitmask", -1, 128, "it keeps ")]
fn damaged_parts_are_refused_with_their_tensor(
    #[case] part: &str,
    #[case] at: isize,
    #[case] flip: u8,
    #[case] expected: &str,
) {
    let directory = TempDir::new().unwrap();
    pruned(&tiny::llama()).save_sparse(directory.path(), SparseLayout::Bitmask).unwrap();
    let path = directory.path().join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    let layer = "model.layers.1.self_attn.k_proj";
    let place = place(&file, &format!("{layer}.{part}"));
    let at = if at < 0 { place.end - at.unsigned_abs() } else { place.start + at.unsigned_abs() };
    file[at] ^= flip;
    fs::write(&path, file).unwrap();
    let model = Checkpoint::open(directory.path()).unwrap();
    let error = model.tensor(&format!("{layer}.weight")).unwrap_err().to_string();
    assert!(error.contains(&format!("tensor `{layer}.bitmask`: {expected}")), "{error}");
    let mut seen = 0;
    assert!(model.in_parts(&format!("{layer}.weight"), &mut |_| seen += 1).is_err() && seen == 0);
}

#[rstest]
#[case::missing(
    "k_proj.bitmask\":",
    "k_proj.bitmast\":",
    "tensor `model.layers.0.self_attn.k_proj.bitmask` is missing"
)]
#[case::type_of_bits(
    "\"U8\",\"shape\":[24,2]",
    "\"I8\",\"shape\":[24,2]",
    "tensor `model.layers.0.mlp.gate_proj.bitmask` has type `I8` and shape [24, 2]"
)]
#[case::format("sparse-bitmask", "sparse-bitmasc", "it lists a mask for `model.layers.0.mlp.down_proj.weight`")]
fn headers_that_do_not_fit_are_refused(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let directory = TempDir::new().unwrap();
    pruned(&tiny::llama()).save_sparse(directory.path(), SparseLayout::Bitmask).unwrap();
    for name in ["model.safetensors", "config.json"] {
        let file = fs::read(directory.path().join(name)).unwrap();
        let text: String = file.iter().map(|&byte| char::from(byte)).collect();
        let changed = text.replacen(from, to, 1);
        fs::write(directory.path().join(name), changed.chars().map(|it| it as u8).collect::<Vec<u8>>()).unwrap();
    }
    let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn a_file_cut_short_is_refused() {
    let directory = TempDir::new().unwrap();
    pruned(&tiny::llama()).save_sparse(directory.path(), SparseLayout::Bitmask).unwrap();
    let path = directory.path().join("model.safetensors");
    let file = fs::read(&path).unwrap();
    fs::write(&path, &file[..file.len() - 1]).unwrap();
    let error = Checkpoint::open(directory.path()).unwrap_err().to_string();
    assert!(error.contains("bitmask` claims bytes"), "{error}");
}

#[test]
fn what_a_layout_cannot_hold_is_said_and_not_written_otherwise() {
    let model = tiny::llama().open();
    let reasons = |model: &Checkpoint, layout: SparseLayout| -> Vec<String> {
        layout.refusals(&model.outline()).into_iter().map(|refusal| refusal.reason).collect()
    };
    let bare = "no weight of the model has a mask, whose zeros could be left out";
    assert_eq!(reasons(&model, SparseLayout::Bitmask), [bare]);
    let directory = TempDir::new().unwrap();
    assert_eq!(model.save_sparse(directory.path(), SparseLayout::Bitmask).unwrap_err().to_string(), bare);
    assert!(!directory.path().join("model.safetensors").exists());

    let mut model = pruned(&tiny::llama());
    model.set_masked("model.embed_tokens.weight", true).unwrap();
    model.set_masked("model.norm.weight", true).unwrap();
    let expected = [
        "masked tensor `model.embed_tokens.weight` is a table, which loaders read dense",
        "masked tensor `model.norm.weight` is no matrix",
    ];
    assert_eq!(reasons(&model, SparseLayout::Bitmask), expected);

    let mut model = pruned(&tiny::llama());
    model.set_masked("lm_head.weight", true).unwrap();
    let error = model.save_sparse(directory.path(), SparseLayout::Bitmask24).unwrap_err().to_string();
    let expected = "`sparse-24-bitmask` cannot hold tensor `lm_head.weight`: 4 of the 4 numbers from row 0, column 0 \
                    on are not zero";
    assert_eq!(error, expected);
    assert!(!directory.path().join("model.safetensors").exists());
}

/// Removes units of the groups of one kind.
fn removed(tiny: &Tiny, kind: &str, layers: usize, keep: &[usize]) -> Checkpoint {
    let mut model = tiny.open();
    let groups = model.outline().units().unwrap();
    for group in groups.iter().filter(|group| group.kind == kind).take(layers) {
        keep_units(&mut model, group, keep).unwrap();
    }
    model
}

#[rstest]
#[case::all_neurons(tiny::bert(""), "neurons", 2, None)]
#[case::neurons_of_one_layer(
    tiny::bert(""),
    "neurons",
    1,
    Some(
        "`encoder.layer.0.intermediate.dense` has 3 outputs and `encoder.layer.1.intermediate.dense` 24, and it has \
     one width for all layers"
    )
)]
#[case::heads(
    tiny::bert(""),
    "heads",
    2,
    Some(
        "`encoder.layer.0.attention.self.query` has 12 outputs, and its encoders have attention of the stream's \
         width, 16"
    )
)]
#[case::all_groups(tiny::llama(), "kv_groups", 2, None)]
#[case::groups_of_one_layer(
    tiny::llama(),
    "kv_groups",
    1,
    Some(
        "`model.layers.0.self_attn.q_proj` has 8 outputs and `model.layers.1.self_attn.q_proj` 16, and it has one \
     width for all layers"
    )
)]
fn what_transformers_has_no_settings_for_is_said(
    #[case] tiny: Tiny,
    #[case] kind: &str,
    #[case] layers: usize,
    #[case] expected: Option<&str>,
) {
    let keep: &[usize] = if kind == "kv_groups" { &[1] } else { &[0, 1, 3] };
    let model = removed(&tiny, kind, layers, keep);
    let expected = expected.map(|reason| format!("transformers cannot open the directory, Paring can: {reason}"));
    assert_eq!(beyond_transformers(&model.outline()), expected);
}

/// A config that leaves the feed-forward width to a default says it once neurons are gone.
#[test]
fn a_width_that_was_a_default_is_written() {
    let mut tiny = tiny::bert("");
    tiny.config.as_object_mut().unwrap().remove("intermediate_size");
    let model = removed(&tiny, "neurons", 2, &[0, 1, 3]);
    let directory = TempDir::new().unwrap();
    model.save(directory.path()).unwrap();
    assert_eq!(config(directory.path())["intermediate_size"], 3);
}

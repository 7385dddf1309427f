//! Exports in their formats: what is written opens in other loaders, and what cannot be is refused by the plan.

use std::path::Path;

use candle_core::DType;
use paring_engine::run::Ending;
use paring_model::Checkpoint;

use super::support::{Scene, messages};

const FIXTURES: &str = "../model/tests/gguf/fixtures";

/// A recipe over a tiny decoder, without rows.
fn scene(file: &str, rest: &str) -> Scene {
    let scene = Scene::new("stages: []\n", &[]);
    std::fs::copy(Path::new(FIXTURES).join(file), scene.path("tiny.gguf")).unwrap();
    let head = "paring: 1\nname: tiny\nmodel: { load: tiny.gguf }\ntask: generate\nmeasure: [size]\n";
    std::fs::write(scene.path("recipe.yaml"), format!("{head}{rest}")).unwrap();
    scene
}

#[test]
fn a_decoder_in_blocks_becomes_a_file_that_others_load() {
    for file in ["llama.gguf", "qwen2.gguf", "qwen3.gguf"] {
        let rest = "stages:\n  - quantize/gguf: { types: q8_0, fallback: true }\nexport:\n  - gguf: {}\n";
        let scene = scene(file, rest);
        let result = scene.run();
        assert_eq!(result.ending, Ending::Done, "{file}: {:?}", messages(&result.problems));
        let export = &result.report.exports[0];
        assert_eq!((export.format.as_str(), export.path.as_str()), ("gguf", "model/model.gguf"));
        assert_eq!(export.opened_by, ["paring", "candle-transformers"]);
        assert_eq!(export.bytes, std::fs::metadata(scene.path("out/model/model.gguf")).unwrap().len());
        // Inputs of layers are rounded to 8 bits before, and not once it is opened again.
        let far = export.parity_difference;
        assert!(export.parity_rows == 8 && far > 1e-4 && far < 0.3, "{file}: {far} {:?}", export.notes);
        let same = "in candle-transformers, logits differ by ";
        let rest = export.notes[1].strip_prefix(same).unwrap_or_else(|| panic!("{:?}", export.notes));
        let relative: f64 = rest.split(' ').next().unwrap().parse().unwrap();
        assert!(relative < 1e-3, "{file}: {:?}", export.notes);
        let opened = Checkpoint::open(&scene.path("out/model")).unwrap();
        assert_eq!(opened.stored_type("model.layers.0.self_attn.q_proj.weight").as_deref(), Some("Q8_0"));
        assert_eq!(opened.stored_type("model.layers.0.mlp.down_proj.weight"), None);
    }
}

#[test]
fn floats_stay_floats_and_may_change_their_type() {
    let rest = "stages: []\nexport:\n  - gguf: { name: small }\n  - safetensors: { dtype: bf16 }\n";
    let scene = scene("llama.gguf", rest);
    let result = scene.run();
    assert_eq!(result.ending, Ending::Done, "{:?}", messages(&result.problems));
    assert!(result.report.exports[0].parity_difference < 1e-5);
    let tensor = |directory: &str| {
        let model = Checkpoint::open(&scene.path(directory)).unwrap();
        model.tensor("model.layers.0.self_attn.q_proj.weight").unwrap().dtype()
    };
    assert_eq!(tensor("out/model-2"), DType::BF16);
    assert_ne!(tensor("out/model"), DType::BF16);
}

const TWO_OF_FOUR: &str = "stages:\n  - prune/magnitude: { pattern: \"2:4\" }\n    targets: [\"model.layers.*\"]\n";

#[test]
fn masked_matrices_are_written_without_their_zeros() {
    let exports = "export:\n  - safetensors: { layout: sparse-24-bitmask }\n  - safetensors: { layout: sparse-bitmask, \
                   dtype: f16 }\n  - safetensors: {}\n  - safetensors: { dtype: f16 }\n";
    let scene = scene("llama.gguf", &format!("{TWO_OF_FOUR}{exports}"));
    let result = scene.run();
    assert_eq!(result.ending, Ending::Done, "{:?}", messages(&result.problems));
    let open = |directory: &str| Checkpoint::open(&scene.path("out").join(directory)).unwrap();
    for (sparse, dense, layout) in [(0, 2, "sparse-24-bitmask"), (1, 3, "sparse-bitmask")] {
        let [sparse, dense] = [sparse, dense].map(|index: usize| &result.report.exports[index]);
        assert_eq!(open(&dense.path).changed_tensors(&open(&sparse.path)).unwrap(), Vec::<String>::new(), "{layout}");
        let file = scene.path("out").join(&sparse.path).join("model.safetensors");
        assert_eq!(sparse.bytes, std::fs::metadata(file).unwrap().len());
        assert_ne!(sparse.bytes, dense.bytes);
        let share = 100.0 * sparse.bytes as f64 / dense.bytes as f64;
        let note = format!("in `{layout}` the weights take {share:.1}% of the bytes that they take with all zeros");
        assert_eq!((sparse.notes.as_slice(), dense.notes.len()), ([note].as_slice(), 0));
    }
    let notes = [
        "transformers 4 with compressed-tensors 0.14 opens `sparse-24-bitmask`; transformers 5 makes up the pruned \
         weights instead",
        "`ModelCompressor.decompress` of compressed-tensors 0.14 reads `sparse-bitmask`; transformers 5 makes up the \
         pruned weights instead",
    ];
    assert_eq!(result.report.notes, notes);
}

/// What makes the masks is not in the recipe: the plan cannot know, and nothing is written in another form.
#[test]
fn masks_that_a_model_comes_with_are_looked_at_when_they_are_written() {
    let half = "stages:\n  - prune/magnitude: { sparsity: 0.5 }\n    targets: [\"model.layers.*\"]\nexport:\n  - \
                safetensors: {}\n";
    let scene = scene("llama.gguf", half);
    assert_eq!(scene.run().ending, Ending::Done);
    std::fs::rename(scene.path("out/model"), scene.path("pruned")).unwrap();
    scene.edit("tiny.gguf", "pruned");
    scene.edit(&half[..half.find("export").unwrap()], "stages: []\n");
    scene.edit("safetensors: {}", "safetensors: { layout: sparse-24-bitmask }");
    let result = scene.run();
    assert_eq!(result.ending, Ending::StageFailed);
    let said = messages(&result.problems);
    assert!(
        said[0].starts_with("E008: the export failed: `sparse-24-bitmask` cannot hold tensor `model.layers.0."),
        "{said:?}"
    );
    assert!(!scene.path("out/model").exists());
}

/// Fewer key and value groups in one layer, whatever the reason, are beyond what one setting for all layers says.
#[test]
fn what_transformers_cannot_open_is_said_in_plan_and_report() {
    let rest = "stages:\n  - prune/neurons: { ratio: 0.5 }\n    targets: [\"model.layers.0.*\"]\nexport:\n  - \
                safetensors: {}\n";
    let scene = scene("llama.gguf", rest);
    let result = scene.run();
    assert_eq!(result.ending, Ending::Done, "{:?}", messages(&result.problems));
    let said = "transformers cannot open the directory, Paring can: `model.layers.0.mlp.gate_proj` has ";
    assert!(result.report.notes.iter().any(|note| note.starts_with(said)), "{:?}", result.report.notes);
    assert_eq!(result.report.exports[0].notes, result.report.notes);
    assert_eq!(result.report.notes, paring_engine::plan::plan(&scene.project()).unwrap().notes);
}

#[test]
fn what_a_format_cannot_hold_is_refused_before_any_work() {
    let bare = "stages: []\nexport:\n  - safetensors: { layout: sparse-bitmask }\n";
    let half = "stages:\n  - prune/magnitude: { sparsity: 0.5 }\n    targets: [\"*.o_proj\"]\nexport:\n  - \
                safetensors: { layout: sparse-24-bitmask }\n";
    let both = "stages:\n  - prune/magnitude: { pattern: \"2:4\" }\n    targets: [\"*.o_proj\"]\n  - quantize/rtn: \
                {}\n    targets: [\"*.q_proj\"]\nexport:\n  - safetensors: { layout: sparse-24-bitmask }\n";
    let blocks = "stages:\n  - quantize/gguf: { types: q8_0, fallback: true }\nexport:\n  - safetensors: {}\n";
    let integers = "stages:\n  - quantize/rtn: {}\n    targets: [\"*.o_proj\"]\nexport:\n  - gguf: {}\n";
    for (rest, expected) in [
        (
            bare,
            vec![
                "a `safetensors` export is not possible: no weight of the model has a mask, whose zeros could be left \
                 out",
            ],
        ),
        (
            half,
            vec![
                "a `safetensors` export is not possible: no stage prunes tensor \
                 `model.layers.0.self_attn.o_proj.weight` to 2 of each 4 weights",
                "a `safetensors` export is not possible: no stage prunes tensor \
                 `model.layers.1.self_attn.o_proj.weight` to 2 of each 4 weights",
            ],
        ),
        (
            both,
            vec![
                "a `safetensors` export is not possible: tensor `model.layers.0.self_attn.q_proj.weight` is quantized, \
                 and is stored as such",
            ],
        ),
        (
            blocks,
            vec![
                "a `safetensors` export is not possible: tensor `model.embed_tokens.weight` is in blocks of `Q8_0`, \
                 which other readers of safetensors do not know",
            ],
        ),
        (
            integers,
            vec![
                "a `gguf` export is not possible: tensor `model.layers.0.self_attn.o_proj.weight` is int8, which GGUF \
                 files do not hold",
                "a `gguf` export is not possible: tensor `model.layers.1.self_attn.o_proj.weight` is int8, which GGUF \
                 files do not hold",
            ],
        ),
    ] {
        let problems = scene("llama.gguf", rest).plan_problems();
        let found: Vec<&str> = problems.list.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(found, expected);
        assert!(problems.list.iter().all(|problem| problem.code == "P016"));
    }
}

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

#[test]
fn what_a_format_cannot_hold_is_refused_before_any_work() {
    let blocks = "stages:\n  - quantize/gguf: { types: q8_0, fallback: true }\nexport:\n  - safetensors: {}\n";
    let integers = "stages:\n  - quantize/rtn: {}\n    targets: [\"*.o_proj\"]\nexport:\n  - gguf: {}\n";
    for (rest, expected) in [
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

//! A sentence encoder: all-MiniLM-L6-v2.

use paring_engine::model::inputs::{ColumnEncoding, Encoding};
use paring_engine::model::{Checkpoint, Column, Inputs, Table, Values};
use paring_tests::Scratch;

use super::{asset, figure, run};

/// The cosines that the model's card publishes for its first sentence and the three others.
#[test]
fn minilm_finds_the_published_similarities() {
    let mut model = Checkpoint::open(&asset("minilm")).unwrap();
    let encoding = Encoding::Text { max_length: 128 };
    let columns = vec![ColumnEncoding { name: "text".to_owned(), encoding }];
    model.set_inputs(Inputs { columns, steps: Vec::new(), shape: vec![128] });
    let sentences =
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let cells = sentences.iter().map(|&sentence| Some(sentence.to_owned())).collect();
    let table = Table { columns: vec![Column { name: "text".to_owned(), values: Values::Text(cells) }], rows: 4 };
    let vectors = model.predict(&model.read(&table).unwrap(), 4).unwrap().to_vec2::<f32>().unwrap();
    let cosine = |other: &[f32]| vectors[0].iter().zip(other).map(|(a, b)| a * b).sum::<f32>();
    for (found, expected) in vectors[1..].iter().map(|vector| cosine(vector)).zip([0.695, 0.943, 0.257]) {
        assert!((found - expected).abs() < 0.0005, "found {found}, expected {expected}");
    }
}

#[test]
fn minilm_is_rounded_pruned_and_opened_again() {
    asset("minilm/model.safetensors");
    let scratch = Scratch::new();
    let text = "paring: 1
name: minilm
model: { load: minilm }
task: embed
data: { train: { path: movies.csv, text: text }, split: { train: 0.5, test: 0.5 } }
measure: [cosine_min, size, nonzeros]
stages:
  - prune/magnitude: { sparsity: 0.2, scope: per_site }
    targets: [\"encoder.*\"]
  - quantize/rtn: { bits: 8 }
    targets: [\"encoder.*\"]
require: { cosine_min: { min: 0.95 }, size: { max_ratio: 0.7 } }
export: [{ safetensors: {} }]
";
    let rows: String = (0..24).map(|row| format!("A film of {row} stars that nobody left early\n")).collect();
    std::fs::write(scratch.path("movies.csv"), format!("text\n{rows}")).unwrap();
    run(&scratch, text);
    assert!(scratch.path("out/model/1_Pooling/config.json").is_file());
    let mut command = scratch.paring();
    command.arg("eval").arg(scratch.path("out/model")).arg("--data").arg(scratch.path("movies.csv"));
    let output = command.arg("--predictions").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 24);
}

/// 256 sentences of up to 64 tokens, ranges from 64 others. The stages are those of onnxruntime 1.32, which reaches mean
/// and least cosines of .990 and .972 with dynamic ranges and .286 and .090 with static ones.
#[rstest::rstest]
#[case("quantize/dynamic-int8: {}", [0.998, 0.995])]
#[case("quantize/dynamic-int8: { activation_bits: 8 }", [0.996, 0.990])]
#[case("quantize/static-int8: { calibration_rows: 64 }", [0.99, 0.97])]
fn minilm_in_eight_bits_stays_near_itself(#[case] stage: &str, #[case] least: [f64; 2]) {
    asset("minilm/model.safetensors");
    asset("movie-reviews/evaluate.csv");
    let scratch = Scratch::new();
    let report = run(
        &scratch,
        &format!(
            "paring: 1
name: minilm
model: {{ load: minilm }}
task: embed
data:
  train: {{ path: movie-reviews/calibrate.csv, text: text }}
  test: {{ path: movie-reviews/evaluate.csv, text: text }}
  max_length: 64
  split: {{ train: 1, validate: 0, calibrate: 0 }}
measure: [cosine, cosine_min, size]
stages:
  - {stage}
"
        ),
    );
    let after = &report["stages"][0]["after"];
    let (mean, min) = (figure(after, "cosine"), figure(after, "cosine_min"));
    assert!(mean >= least[0] && min >= least[1], "{stage}: mean {mean}, least {min}");
    let size = figure(after, "size") / figure(&report["baseline"], "size");
    assert!(size <= 0.27, "{stage}: {size}");
}

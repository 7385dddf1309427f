//! Whole runs of models that read text, over tiny ones of random weights.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a panic"
)]

use paring_tests::Scratch;
use serde_json::Value;

/// Runs a recipe over rows, and gives the report.
fn run(scratch: &Scratch, recipe: &str, file: &str, rows: &str) -> Value {
    std::fs::write(scratch.path("recipe.yaml"), recipe).unwrap();
    std::fs::write(scratch.path(file), rows).unwrap();
    let mut command = scratch.paring();
    command.arg("run").arg(scratch.path("recipe.yaml")).args(["--root", "tests/bad/files"]);
    let output = command.arg("--out").arg(scratch.path("out")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(scratch.path("out/report.json")).unwrap()).unwrap()
}

fn eval(scratch: &Scratch, data: &str) -> Value {
    let mut command = scratch.paring();
    command.arg("eval").arg(scratch.path("out/model")).arg("--data").arg(scratch.path(data)).arg("--json");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn figure(report: &Value, stage: usize, measure: &str) -> f64 {
    report["stages"][stage]["after"][measure].as_f64().unwrap_or_else(|| panic!("{measure}: {report:#}"))
}

/// Reviews whose fourth word decides.
fn reviews() -> String {
    let line = |row: usize| {
        let (word, label) = [("good", "liked"), ("bad", "hated"), ("bright", "liked"), ("dull", "hated")][row % 4];
        let rest = ["a film that is long", "the story was short and we left early", "it was late"][row % 3];
        format!("the actors were {word} and {rest},{label}\n")
    };
    format!("review,opinion\n{}", (0..96).map(line).collect::<String>())
}

#[test]
fn an_encoder_learns_to_classify_is_rounded_and_reads_raw_texts() {
    let scratch = Scratch::new();
    let recipe = "paring: 1
name: reviews
model: { load: tiny-bert }
task: classify
data: { train: { path: reviews.csv, text: review, label: opinion }, max_length: 24 }
measure: [accuracy, size]
stages:
  - train/fit: { epochs: 12, batch_size: 16, learning_rate: 0.01, freeze: [\"embeddings.*\"] }
  - quantize/static-int8: {}
    targets: [\"encoder.*\"]
export: [{ safetensors: {} }]
";
    let report = run(&scratch, recipe, "reviews.csv", &reviews());
    assert!(figure(&report, 0, "accuracy") > 0.95, "{report:#}");
    assert!(figure(&report, 1, "accuracy") > 0.9, "{report:#}");
    assert!(figure(&report, 1, "size") < figure(&report, 0, "size"));
    let figures = eval(&scratch, "reviews.csv");
    assert!(figures["measures"]["accuracy"].as_f64().unwrap() > 0.9, "{figures:#}");
    let config: Value = serde_json::from_slice(&std::fs::read(scratch.path("out/model/config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!(config["id2label"]["1"], "liked");
}

/// The student is the bare encoder, which gets an output layer; one of its teachers is what another run left.
#[test]
fn an_encoder_of_a_file_learns_from_two_others() {
    let scratch = Scratch::new();
    let recipe = |seed: u32, more: &str| {
        format!(
            "paring: 1
name: lesson
seed: {seed}
model: {{ load: tiny-bert }}
task: classify
data: {{ train: {{ path: reviews.csv, text: review, label: opinion }}, max_length: 24 }}
measure: [accuracy]
stages:
  - train/fit: {{ epochs: 12, batch_size: 16, learning_rate: 0.01, freeze: [\"embeddings.*\"] }}
{more}export: [{{ safetensors: {{}} }}]
"
        )
    };
    run(&scratch, &recipe(1, ""), "reviews.csv", &reviews());
    std::fs::rename(scratch.path("out/model"), scratch.path("teacher")).unwrap();
    let lesson =
        "  - distill/attention: { student: { load: tiny-bert }, teacher: [present, { load: teacher }], alpha: 1,
      score_weight: 1, epochs: 12, batch_size: 16, learning_rate: 0.01 }
";
    let report = run(&scratch, &recipe(2, lesson), "reviews.csv", &reviews());
    assert!(figure(&report, 1, "accuracy") > 0.95, "{report:#}");
    let receipt = &report["stages"][1]["receipt"];
    assert!(receipt["summary"].as_str().unwrap().contains("agrees with the first teacher on"), "{receipt:#}");
    assert!(receipt["figures"]["agreement"].as_f64().unwrap() > 0.95, "{receipt:#}");
}

#[test]
fn an_encoder_is_compared_with_itself_and_finds_pairs() {
    let scratch = Scratch::new();
    let recipe = "paring: 1
name: pairs
model: { load: tiny-bert }
task: embed
data: { train: { path: pairs.csv, text: one, pair: other, label: alike }, split: { train: 0.1, test: 0.9 } }
measure: [cosine, cosine_min, spearman, recall_at_1, recall_at_10]
stages:
  - quantize/rtn: { bits: 3 }
    targets: [\"encoder.*\"]
export: [{ safetensors: {} }]
";
    let words = ["good", "bad", "dull", "bright", "long", "short", "early", "late"];
    let line = |row: usize| format!("the film was {0},the story was {0},{1}\n", words[row % 8], row % 3);
    let rows = format!("one,other,alike\n{}", (0..8).map(line).collect::<String>());
    let report = run(&scratch, recipe, "pairs.csv", &rows);
    assert!((report["baseline"]["cosine"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    assert!(figure(&report, 0, "recall_at_1") >= 0.5, "the same word makes a pair: {report:#}");
    assert!(figure(&report, 0, "spearman").abs() <= 1.0);
    let cosine = figure(&report, 0, "cosine");
    assert!((0.5..0.99999).contains(&cosine), "{cosine}");
    assert!(figure(&report, 0, "cosine_min") <= cosine);
    assert_eq!(eval(&scratch, "pairs.csv")["measures"]["recall_at_10"], 1.0);
}

#[test]
fn a_decoder_is_measured_on_windows_of_a_running_text() {
    let scratch = Scratch::new();
    let recipe = "paring: 1
name: story
model: { load: tiny-llama }
task: generate
data: { train: { path: story.txt }, split: { train: 0.5, test: 0.5 }, window: 16 }
measure: [perplexity, kl_divergence, top1_agreement, size, prefill_speed, decode_speed]
stages:
  - quantize/rtn: { bits: 4 }
    targets: [\"model.layers.*\"]
export: [{ safetensors: {} }]
";
    let text = "the story was long and the film was dull\nwe left early and it was late\n".repeat(40);
    let report = run(&scratch, recipe, "story.txt", &text);
    assert!(report["baseline"]["kl_divergence"].as_f64().unwrap().abs() < 1e-9);
    assert_eq!(report["baseline"]["top1_agreement"], 1.0);
    assert!(figure(&report, 0, "kl_divergence") > 0.0);
    assert!(figure(&report, 0, "top1_agreement") < 1.0);
    let perplexity = figure(&report, 0, "perplexity");
    assert!(perplexity > 1.0 && perplexity.is_finite());
    let timings: Value = serde_json::from_slice(&std::fs::read(scratch.path("out/timings.json")).unwrap()).unwrap();
    assert!(timings["stages"][0]["after"]["decode_speed"].as_f64().is_some_and(|speed| speed > 0.0), "{timings:#}");
    let figures = eval(&scratch, "story.txt");
    assert!(figures["measures"]["perplexity"].as_f64().unwrap() > 1.0, "{figures:#}");
    assert_eq!(figures["rows"], 40 * 16 / 16);
}

#[test]
fn models_of_text_are_looked_at_by_eye() {
    let scratch = Scratch::new();
    let mut command = scratch.paring();
    command.args(["embed", "tests/bad/files/tiny-bert", "the film was good", "the film was bad", "the film was good"]);
    let output = command.output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let long = "the film was good ".repeat(30);
    let output = scratch.paring().args(["embed", "tests/bad/files/tiny-bert", &long]).output().unwrap();
    assert!(output.status.success(), "a long text loses its end: {}", String::from_utf8_lossy(&output.stderr));
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().rev().take(3).collect();
    assert_eq!((row[0], row[2], row[1] == "1.000"), ("1.000", "1.000", false), "{table}");

    let mut command = scratch.paring();
    command.args(["generate", "tests/bad/files/tiny-llama", "the story was", "--tokens", "5", "--json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["prompt_tokens"], &found["tokens"]), (&Value::from(3), &Value::from(5)), "{found}");

    let mut command = scratch.paring();
    let output = command.args(["generate", "tests/bad/files/tiny-bert", "the story was"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("error[M001]: the model does not continue texts"), "{said}");
}

#[test]
fn a_model_learns_to_continue_a_text() {
    let scratch = Scratch::new();
    let recipe = "paring: 1
name: learn
model: { load: tiny-llama }
task: generate
data: { train: { path: story.txt }, split: { train: 0.6, validate: 0.2, test: 0.2 }, window: 16 }
measure: [perplexity]
stages:
  - train/fit: { epochs: 12, batch_size: 4, learning_rate: 0.01, early_stopping: 4 }
";
    let text = "the story was long and the film was dull\nwe left early and it was late\n".repeat(40);
    let report = run(&scratch, recipe, "story.txt", &text);
    let before = report["baseline"]["perplexity"].as_f64().unwrap();
    let after = figure(&report, 0, "perplexity");
    assert!(before > 20.0 && after < 1.5, "{before} {after}");
}

/// Windows of a second text are training rows: twice as many steps.
#[test]
fn texts_are_mixed_in_as_windows() {
    let steps = |mix: &str| {
        let scratch = Scratch::new();
        let recipe = format!(
            "paring: 1
name: mixed
model: {{ load: tiny-llama }}
task: generate
data: {{ train: {{ path: story.txt }}, mix: [{mix}], split: {{ train: 0.5, test: 0.5 }}, window: 16 }}
measure: [perplexity]
stages:
  - train/fit: {{ epochs: 1, batch_size: 1 }}
"
        );
        let story = "the story was short and we left early\n".repeat(20);
        std::fs::write(scratch.path("more.txt"), &story[..story.len() / 2]).unwrap();
        run(&scratch, &recipe, "story.txt", &story)["stages"][0]["receipt"]["figures"]["steps"].as_f64().unwrap()
    };
    let alone = steps("");
    assert!(alone > 4.0, "{alone}");
    assert_eq!(steps("{ path: more.txt }"), 2.0 * alone);
}

#[test]
fn a_model_that_repeats_itself_is_noticed() {
    let scratch = Scratch::new();
    let recipe = "paring: 1
name: dull
model: { load: tiny-llama }
task: generate
data: { train: { path: story.txt }, split: { train: 0.5, test: 0.5 }, window: 16 }
measure: [perplexity]
stages:
  - prune/magnitude: { sparsity: 0.97, scope: per_site }
    targets: [\"model.layers.*\"]
export: [{ safetensors: {} }]
";
    let report = run(&scratch, recipe, "story.txt", &"the story was long and the film was dull\n".repeat(40));
    let wrong = report["stages"][0]["engine"]["degenerate"].as_str();
    assert!(wrong.is_some_and(|wrong| wrong.starts_with("repeats `")), "{wrong:?}");
}

/// Fine-tuned models name their classes in an order of their own, which is not the alphabet's.
#[test]
fn classes_are_those_that_the_model_names_in_its_order() {
    let scratch = Scratch::new();
    let train = "paring: 1
name: reviews
model: { load: MODEL }
task: classify
data: { train: { path: reviews.csv, text: review, label: opinion }, max_length: 24 }
measure: [accuracy]
stages:
  - STAGE
export: [{ safetensors: {} }]
";
    let fit = "train/fit: { epochs: 12, batch_size: 16, learning_rate: 0.01 }";
    run(&scratch, &train.replace("MODEL", "tiny-bert").replace("STAGE", fit), "reviews.csv", &reviews());
    // The same model as others would have saved it, and with its two classes the other way round.
    std::fs::rename(scratch.path("out/model"), scratch.path("stock")).unwrap();
    std::fs::remove_file(scratch.path("stock/paring.json")).unwrap();
    let rounded = train.replace("MODEL", "stock").replace("STAGE", "quantize/rtn: {}");
    let report = run(&scratch, &rounded, "reviews.csv", &reviews());
    assert!(report["baseline"]["accuracy"].as_f64().unwrap() > 0.95, "{report:#}");
    let config = std::fs::read_to_string(scratch.path("stock/config.json")).unwrap();
    let turned = config.replace("\"0\": \"hated\"", "\"0\": \"liked\"").replace("\"1\": \"liked\"", "\"1\": \"hated\"");
    assert_ne!(turned, config);
    std::fs::write(scratch.path("stock/config.json"), turned).unwrap();
    let report = run(&scratch, &rounded, "reviews.csv", &reviews());
    assert!(report["baseline"]["accuracy"].as_f64().unwrap() < 0.05, "{report:#}");
    // Names that are not those of the data.
    std::fs::write(scratch.path("stock/config.json"), config.replace("hated", "awful")).unwrap();
    let mut command = scratch.paring();
    let output = command.arg("plan").arg(scratch.path("recipe.yaml")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the model's classes are `awful`, `liked`, but those of `opinion` are `hated`, `liked`"),
        "{said}"
    );
}

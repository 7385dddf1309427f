//! Models that read texts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stop where a test would")]

use paring_model::config::{Activation, MlpSpec, Spec};
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Checkpoint, Column, InputStep, Inputs, Outputs, Rows, Table, Values, families};

fn text(name: &str) -> ColumnEncoding {
    ColumnEncoding { name: name.to_owned(), encoding: Encoding::Text { max_length: 8 } }
}

fn model(inputs: Inputs) -> Checkpoint {
    let outputs = Outputs::Regress { column: "stars".to_owned(), mean: 0.0, scale: 1.0 };
    let spec = Spec::Mlp(MlpSpec { hidden: Vec::new(), activation: Activation::Relu, dropout: 0.0 });
    families::initialize(&spec, &inputs, &outputs, &mut |_, _| ()).unwrap()
}

/// A tokenizer of two whole words.
const WORDS: &str = r#"{ "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
    "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
    "model": { "type": "WordLevel", "vocab": { "[UNK]": 0, "good": 1, "bad": 2 }, "unk_token": "[UNK]" } }"#;

#[test]
fn a_model_of_texts_reads_them_by_the_tokenizer_in_its_directory() {
    let directory = tempfile::tempdir().unwrap();
    let model = model(Inputs { columns: vec![text("review")], steps: Vec::new(), shape: vec![8] });
    let reviews = ["good good", "bad"].map(|review| Some(review.to_owned()));
    let column = Column { name: "review".to_owned(), values: Values::Text(reviews.to_vec()) };
    let table = Table { columns: vec![column], rows: 2 };
    let error = model.read(&table).unwrap_err().to_string();
    assert_eq!(error, "the model has no tokenizer: its directory holds no `tokenizer.json`");
    model.save(directory.path()).unwrap();
    std::fs::write(directory.path().join("tokenizer.json"), WORDS).unwrap();
    let Rows::Tokens(rows) = Checkpoint::open(directory.path()).unwrap().read(&table).unwrap() else {
        panic!("tokens")
    };
    assert_eq!(rows.iter().map(|row| row.ids.clone()).collect::<Vec<_>>(), [vec![1, 1], vec![2]]);
}

#[test]
fn texts_stand_alone_in_the_inputs() {
    let number = ColumnEncoding { name: "age".to_owned(), encoding: Encoding::Number { fill: None } };
    let refused = |columns: Vec<ColumnEncoding>, steps: Vec<InputStep>| {
        Inputs { columns, steps, shape: vec![8] }.check().unwrap_err().to_string()
    };
    let scale = InputStep::Scale { mean: vec![0.0], scale: vec![1.0] };
    assert_eq!(refused(vec![text("a"), number], vec![]), "the inputs mix texts with other columns");
    assert_eq!(refused(vec![text("a")], vec![scale]), "the inputs have steps, which texts do not take");
    assert_eq!(refused(vec![text("a"), text("b"), text("c")], vec![]), "the inputs read 3 texts, expected 1 or 2");
}

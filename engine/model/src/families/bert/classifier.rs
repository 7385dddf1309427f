//! A new output layer for an encoder that embeds texts, so that it can be trained to classify them or to give a number.

use candle_core::{Device, Tensor};
use serde_json::{Map, Value, json};

use super::spec::{BertSpec, Head, Scheme};
use crate::checkpoint::Checkpoint;
use crate::config::Spec;
use crate::error::{ModelError, Result};
use crate::outputs::Outputs;

/// Standard deviation of first weights, as in BERT's own (Devlin et al. 2019).
const SPREAD: f64 = 0.02;

/// Whether the model embeds texts and could be given an output layer.
pub fn takes_text_head(model: &Checkpoint) -> bool {
    encoder(model).is_some_and(|spec| matches!(spec.head, Head::Embedding { .. }))
}

/// Replaces what comes after the encoder's last layer by a dense layer and one number an answer, named and shaped as in
/// the stock models for classification of texts. A pooler that is there stays. `uniform(name, buffer)` fills a buffer
/// with numbers in [0, 1) for the named tensor; weights get a standard deviation of 0.02, biases zeros. Gives the names
/// of the new weights.
///
/// # Errors
/// When the model is no encoder of texts.
pub fn add_text_head(
    model: &mut Checkpoint,
    outputs: &Outputs,
    uniform: &mut dyn FnMut(&str, &mut [f32]),
) -> Result<Vec<String>> {
    let no_encoder = || ModelError::Unsupported("the model is no encoder of texts".to_owned());
    let mut spec = encoder(model).cloned().ok_or_else(no_encoder)?;
    let words = format!("{}.weight", spec.names().words());
    let missing = || ModelError::MissingTensor { name: words.clone() };
    let table = model.weight_outline(&words).ok_or_else(missing)?;
    let width = table.shape().last().copied().unwrap_or_default();
    let classifier = match spec.scheme {
        Scheme::Bert | Scheme::DistilBert => "classifier",
        Scheme::Roberta | Scheme::Mpnet => "classifier.out_proj",
    };
    let pooler = spec.names().pooler();
    let mut added = Vec::new();
    for (name, rows) in [(pooler.as_str(), width), (classifier, outputs.width())] {
        let weight = format!("{name}.weight");
        if name == pooler && model.outline().weights.contains_key(&weight) {
            continue;
        }
        model.set_tensor(&weight, drawn(&weight, rows, width, uniform)?);
        model.set_tensor(&format!("{name}.bias"), Tensor::zeros(rows, candle_core::DType::F32, &Device::Cpu)?);
        added.push(weight);
    }
    spec.head = Head::Text;
    spec.files = Map::new();
    spec.keys.insert("architectures".to_owned(), stock(&spec));
    name_answers(model, outputs);
    let config = model.config().cloned().ok_or_else(no_encoder)?;
    model.set_config(crate::config::Config { spec: Spec::Bert(Box::new(spec)), output: outputs.width(), ..config });
    model.set_outputs(outputs.clone());
    Ok(added)
}

fn encoder(model: &Checkpoint) -> Option<&BertSpec> {
    match model.config().map(|config| &config.spec) {
        Some(Spec::Bert(spec)) => Some(spec),
        _ => None,
    }
}

/// Uniform numbers of that spread.
fn drawn(name: &str, rows: usize, columns: usize, uniform: &mut dyn FnMut(&str, &mut [f32])) -> Result<Tensor> {
    let mut numbers = vec![0.0; rows * columns];
    uniform(name, &mut numbers);
    let bound = (SPREAD * 3.0_f64.sqrt()) as f32;
    numbers.iter_mut().for_each(|number| *number = (2.0 * *number - 1.0) * bound);
    Ok(Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?)
}

/// The stock model's name, which tells loaders of others what the head is.
fn stock(spec: &BertSpec) -> Value {
    let name = match (spec.scheme, spec.keys.get("model_type").and_then(Value::as_str)) {
        (Scheme::Bert, _) => "Bert",
        (Scheme::DistilBert, _) => "DistilBert",
        (Scheme::Mpnet, _) => "MPNet",
        (Scheme::Roberta, Some("roberta")) => "Roberta",
        (Scheme::Roberta, _) => "XLMRoberta",
    };
    json!([format!("{name}ForSequenceClassification")])
}

/// Tells loaders of others what the head's numbers mean.
fn name_answers(model: &mut Checkpoint, outputs: &Outputs) {
    let labels = match outputs {
        Outputs::Classify { labels, .. } => labels.clone(),
        _ => (0..outputs.width()).map(|index| format!("LABEL_{index}")).collect(),
    };
    let numbered = || labels.iter().enumerate();
    let names: Map<String, Value> = numbered().map(|(index, label)| (index.to_string(), json!(label))).collect();
    let numbers: Map<String, Value> = numbered().map(|(index, label)| (label.clone(), json!(index))).collect();
    model.set_setting("id2label", Value::Object(names));
    model.set_setting("label2id", Value::Object(numbers));
}

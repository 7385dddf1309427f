//! Models of text: how one that others trained reads the recipe's rows, and windows of a running text.

use paring_data::windows::{TOKENS, window_rows};
use paring_data::{DataError, Dataset};
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Checkpoint, Inputs, Outputs, families};
use paring_schema::language::{DataSpec, Task};
use paring_schema::{Diagnostic, Loaded};
use paring_train::Stream;
use serde_json::Value;

use super::rows::{ProjectData, digest, mix};
use crate::problems;

/// The column of a running text where the recipe names none.
const TEXT: &str = "text";

/// Whether a model reads tokens.
pub fn reads_tokens(model: &Checkpoint) -> bool {
    model.config().is_some_and(|config| config.spec.reads_tokens())
}

/// Says how the model reads the recipe's rows and what its answers mean, where it does not say so itself; and cuts a
/// running text into windows.
///
/// # Errors
/// When the recipe does not name its texts, or the model cannot answer what the recipe asks.
pub fn adopt(loaded: &Loaded, model: &mut Checkpoint, data: &mut ProjectData) -> Result<(), Diagnostic> {
    let Some(spec) = loaded.recipe.data.as_ref().filter(|_| reads_tokens(model)) else { return Ok(()) };
    match loaded.recipe.task {
        Task::Generate => continuation(loaded, spec, model, data),
        task if model.inputs().is_none() => texts(loaded, spec, task, model, data),
        _ => Ok(()),
    }
}

fn texts(
    loaded: &Loaded,
    spec: &DataSpec,
    task: Task,
    model: &mut Checkpoint,
    data: &mut ProjectData,
) -> Result<(), Diagnostic> {
    let Some(column) = &spec.train.text else {
        let columns = data.dataset.columns().iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = "the model reads texts, and the recipe does not say which column holds them";
        let place = loaded.key_span("/data/train");
        let help = format!("add `text: NAME` to it; its columns are {columns}");
        return Err(Diagnostic::new("D004", message).label(place, "needs `text`").help(help));
    };
    let max_length = max_length(loaded, spec, model)?;
    let encoding = |name: &String| ColumnEncoding { name: name.clone(), encoding: Encoding::Text { max_length } };
    // An encoder of texts embeds the two of a pair each by itself; other models read them together.
    let together = spec.train.pair.as_ref().filter(|_| task != Task::Embed);
    let columns = std::iter::once(column).chain(together).map(encoding).collect();
    model.set_inputs(Inputs { columns, steps: Vec::new(), shape: vec![max_length] });
    let width = model.config().map_or(0, |config| config.output);
    let outputs = match (task, &data.outputs) {
        (Task::Embed, _) => {
            let (pair, score) = (spec.train.pair.clone(), spec.train.label.clone());
            Some(Outputs::Embed { width, score: score.filter(|_| pair.is_some()), pair })
        }
        (_, outputs) => outputs.clone(),
    };
    let Some(outputs) = outputs else { return Ok(()) };
    if task != Task::Embed && families::takes_text_head(model) {
        return add_head(loaded, model, &outputs, data);
    }
    if outputs.width() != width {
        let message = format!("the model gives {width} numbers a text, but the task needs {}", outputs.width());
        return Err(Diagnostic::new("M001", message)
            .label(loaded.span("/model"), "")
            .label(loaded.span("/task"), "the task")
            .help("name a model whose output layer was made for these answers"));
    }
    model.set_outputs(in_order_of(loaded, model, outputs, data)?);
    Ok(())
}

/// Most tokens of a text: what the recipe says, or else no more than the model reads.
fn max_length(loaded: &Loaded, spec: &DataSpec, model: &Checkpoint) -> Result<usize, Diagnostic> {
    let most = model.outline().most_tokens().unwrap_or(usize::MAX);
    let place = "/data/max_length";
    if spec.max_length <= most || loaded.root.pointer(place).is_none() {
        return Ok(spec.max_length.min(most));
    }
    let message = format!("`max_length` is `{}`, but the model reads at most {most} tokens", spec.max_length);
    Err(Diagnostic::new("M001", message)
        .label(loaded.span(place), "")
        .help(format!("write `max_length: {most}` or less")))
}

/// The classes in the order in which the model gives them, where its settings name them.
fn in_order_of(
    loaded: &Loaded,
    model: &Checkpoint,
    outputs: Outputs,
    data: &mut ProjectData,
) -> Result<Outputs, Diagnostic> {
    let (Outputs::Classify { column, labels }, Some(Value::Object(names))) = (&outputs, model.setting("id2label"))
    else {
        return Ok(outputs);
    };
    let own = (0..labels.len()).map(|index| names.get(&index.to_string())?.as_str().map(str::to_owned));
    let own: Vec<String> = own.collect::<Option<_>>().unwrap_or_default();
    let same: bool = own.len() == labels.len() && own.iter().all(|name| labels.contains(name));
    if same {
        return Ok(Outputs::Classify { column: column.clone(), labels: own });
    }
    let listed = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if own.iter().all(|name| name.starts_with("LABEL_")) {
        data.notes
            .push(format!("the model does not name its classes: they are taken for {}, in this order", listed(labels)));
        return Ok(outputs);
    }
    let message = format!("the model's classes are {}, but those of `{column}` are {}", listed(&own), listed(labels));
    let help = "write the labels of the data as the model's settings name them (`id2label` in config.json)";
    Err(Diagnostic::new("M001", message).label(loaded.span("/data/train"), "").help(help))
}

/// Gives an encoder an output layer for the recipe's answers.
fn add_head(
    loaded: &Loaded,
    model: &mut Checkpoint,
    outputs: &Outputs,
    data: &mut ProjectData,
) -> Result<(), Diagnostic> {
    let stream = Stream::new(loaded.recipe.seed).split("head");
    let added = families::add_text_head(model, outputs, &mut stream.fill());
    let added = added.map_err(|error| problems::of_model(loaded, &error))?;
    let names = added.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
    data.notes.push(format!("the model embeds texts: it gets {names}, drawn by the seed, which `train/fit` trains"));
    Ok(())
}

fn continuation(
    loaded: &Loaded,
    spec: &DataSpec,
    model: &mut Checkpoint,
    data: &mut ProjectData,
) -> Result<(), Diagnostic> {
    let size = model.inputs().and_then(|inputs| Some(inputs.windows()?.1)).unwrap_or(spec.window);
    let wrong = |error: DataError| problems::of_data(loaded, "/data/train", &error);
    let tokenizer = model.tokenizer().map_err(|error| problems::of_model(loaded, &error))?;
    let encode = |text: &str| tokenizer.encode(text).map_err(DataError::from);
    let column = spec.train.text.as_deref().unwrap_or(TEXT);
    let split = spec.division();
    let shares = [split.train, split.validate, split.calibrate, split.test].map(|share| share.unwrap_or(0.0));
    let (main, test) = (data.dataset.clone(), data.test.clone());
    let (mut dataset, mut parts) = window_rows(&main, test.as_ref(), column, shares, size, &encode).map_err(wrong)?;
    for (index, text) in std::mem::take(&mut data.mixed).iter().enumerate() {
        let wrong = |error: DataError| problems::of_data(loaded, &format!("/data/mix/{index}"), &error);
        let (windows, _) = window_rows(text, None, column, [1.0, 0.0, 0.0, 0.0], size, &encode).map_err(wrong)?;
        let all: Vec<usize> = (0..windows.rows()).collect();
        dataset = mix(loaded, (dataset, &mut parts), (&windows, &all), index)?;
    }
    data.notes.push(format!(
        "windows of {size} tokens, without overlap and special tokens; of {} characters",
        characters(&main, test.as_ref(), column)
    ));
    data.digest = digest(&dataset, &parts, spec);
    (data.dataset, data.parts, data.test) = (dataset, parts, None);
    let column = ColumnEncoding { name: TOKENS.to_owned(), encoding: Encoding::Tokens { length: size } };
    model.set_inputs(Inputs { columns: vec![column], steps: Vec::new(), shape: vec![size] });
    let vocabulary = model.config().map_or(0, |config| config.output);
    model.set_outputs(Outputs::Generate { vocabulary });
    Ok(())
}

fn characters(main: &Dataset, test: Option<&Dataset>, column: &str) -> usize {
    let texts = [Some(main), test].into_iter().flatten().filter_map(|data| data.running_text(column).ok());
    texts.map(|text| text.chars().count()).sum()
}

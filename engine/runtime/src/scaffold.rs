//! A commented recipe to start from, for a given model or data file.

use std::fmt::Write as _;
use std::path::Path;

use paring_data::Dataset;
use paring_data::read::{ReadOptions, read};
use paring_model::{Checkpoint, Table, Values};

use crate::schema::Diagnostic;

/// Column names that usually hold the answers, most telling first.
const LABEL_NAMES: [&str; 8] = ["label", "target", "class", "y", "answer", "outcome", "category", "species"];

/// A numeric column with more distinct values than this is taken for a quantity, not for classes.
const MOST_CLASSES: usize = 20;

/// Writes a recipe for `path`, a model (a directory or a .safetensors file) or a data file. The text passes
/// `paring check`; its guesses are marked.
///
/// # Errors
/// When the file cannot be read as either.
pub fn new_recipe(path: &Path) -> Result<String, Diagnostic> {
    let is_model = path.is_dir() || path.extension().is_some_and(|ending| ending == "safetensors");
    if is_model { for_model(path) } else { for_data(path) }
}

fn for_model(path: &Path) -> Result<String, Diagnostic> {
    let model = Checkpoint::open(path).map_err(|error| Diagnostic::new("M001", error.to_string()))?;
    let outline = model.outline();
    let mut text = header(path);
    let _ = writeln!(text, "model: {{ load: {} }}", quoted(&path.display().to_string()));
    match &outline.outputs {
        Some(paring_model::Outputs::Regress { .. }) => text.push_str("task: regress\n"),
        _ => text.push_str("task: classify\n"),
    }
    text.push_str(
        "\n# Data makes more measures and passes possible: accuracy, static-int8, fine-tuning.\n\
         # data:\n#   train: { path: rows.csv, label: answer }\n\n\
         # What every stage is measured by, before and after.\n\
         measure: [size, params, bits_per_weight]\n\n\
         stages:\n\
         \x20 # Round the weights to 8 bits, one scale an output channel. `paring passes quantize/rtn` tells the rest.\n\
         \x20 - quantize/rtn: { bits: 8, granularity: channel }\n\
         \x20   # Which layers: globs over the names that `paring inspect` lists. All of them when not given.\n\
         \x20   # targets: [\"layers.*\"]\n\
         \x20   # ignore: [head]\n\n\
         # Gates: not met means exit code 3.\n\
         require:\n  size: { max_ratio: 0.5 }\n\n\
         export:\n  - safetensors: {}\n",
    );
    Ok(text)
}

fn for_data(path: &Path) -> Result<String, Diagnostic> {
    let data = read(path, &ReadOptions::default()).map_err(|error| Diagnostic::new("D001", error.to_string()))?;
    let label = guess_label(&data);
    let distinct = distinct_numbers(&data, &label);
    let regress = distinct.is_some_and(|count| count > MOST_CLASSES);
    let mut text = header(path);
    if let Some([channels, height, width]) = data.image {
        let _ = writeln!(
            text,
            "model:\n  convnet:\n    input: [{channels}, {height}, {width}]\n    layers:\n      \
             - conv: {{ channels: 16, batch_norm: true }}\n      - max_pool: {{ size: 2 }}\n      \
             - conv: {{ channels: 32, batch_norm: true }}\n      - global_average_pool: {{}}"
        );
    } else {
        text.push_str("# A network from nothing. Or start from a trained one: model: { load: some/directory }\n");
        text.push_str("model: { mlp: { hidden: [128, 64] } }\n");
    }
    let _ =
        writeln!(text, "task: {}    # a guess from the column `{label}`", if regress { "regress" } else { "classify" });
    let _ = writeln!(
        text,
        "\ndata:\n  # {} rows; columns: {}\n  train: {{ path: {}, label: {} }}    # the label is a guess\n  \
         split: {{ train: 0.6, validate: 0.1, calibrate: 0.1, test: 0.2 }}\n  \
         # missing: median    # a missing cell is an error unless a policy is named",
        data.rows(),
        shown_columns(&data),
        quoted(&path.display().to_string()),
        quoted(&label),
    );
    let (measure, gate) = if regress { ("rmse", "max_ratio: 1.05") } else { ("accuracy", "max_drop: 0.01") };
    let _ = writeln!(
        text,
        "\n# What every stage is measured by, before and after, on the test rows.\nmeasure: [{measure}, size, latency]\n\n\
         stages:\n  - train/fit: {{ epochs: 30, learning_rate: 0.001 }}\n\n  \
         # Weights and activations in 8 bits; ranges from the calibration rows.\n  \
         - quantize/static-int8: {{ observer: percentile }}\n    \
         # ignore: [head]    # layers to leave in float: names as `paring inspect` lists them\n\n\
         # Gates, against the first trained model; not met means exit code 3.\n\
         require:\n  {measure}: {{ {gate} }}\n  size: {{ max_ratio: 0.5 }}\n\nexport:\n  - safetensors: {{}}"
    );
    Ok(text)
}

fn header(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    let name = if name.is_empty() { "recipe" } else { name };
    format!(
        "# `paring check` finds mistakes, `paring plan` shows what would happen, `paring run` does it.\n\
         paring: 1\nname: {}\ndescription: What this recipe is for.\nseed: 7\n\n",
        quoted(name)
    )
}

/// A string as a YAML scalar: plain where that is safe, else in double quotes as JSON writes them.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '.' || c == '/')
        && !matches!(text.to_lowercase().as_str(), "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n")
        && text.chars().any(|c| c.is_ascii_alphabetic());
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string().replace('$', "$$") }
}

fn guess_label(data: &Dataset) -> String {
    let columns = data.columns();
    let telling = LABEL_NAMES.iter().find_map(|name| columns.iter().find(|column| column.eq_ignore_ascii_case(name)));
    telling.or(columns.last()).cloned().unwrap_or_else(|| "label".to_owned())
}

/// How many distinct numbers the column holds; `None` when it holds text or cannot be read.
fn distinct_numbers(data: &Dataset, label: &str) -> Option<usize> {
    let rows: Vec<usize> = (0..data.rows()).collect();
    let Table { columns, .. } = data.table(&[label.to_owned()], &rows).ok()?;
    match &columns.first()?.values {
        Values::Number(numbers) => {
            let distinct: std::collections::BTreeSet<u64> = numbers.iter().flatten().map(|x| x.to_bits()).collect();
            Some(distinct.len())
        }
        _ => None,
    }
}

fn shown_columns(data: &Dataset) -> String {
    let columns = data.columns();
    let shown = columns.iter().take(6).cloned().collect::<Vec<_>>().join(", ").replace('\n', " ");
    if columns.len() > 6 { format!("{shown}, ... ({} in all)", columns.len()) } else { shown }
}

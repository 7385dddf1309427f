//! Reading the rows that a recipe names, splitting them, and fitting a model's two ends to the training rows.

use std::path::Path;

use paring_data::fit::{FitOptions, MissingPolicy, Scaling, classes, complete_rows, fit_inputs, fit_outputs};
use paring_data::read::{ReadOptions, read};
use paring_data::split::split;
use paring_data::{DataError, Dataset, Parts, SplitPlan};
use paring_model::{Inputs, Outputs, Task};
use paring_schema::language::{DataSpec, FileSpec, Missing, MixSpec, Scale, SplitSpec};
use paring_schema::{Diagnostic, Loaded, language};

use super::paths::Places;
use crate::problems;

/// The rows of a recipe, in parts.
#[derive(Debug, Clone)]
pub struct ProjectData {
    /// All rows; separate test rows come last.
    pub dataset: Dataset,
    /// Which rows are what.
    pub parts: Parts,
    /// Fitted inputs and outputs for a model from nothing, where the recipe names a label.
    pub ends: Option<(Inputs, Outputs)>,
    /// What answers mean, where the recipe names a label.
    pub outputs: Option<Outputs>,
    /// Rows of a separate test file, while they are a running text.
    pub test: Option<Dataset>,
    /// Rows of files that are mixed in, while they are running texts.
    pub mixed: Vec<Dataset>,
    /// Things a person should know: rows that were dropped.
    pub notes: Vec<String>,
    /// Digest (hex) of rows and parts.
    pub digest: String,
}

/// Reads the recipe's data. `None` when it has none.
///
/// # Errors
/// What is wrong with the files, the columns, the cells or the split, at the recipe value that it comes from.
pub fn load_data(loaded: &Loaded, places: &Places) -> Result<Option<ProjectData>, Diagnostic> {
    let Some(spec) = &loaded.recipe.data else { return Ok(None) };
    let main = read_file(loaded, places, &spec.train, "/data/train")?;
    let extra = match &spec.test {
        Some(file) => Some(read_file(loaded, places, file, "/data/test")?),
        None => None,
    };
    let mixed = read_mixed(loaded, places, spec)?;
    if loaded.recipe.task == language::Task::Generate {
        return Ok(Some(running_text(main, extra, mixed)));
    }
    let wrong = |error: DataError| problems::of_data(loaded, "/data/train", &error);
    let read = |dataset| needed(dataset, &spec.train).map_err(wrong);
    let (main, extra) = (read(main)?, extra.map(read).transpose()?);
    let mixed = mixed.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let options = fit_options(spec);
    let mut notes = Vec::new();
    let kept = kept_rows(&main, &options, &mut notes).map_err(wrong)?;
    let labels = row_classes(&main, &options, loaded.recipe.task).map_err(wrong)?;
    let plan = split_plan(&spec.division(), labels.is_some());
    let chosen: Option<Vec<u32>> = labels.map(|all| kept.iter().map(|&row| all[row]).collect());
    let parts = split(kept.len(), chosen.as_deref(), &plan, loaded.recipe.seed);
    let parts = parts.map_err(|error| wrong(error.with_class_names(&class_names(&main, &options))))?.of(&kept);
    let wrong_test = |error: DataError| problems::of_data(loaded, "/data/test", &error);
    let (mut dataset, mut parts) = with_test_rows(main, extra, parts, &options).map_err(wrong_test)?;
    for (index, rows) in mixed.into_iter().enumerate() {
        let usable = usable_rows(&rows, &options).map_err(wrong)?;
        dataset = mix(loaded, (dataset, &mut parts), (&rows, &usable), index)?;
    }
    let outputs = fit_answers(&dataset, &parts, &options, loaded.recipe.task).map_err(wrong)?;
    let inputs = match (&outputs, &spec.train.text) {
        (Some(_), None) => Some(fit_inputs(&dataset, &parts.train, &options).map_err(wrong)?),
        _ => None,
    };
    let digest = digest(&dataset, &parts, spec);
    let ends = inputs.zip(outputs.clone());
    Ok(Some(ProjectData { dataset, parts, ends, outputs, test: None, mixed: Vec::new(), notes, digest }))
}

/// Rows that are one text: they are divided once a tokenizer has cut them into windows.
fn running_text(main: Dataset, test: Option<Dataset>, mixed: Vec<Dataset>) -> ProjectData {
    let (parts, notes, digest) = (Parts::default(), Vec::new(), String::new());
    ProjectData { dataset: main, parts, ends: None, outputs: None, test, mixed, notes, digest }
}

/// The files that are mixed into the training rows, read as those of `train`.
fn read_mixed(loaded: &Loaded, places: &Places, spec: &DataSpec) -> Result<Vec<Dataset>, Diagnostic> {
    let read = |(index, mix): (usize, &MixSpec)| {
        let MixSpec { path, labels, rows, .. } = mix.clone();
        let file = FileSpec { path, labels, rows, ..spec.train.clone() };
        read_file(loaded, places, &file, &format!("/data/mix/{index}"))
    };
    spec.mix.iter().enumerate().map(read).collect()
}

/// The rows of both: the usable ones of a file that is mixed in are training rows, as often as its weight says.
pub(super) fn mix(
    loaded: &Loaded,
    (dataset, parts): (Dataset, &mut Parts),
    (rows, usable): (&Dataset, &[usize]),
    index: usize,
) -> Result<Dataset, Diagnostic> {
    let wrong = |error: DataError| problems::of_data(loaded, &format!("/data/mix/{index}"), &error);
    let weight = loaded.recipe.data.as_ref().and_then(|spec| spec.mix.get(index)).map_or(1.0, |mix| mix.weight);
    let mixed = dataset.append(rows).map_err(wrong)?;
    let usable: Vec<usize> = usable.iter().map(|row| dataset.rows() + row).collect();
    if parts.mix(&usable, weight, loaded.recipe.seed) == 0 {
        let message = format!("the weight {weight} takes none of the file's {} rows", usable.len());
        let place = loaded.span(&format!("/data/mix/{index}"));
        return Err(Diagnostic::new("D003", message).label(place, "").help("raise `weight`, or remove the file"));
    }
    Ok(mixed)
}

/// Of rows of text the columns that the recipe names: files of training and of test rows may differ in others.
fn needed(dataset: Dataset, file: &FileSpec) -> Result<Dataset, DataError> {
    let Some(text) = &file.text else { return Ok(dataset) };
    let named: Vec<&str> =
        [Some(text), file.pair.as_ref(), file.label.as_ref()].into_iter().flatten().map(String::as_str).collect();
    let columns = dataset.columns();
    // What is missing is told by whom it is missed.
    if named.iter().all(|name| columns.iter().any(|column| column == name)) {
        dataset.only(&named)
    } else {
        Ok(dataset)
    }
}

fn read_file(loaded: &Loaded, places: &Places, file: &FileSpec, pointer: &str) -> Result<Dataset, Diagnostic> {
    let path = places.find(loaded, &file.path, &format!("{pointer}/path"))?;
    let labels = match &file.labels {
        Some(labels) => Some(places.find(loaded, labels, &format!("{pointer}/labels"))?),
        None => None,
    };
    let options = ReadOptions {
        header: file.header,
        delimiter: file.delimiter.as_ref().and_then(|text| text.bytes().next()),
        missing: file.missing_values.clone(),
        labels,
    };
    let shown = |error: DataError| problems::of_data(loaded, pointer, &error);
    let dataset = read(Path::new(&path), &options).map_err(shown)?;
    Ok(match file.rows {
        Some(rows) => dataset.head(rows),
        None => dataset,
    })
}

fn fit_options(spec: &DataSpec) -> FitOptions {
    FitOptions {
        label: label(&spec.train),
        features: spec.train.features.clone(),
        categorical: spec.train.categorical.clone(),
        missing: match spec.missing {
            Missing::Error => MissingPolicy::Error,
            Missing::DropRows => MissingPolicy::DropRows,
            Missing::Mean => MissingPolicy::Mean,
            Missing::Median => MissingPolicy::Median,
            Missing::Constant => MissingPolicy::Constant,
        },
        scale: match spec.scale {
            Scale::Standard => Scaling::Standard,
            Scale::MinMax => Scaling::MinMax,
            Scale::None => Scaling::None,
        },
    }
}

/// The column of answers: as named, or that of the file of answers.
fn label(file: &FileSpec) -> String {
    file.label.clone().or_else(|| file.labels.as_ref().map(|_| "label".to_owned())).unwrap_or_default()
}

fn kept_rows(dataset: &Dataset, options: &FitOptions, notes: &mut Vec<String>) -> Result<Vec<usize>, DataError> {
    if options.missing != MissingPolicy::DropRows {
        return Ok((0..dataset.rows()).collect());
    }
    let kept = complete_rows(dataset, options)?;
    let dropped = dataset.rows() - kept.len();
    if dropped > 0 {
        notes.push(format!("{dropped} of {} rows have a missing cell and are left out", dataset.rows()));
    }
    Ok(kept)
}

fn split_plan(spec: &SplitSpec, has_classes: bool) -> SplitPlan {
    let stratify = spec.stratify.unwrap_or(has_classes);
    match spec.folds {
        Some(folds) => SplitPlan::Folds { folds, fold: spec.fold.unwrap_or(0), stratify },
        None => SplitPlan::Fractions {
            train: spec.train.unwrap_or(0.0),
            validate: spec.validate.unwrap_or(0.0),
            calibrate: spec.calibrate.unwrap_or(0.0),
            test: spec.test.unwrap_or(0.0),
            stratify,
        },
    }
}

fn row_classes(dataset: &Dataset, options: &FitOptions, task: language::Task) -> Result<Option<Vec<u32>>, DataError> {
    if task == language::Task::Classify && !options.label.is_empty() {
        classes(dataset, &options.label).map(Some)
    } else {
        Ok(None)
    }
}

/// Names of the classes, for messages; none where there are no classes.
fn class_names(dataset: &Dataset, options: &FitOptions) -> Vec<String> {
    match fit_outputs(dataset, &[], &options.label, Task::Classify) {
        Ok(Outputs::Classify { labels, .. }) => labels,
        _ => Vec::new(),
    }
}

/// Appends rows of a separate test file: all of them are test rows.
fn with_test_rows(
    main: Dataset,
    extra: Option<Dataset>,
    mut parts: Parts,
    options: &FitOptions,
) -> Result<(Dataset, Parts), DataError> {
    let Some(extra) = extra else { return Ok((main, parts)) };
    let first = main.rows();
    let rows = usable_rows(&extra, options)?;
    parts.test.extend(rows.into_iter().map(|row| first + row));
    Ok((main.append(&extra)?, parts))
}

/// All rows, but those with a missing cell where these are left out.
fn usable_rows(dataset: &Dataset, options: &FitOptions) -> Result<Vec<usize>, DataError> {
    match options.missing {
        MissingPolicy::DropRows => complete_rows(dataset, options),
        _ => Ok((0..dataset.rows()).collect()),
    }
}

fn fit_answers(
    dataset: &Dataset,
    parts: &Parts,
    options: &FitOptions,
    task: language::Task,
) -> Result<Option<Outputs>, DataError> {
    let task = match task {
        language::Task::Classify => Task::Classify,
        language::Task::Regress => Task::Regress,
        language::Task::Embed | language::Task::Generate => return Ok(None),
    };
    if options.label.is_empty() {
        return Ok(None);
    }
    fit_outputs(dataset, &parts.train, &options.label, task).map(Some)
}

pub(super) fn digest(dataset: &Dataset, parts: &Parts, spec: &DataSpec) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(dataset.digest.as_bytes());
    for rows in [&parts.train, &parts.validate, &parts.calibrate, &parts.test] {
        hasher.update(&(rows.len() as u64).to_le_bytes());
        for &row in rows {
            hasher.update(&(row as u64).to_le_bytes());
        }
    }
    // How cells are read decides values too. Paths do not: the bytes behind them are in the dataset's digest.
    let read = serde_json::json!([
        spec.train.label,
        spec.train.features,
        spec.train.categorical,
        spec.train.header,
        spec.train.delimiter,
        spec.train.missing_values,
        spec.missing,
        spec.scale,
        spec.train.text,
        spec.train.pair,
        spec.max_length,
        spec.window
    ]);
    hasher.update(read.to_string().as_bytes());
    hasher.finalize().to_hex().to_string()
}

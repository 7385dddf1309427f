//! `data`: which files, and how rows are read, split and prepared.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where rows come from and how they are read, split and prepared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "train": { "path": "data/digits.csv", "label": "digit" } }]))]
pub struct DataSpec {
    /// The rows that are split; or, where `test` is a file of its own, the rows for everything but the test.
    pub train: FileSpec,
    /// A separate file of test rows. The share that `split` gives to the test then goes to training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<FileSpec>,
    /// Further files whose rows are all for training, each as often as its weight says, among those of `train`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [[{ "path": "data/more.csv", "weight": 0.5 }]]))]
    pub mix: Vec<MixSpec>,
    /// How rows are divided.
    #[serde(default)]
    #[schemars(extend("default" = { "train": 0.6, "validate": 0.1, "calibrate": 0.1, "test": 0.2 }))]
    pub split: SplitSpec,
    /// What to do with missing cells.
    #[serde(default)]
    pub missing: Missing,
    /// Most tokens of a text, special tokens included; longer texts lose their end, of a pair the longer one first.
    #[serde(default = "max_length")]
    #[schemars(range(min = 1, max = 1000000), extend("default" = 128, "examples" = [128]))]
    pub max_length: usize,
    /// Tokens in a window, for `task: generate`: all rows of a file are one running text, which is divided into parts by
    /// its characters and cut into windows that do not overlap.
    #[serde(default = "window")]
    #[schemars(range(min = 2, max = 1000000), extend("default" = 512, "examples" = [512]))]
    pub window: usize,
    /// How features are scaled; fitted on the training rows.
    #[serde(default)]
    pub scale: Scale,
}

fn max_length() -> usize {
    128
}

fn window() -> usize {
    512
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// csv, tsv, jsonl, parquet, npy, npz, IDX or txt, relative to the recipe.
    #[schemars(length(min = 1), extend("examples" = ["data/digits.csv"]))]
    pub path: PathBuf,
    /// The column that holds the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["digit"]))]
    pub label: Option<String>,
    /// The column of texts, for a model that reads text; `text` for a running text when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["text"]))]
    pub text: Option<String>,
    /// The column of second texts, for a model that reads pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = ["hypothesis"]))]
    pub pair: Option<String>,
    /// A second file that holds the answers (IDX, npy); its column is called `label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["data/t10k-labels-idx1-ubyte.gz"]))]
    pub labels: Option<PathBuf>,
    /// Feature columns in order; every column but the label when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1), extend("examples" = [["age", "income"]]))]
    pub features: Option<Vec<String>>,
    /// Columns of numbers that are categories all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["postcode"]]))]
    pub categorical: Vec<String>,
    /// CSV: whether the first line names the columns; found out by looking when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [true]))]
    pub header: Option<bool>,
    /// CSV: the character between cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1), extend("examples" = [";"]))]
    pub delimiter: Option<String>,
    /// CSV: cells that count as missing, besides the empty cell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["NA", "?"]]))]
    pub missing_values: Vec<String>,
    /// Use only the first rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [1000]))]
    pub rows: Option<usize>,
}

/// A file that is mixed into the training rows. Its columns are read as those of `train`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("examples" = [{ "path": "data/more.csv", "weight": 0.5 }]))]
pub struct MixSpec {
    /// csv, tsv, jsonl, parquet, npy, npz, IDX or txt, relative to the recipe.
    #[schemars(length(min = 1), extend("examples" = ["data/more.csv"]))]
    pub path: PathBuf,
    /// A second file that holds the answers (IDX, npy); its column is called `label`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["data/t10k-labels-idx1-ubyte.gz"]))]
    pub labels: Option<PathBuf>,
    /// Use only the first rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [1000]))]
    pub rows: Option<usize>,
    /// How often each row is seen in an epoch: 2 is twice, 0.5 is half of the rows, drawn by the seed.
    #[serde(default = "once")]
    #[schemars(range(min = 1e-6, max = 1000.0), extend("default" = 1.0, "examples" = [0.5]))]
    pub weight: f64,
}

fn once() -> f64 {
    1.0
}

impl DataSpec {
    /// How the rows of `train` are divided: as `split` says, but nothing is left for the test where that has a file of
    /// its own.
    pub fn division(&self) -> SplitSpec {
        match (&self.test, self.split.train, self.split.test) {
            (Some(_), Some(train), Some(test)) => {
                SplitSpec { train: Some(train + test), test: Some(0.0), ..self.split.clone() }
            }
            _ => self.split.clone(),
        }
    }
}

/// How rows are divided: fractions, or k folds. When any fraction is given the others are 0, and `train` is the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, from = "Written")]
#[schemars(!from, extend("examples" = [{ "train": 0.7, "calibrate": 0.1, "test": 0.2 }, { "folds": 5, "fold": 0 }]))]
pub struct SplitSpec {
    /// Fraction of rows for training. With no fraction given: 0.6.
    #[schemars(range(min = 0.0, max = 1.0), extend("examples" = [0.7, "70%"]))]
    pub train: Option<f64>,
    /// Fraction of rows that early stopping and sweeps judge by. With no fraction given: 0.1.
    #[schemars(range(min = 0.0, max = 1.0), extend("examples" = [0.1]))]
    pub validate: Option<f64>,
    /// Fraction of rows that quantization and pruning look at. With no fraction given: 0.1.
    #[schemars(range(min = 0.0, max = 1.0), extend("examples" = [0.1]))]
    pub calibrate: Option<f64>,
    /// Fraction of rows that are measured; nothing is ever chosen by them. With no fraction given: 0.2.
    #[schemars(range(min = 0.0, max = 1.0), extend("examples" = [0.2]))]
    pub test: Option<f64>,
    /// K folds instead of fractions.
    #[schemars(range(min = 2), extend("examples" = [5]))]
    pub folds: Option<usize>,
    /// Which fold is the test part, from 0. With `folds` given and this not: 0.
    #[schemars(extend("examples" = [0]))]
    pub fold: Option<usize>,
    /// Keep each class's share in every part. On by default for classification.
    #[schemars(extend("examples" = [true]))]
    pub stratify: Option<bool>,
}

impl Default for SplitSpec {
    fn default() -> Self {
        Self {
            train: Some(0.6),
            validate: Some(0.1),
            calibrate: Some(0.1),
            test: Some(0.2),
            folds: None,
            fold: None,
            stratify: None,
        }
    }
}

/// A split as written, before absent fractions are filled in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    train: Option<f64>,
    validate: Option<f64>,
    calibrate: Option<f64>,
    test: Option<f64>,
    folds: Option<usize>,
    fold: Option<usize>,
    stratify: Option<bool>,
}

impl From<Written> for SplitSpec {
    fn from(written: Written) -> Self {
        let Written { train, validate, calibrate, test, folds, fold, stratify } = written;
        let none = Self { train: None, validate: None, calibrate: None, test: None, folds, fold, stratify };
        if folds.is_some() {
            return Self { fold: Some(fold.unwrap_or(0)), ..none };
        }
        if [train, validate, calibrate, test].iter().all(Option::is_none) {
            return Self { fold, stratify, ..Self::default() };
        }
        let [validate, calibrate, test] = [validate, calibrate, test].map(|part| part.unwrap_or(0.0));
        let rest = (1.0 - validate - calibrate - test).max(0.0);
        Self {
            train: Some(train.unwrap_or(rest)),
            validate: Some(validate),
            calibrate: Some(calibrate),
            test: Some(test),
            ..none
        }
    }
}

/// What to do with missing cells in feature columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Refuse the data, naming column and row.
    #[default]
    Error,
    /// Leave out rows with a missing cell.
    DropRows,
    /// The training rows' mean, or most frequent category.
    Mean,
    /// The training rows' median, or most frequent category.
    Median,
    /// Zero, or a category of its own.
    Constant,
}

/// How features are scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Mean 0, standard deviation 1.
    #[default]
    Standard,
    /// Smallest 0, largest 1.
    MinMax,
    /// As they are.
    None,
}

#[cfg(test)]
mod tests {
    use super::DataSpec;

    fn division(text: &str) -> [Option<f64>; 4] {
        let split = serde_yaml::from_str::<DataSpec>(text).unwrap().division();
        [split.train, split.validate, split.calibrate, split.test]
    }

    #[test]
    fn a_test_file_leaves_all_other_rows_to_the_other_parts() {
        let file = "train: { path: a.csv }\ntest: { path: b.csv }\n";
        assert_eq!(division(file), [0.8, 0.1, 0.1, 0.0].map(Some));
        assert_eq!(division(&format!("{file}split: {{ train: 0.5, test: 0.25 }}")), [0.75, 0.0, 0.0, 0.0].map(Some));
        assert_eq!(division(&format!("{file}split: {{ folds: 5 }}")), [None; 4]);
        assert_eq!(division("train: { path: a.csv }"), [0.6, 0.1, 0.1, 0.2].map(Some));
    }
}

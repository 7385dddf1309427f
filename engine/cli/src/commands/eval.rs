//! `paring eval MODEL --data ROWS`: measures a saved model on raw rows.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use paring_engine::data::read::ReadOptions;
use paring_engine::eval::{EvalError, EvalOptions, Evaluation, evaluate};

use crate::exit::{CommandResult, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArguments {
    /// A model directory that Paring wrote.
    pub model: PathBuf,
    /// The rows: csv, tsv, jsonl, parquet, npy, npz, IDX or txt, with the columns that the model was trained on.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// A second file that holds the labels (IDX, npy).
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Measures, separated by commas; all that suit the model when not given.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    pub measure: Vec<String>,
    /// Print the model's answer for each row instead of the measures.
    #[arg(long)]
    pub predictions: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the figures, or the answers.
///
/// # Errors
/// When model or rows cannot be read or do not fit each other.
pub fn execute(arguments: &EvalArguments, terminal: &Terminal) -> CommandResult {
    let options = EvalOptions {
        model: arguments.model.clone(),
        data: arguments.data.clone(),
        read: ReadOptions { labels: arguments.labels.clone(), ..ReadOptions::default() },
        measures: arguments.measure.clone(),
    };
    let evaluation = evaluate(&options).map_err(|error| Failure::plain(code(&error), error.to_string()))?;
    match (arguments.json, arguments.predictions) {
        (true, true) => output::json(&evaluation.predictions)?,
        (true, false) => output::json(&figures_only(evaluation))?,
        (false, true) => {
            for answer in &evaluation.predictions {
                output::line(answer)?;
            }
        }
        (false, false) => {
            let rows = evaluation.measures.iter().map(|(name, value)| vec![name.clone(), output::figure(name, *value)]);
            output::line(&output::table(&["measure", "value"], rows.collect(), terminal.width))?;
            terminal.say(&format!("on {} rows", evaluation.rows));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn figures_only(mut evaluation: Evaluation) -> Evaluation {
    evaluation.predictions.clear();
    evaluation
}

fn code(error: &EvalError) -> &'static str {
    match error {
        EvalError::Data(_) => "D001",
        _ => "M001",
    }
}

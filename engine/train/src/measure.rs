//! Measures: what every stage is judged by, before and after. Named, with direction and unit.

use std::time::Duration;

use indexmap::IndexMap;
use paring_data::Examples;
use paring_model::{Checkpoint, Task};
use serde::Serialize;

use crate::error::{Result, TrainError};
use crate::measure::likeness::Continuation;
use crate::measure::pairs::Pairs;
use crate::measure::quality::Answers;
use crate::metrics::quantile;

mod cost;
mod latency;
mod likeness;
mod memory;
mod pairs;
mod quality;
mod speed;
mod table;

pub use table::MEASURES;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// A measure as data: for the schema, for help, for gates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeasureInfo {
    /// Its name in a recipe.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Which way is better.
    pub direction: Direction,
    /// "", "bytes", "ms", "bits", ...
    pub unit: &'static str,
    /// Differs from run to run (a timing, memory of the process), so it is kept apart from results.
    pub timing: bool,
    /// Needs test rows.
    pub needs_rows: bool,
    /// Compares with the model that the recipe starts from.
    pub needs_baseline: bool,
    /// Tasks it makes sense for; empty for all.
    pub tasks: &'static [Task],
}

/// Latency settings: stated, so that figures can stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencySettings {
    /// Rows in a batch.
    pub batch: usize,
    /// Warm-up runs.
    pub warmup: usize,
    /// Timed runs.
    pub runs: usize,
    /// Timed runs end early once they have taken this long, but not before the fifth.
    pub limit: Duration,
}

impl Default for LatencySettings {
    /// One row at a time: 10 warm-up runs, then 100 timed ones, in at most 5 s.
    fn default() -> Self {
        Self { batch: 1, warmup: 10, runs: 100, limit: Duration::from_secs(5) }
    }
}

impl LatencySettings {
    /// The conditions that a latency was measured under, in words.
    pub fn stated(&self) -> String {
        let threads = candle_core::utils::get_num_threads();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        format!(
            "batch {}, {threads} thread{}, warm ({} run{}), {} timed run{}",
            self.batch,
            plural(threads),
            self.warmup,
            plural(self.warmup),
            self.runs,
            plural(self.runs)
        )
    }
}

/// The measure of that name.
pub fn info(name: &str) -> Option<&'static MeasureInfo> {
    MEASURES.iter().find(|measure| measure.name == name)
}

/// One measured value. `latency` gives `latency` (p50) and `latency_p95`.
///
/// # Errors
/// When the name is unknown, rows are missing, or the model does not run.
pub fn measure(
    name: &str,
    model: &Checkpoint,
    rows: Option<&Examples>,
    baseline: Option<&Checkpoint>,
    latency: &LatencySettings,
) -> Result<Vec<(String, f64)>> {
    Ok(measure_all(&[name], model, rows, baseline, latency)?.into_iter().collect())
}

/// The named measures, in the order of `names`; `latency` adds `latency_p95`. Rows are predicted once for all metrics,
/// and a quantized model runs quantized.
///
/// # Errors
/// When a name is unknown or does not suit the task, rows are missing, or the model does not run.
pub fn measure_all<S: AsRef<str>>(
    names: &[S],
    model: &Checkpoint,
    rows: Option<&Examples>,
    baseline: Option<&Checkpoint>,
    latency: &LatencySettings,
) -> Result<IndexMap<String, f64>> {
    let mut bench = Bench::new(model, rows, baseline, latency);
    let mut values = IndexMap::new();
    for name in names {
        values.extend(bench.take(name.as_ref())?);
    }
    Ok(values)
}

/// Takes measures of one model; what several of them need is computed once.
pub struct Bench<'a> {
    model: &'a Checkpoint,
    rows: Option<&'a Examples>,
    baseline: Option<&'a Checkpoint>,
    settings: &'a LatencySettings,
    answers: Option<Answers>,
    times: Option<[f64; 2]>,
    speeds: Option<[f64; 2]>,
    cosines: Option<Vec<f64>>,
    pairs: Option<Pairs>,
    continuation: Option<Continuation>,
}

impl<'a> Bench<'a> {
    /// For this model on these rows, beside the model before all stages.
    pub fn new(
        model: &'a Checkpoint,
        rows: Option<&'a Examples>,
        baseline: Option<&'a Checkpoint>,
        settings: &'a LatencySettings,
    ) -> Self {
        Self {
            model,
            rows,
            baseline,
            settings,
            answers: None,
            times: None,
            speeds: None,
            cosines: None,
            pairs: None,
            continuation: None,
        }
    }

    /// One measure; `latency` gives `latency` (p50) and `latency_p95`.
    ///
    /// # Errors
    /// When the name is unknown or does not suit the task, rows are missing, or the model does not run.
    pub fn take(&mut self, name: &str) -> Result<Vec<(String, f64)>> {
        let mut taken = vec![(name.to_owned(), self.value(name)?)];
        if name == "latency" {
            taken.push(("latency_p95".to_owned(), self.value("latency_p95")?));
        }
        Ok(taken)
    }

    fn value(&mut self, name: &str) -> Result<f64> {
        let info = info(name).ok_or_else(|| unknown(name))?;
        match name {
            "cosine" | "cosine_p1" | "cosine_min" => self.cosine(name),
            "spearman" | "recall_at_1" | "recall_at_10" => self.pairs()?.score(name),
            "perplexity" | "kl_divergence" | "top1_agreement" => Ok(self.continuation()?.score(name)),
            _ if info.needs_rows => self.answers()?.score(name),
            "prefill_speed" => Ok(self.speeds()?[0]),
            "decode_speed" => Ok(self.speeds()?[1]),
            "latency" => Ok(self.times()?[0]),
            "latency_p95" => Ok(self.times()?[1]),
            "throughput" => latency::throughput(self.model, self.rows, self.settings),
            "peak_memory" => memory::peak_memory(self.model, self.rows, self.settings.batch),
            _ => cost::cost(name, self.model),
        }
    }

    fn rows(&self) -> Result<&Examples> {
        self.rows.ok_or(TrainError::NoRows { part: "test" })
    }

    fn cosine(&mut self, name: &str) -> Result<f64> {
        let cosines = match self.cosines.take() {
            Some(cosines) => cosines,
            None => {
                let baseline = self.baseline.ok_or_else(|| no_baseline(name))?;
                likeness::cosines(self.model, baseline, self.rows()?)?
            }
        };
        let cosines = self.cosines.insert(cosines);
        match name {
            "cosine_p1" => quantile(cosines, 0.01),
            "cosine_min" => quantile(cosines, 0.0),
            _ => Ok(cosines.iter().sum::<f64>() / cosines.len().max(1) as f64),
        }
    }

    fn pairs(&mut self) -> Result<&Pairs> {
        let pairs = match self.pairs.take() {
            Some(pairs) => pairs,
            None => Pairs::embed(self.model, self.rows()?)?,
        };
        Ok(self.pairs.insert(pairs))
    }

    fn continuation(&mut self) -> Result<Continuation> {
        let continuation = match self.continuation {
            Some(continuation) => continuation,
            None => Continuation::take(self.model, self.baseline, self.rows()?)?,
        };
        Ok(*self.continuation.insert(continuation))
    }

    fn answers(&mut self) -> Result<&Answers> {
        let answers = match self.answers.take() {
            Some(answers) => answers,
            None => Answers::predict(self.model, self.rows()?)?,
        };
        Ok(self.answers.insert(answers))
    }

    fn speeds(&mut self) -> Result<[f64; 2]> {
        let speeds = match self.speeds {
            Some(speeds) => speeds,
            None => speed::speeds(self.model, self.rows)?,
        };
        Ok(*self.speeds.insert(speeds))
    }

    fn times(&mut self) -> Result<[f64; 2]> {
        let times = match self.times {
            Some(times) => times,
            None => latency::latency(self.model, self.rows, self.settings)?,
        };
        Ok(*self.times.insert(times))
    }
}

fn no_baseline(name: &str) -> TrainError {
    TrainError::Mismatch(format!("measure `{name}` compares with the model before all stages, and there is none"))
}

fn unknown(name: &str) -> TrainError {
    TrainError::Mismatch(format!("no measure is called `{name}`"))
}

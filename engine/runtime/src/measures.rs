//! Taking the recipe's measures of a model, results and timings apart, each model measured once.

use indexmap::IndexMap;
use paring_data::examples::examples;
use paring_data::{Examples, Part};
use paring_model::Checkpoint;
use paring_passes::context::stand_in;
use paring_train::measure::{Bench, LatencySettings, info};

use crate::cache::Cache;
use crate::project::Project;
use crate::stage::StageError;

/// Measured values by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// The same in every run.
    pub results: IndexMap<String, f64>,
    /// Different from run to run: latency, memory.
    pub timings: IndexMap<String, f64>,
}

impl Measured {
    /// Results and timings together, as gates judge them.
    pub fn all(&self) -> IndexMap<String, f64> {
        self.results.iter().chain(&self.timings).map(|(name, value)| (name.clone(), *value)).collect()
    }
}

/// Takes the measures of the recipe that are named, on a part of its rows.
///
/// # Errors
/// When a measure cannot be taken.
pub fn take(
    project: &Project,
    cache: &Cache,
    names: &[String],
    model: &Checkpoint,
    digest: &str,
    part: Part,
) -> Result<Measured, StageError> {
    let compares = names.iter().any(|name| info(name).is_some_and(|info| info.needs_baseline));
    let rows_key = rows_key(project, part, compares)?;
    let mut known = cache.measures(digest, &rows_key);
    let missing: Vec<&String> = names.iter().filter(|name| !known.contains_key(*name)).collect();
    if !missing.is_empty() {
        let rows = part_examples(project, model, part, &missing)?;
        let baseline = Some(&project.model).filter(|baseline| baseline.is_built());
        let settings = LatencySettings::default();
        let mut bench = Bench::new(model, rows.as_ref(), baseline, &settings);
        for name in missing {
            let values = bench.take(name).map_err(|source| StageError::Measure { name: name.clone(), source })?;
            known.insert(name.clone(), values.into_iter().collect());
        }
        known.sort_keys();
        cache.keep_measures(digest, &rows_key, &known);
    }
    let mut measured = Measured::default();
    for name in names {
        let timing = info(name).is_some_and(|info| info.timing);
        let place = if timing { &mut measured.timings } else { &mut measured.results };
        place.extend(known.get(name).into_iter().flatten().map(|(name, value)| (name.clone(), *value)));
    }
    Ok(measured)
}

/// What measures depend on besides the model: the rows, and the model before all stages where they compare with it.
fn rows_key(project: &Project, part: Part, compares: bool) -> Result<String, StageError> {
    let data = project.data.as_ref().map_or("", |data| data.digest.as_str());
    let baseline = if compares { project.model.digest()? } else { String::new() };
    Ok(format!("{data} {part:?} {baseline}"))
}

fn part_examples(
    project: &Project,
    model: &Checkpoint,
    part: Part,
    names: &[&String],
) -> Result<Option<Examples>, StageError> {
    if !names.iter().any(|name| info(name).is_some_and(|info| info.needs_rows)) {
        return Ok(None);
    }
    rows_of(project, model, part)
}

/// A part's rows through the model's inputs and outputs.
///
/// # Errors
/// When the rows do not fit them.
pub fn rows_of(project: &Project, model: &Checkpoint, part: Part) -> Result<Option<Examples>, StageError> {
    let (Some(data), Some(_), Some(outputs)) = (&project.data, model.inputs(), model.outputs()) else {
        return Ok(None);
    };
    let rows = data.parts.rows(stand_in(&data.parts, part));
    if rows.is_empty() { Ok(None) } else { Ok(Some(examples(&data.dataset, rows, model, outputs)?)) }
}

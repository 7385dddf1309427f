//! Running the trials of a sweep: each is recorded, a failed one too, and the chosen one becomes the result.

use indexmap::IndexMap;
use paring_model::Checkpoint;
use paring_train::measure::info;
use serde_json::{Value, json};

use super::choose::{Objectives, Pick, choose, front};
use crate::context::{Cx, Trial};
use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::receipt::{Outcome, Receipt};
use crate::wording::counted;

/// What a sweep's trial binds.
pub(super) type Bindings = IndexMap<String, Value>;

/// A trial that ran.
pub(super) struct Tried {
    /// What it bound.
    pub bindings: Bindings,
    /// What it measured; `None` when it failed.
    pub measures: Option<IndexMap<String, f64>>,
}

/// The effect of a sweep: that of its nested stages with the first value of every variable, not certain.
pub(super) fn plan(
    cx: &PlanCx<'_>,
    objectives: &Objectives,
    pick: &Pick,
    trials: usize,
) -> Result<Effect, Vec<Problem>> {
    let problems = super::choose::problems(objectives, pick, cx);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut effect = Effect::same_shape(cx.nested.unwrap_or(cx.outline));
    effect.exact = false;
    effect.touches = cx.sites.iter().map(|site| site.name.clone()).collect();
    effect.notes.push(format!("{} of {}", counted(trials, "trial"), counted(cx.nested_stages, "nested stage")));
    effect.notes.extend(cx.stand_in_note(paring_data::Part::Validate));
    Ok(effect)
}

/// Runs the trials that `next` binds, at most `most`, until it binds none, and chooses. A failed trial is recorded and
/// the sweep goes on.
pub(super) fn run(
    cx: &Cx<'_>,
    model: &Checkpoint,
    objectives: &Objectives,
    pick: &Pick,
    most: usize,
    mut next: impl FnMut(&[Tried]) -> Option<Bindings>,
) -> Result<Outcome, PassError> {
    let mut tried: Vec<Tried> = Vec::new();
    let mut done: Vec<(usize, Trial)> = Vec::new();
    let mut records = Vec::new();
    let mut best = String::new();
    while tried.len() < most {
        cx.check_cancelled()?;
        let Some(bindings) = next(&tried) else { break };
        let number = tried.len();
        cx.services.progress(number, most, &format!("trial {} of {most}{best}", number + 1));
        let mut measures = None;
        match cx.services.trial(number, model, &bindings) {
            Ok(trial) => {
                records.push(record(number, &bindings, Ok(&trial)));
                measures = Some(trial.measures.clone());
                done.push((number, trial));
                best = best_so_far(objectives, &done);
            }
            Err(PassError::Interrupted) => return Err(PassError::Interrupted),
            Err(error) => records.push(record(number, &bindings, Err(&error))),
        }
        tried.push(Tried { bindings, measures });
    }
    let points: Vec<IndexMap<String, f64>> = done.iter().map(|(_, trial)| trial.measures.clone()).collect();
    let Some(chosen) = choose(objectives, pick, &points) else { return Err(nothing_left(&records)) };
    let receipt = receipt(objectives, &tried, records, &done, &points, chosen);
    let (_, trial) = done.swap_remove(chosen);
    Ok(Outcome { model: trial.model, receipt })
}

/// What a trial did. Timings and cache hits differ from run to run and are left out.
fn record(number: usize, bindings: &Bindings, outcome: Result<&Trial, &PassError>) -> Value {
    match outcome {
        Ok(trial) => {
            let measures: IndexMap<&String, f64> = trial
                .measures
                .iter()
                .filter(|(name, _)| !info(name).is_some_and(|info| info.timing) && !name.starts_with("latency"))
                .map(|(name, value)| (name, *value))
                .collect();
            json!({ "trial": number, "values": bindings, "state": "complete", "measures": measures })
        }
        Err(error) => json!({ "trial": number, "values": bindings, "state": "failed", "reason": error.to_string() }),
    }
}

fn best_so_far(objectives: &Objectives, done: &[(usize, Trial)]) -> String {
    let points: Vec<IndexMap<String, f64>> = done.iter().map(|(_, trial)| trial.measures.clone()).collect();
    let first = objectives.keys().next();
    let value = choose(objectives, &Pick::Best, &points).and_then(|index| points.get(index)?.get(first?).copied());
    match (first, value) {
        (Some(name), Some(value)) => format!(", best {name} {value:.4}"),
        _ => String::new(),
    }
}

fn nothing_left(records: &[Value]) -> PassError {
    let reason = records.iter().find_map(|record| record.get("reason")?.as_str()).unwrap_or("no trial ran");
    PassError::Failed(format!("all {} failed; the first: {reason}", counted(records.len(), "trial")))
}

fn receipt(
    objectives: &Objectives,
    tried: &[Tried],
    records: Vec<Value>,
    done: &[(usize, Trial)],
    points: &[IndexMap<String, f64>],
    chosen: usize,
) -> Receipt {
    let number = done[chosen].0;
    let bindings = &tried[number].bindings;
    let values: Vec<String> = bindings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let mut receipt = Receipt {
        summary: format!("chose trial {} of {}: {}", number + 1, tried.len(), values.join(", ")),
        ..Receipt::default()
    };
    receipt.figures.insert("trials".to_owned(), tried.len() as f64);
    receipt.figures.insert("failed".to_owned(), (tried.len() - done.len()) as f64);
    receipt.figures.insert("chosen".to_owned(), number as f64);
    receipt.details.insert("chosen_values".to_owned(), json!(bindings));
    if objectives.len() > 1 {
        let front: Vec<usize> = front(objectives, points).into_iter().map(|index| done[index].0).collect();
        receipt.details.insert("pareto_front".to_owned(), json!(front));
    }
    receipt.details.insert("trials".to_owned(), Value::from(records));
    receipt
}

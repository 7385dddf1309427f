//! What passes that train share: what stands against it, the first weights of a model, and the receipt of a run.

use paring_data::Part;
use paring_model::config::Spec;
use paring_model::inputs::{ColumnEncoding, Encoding};
use paring_model::{Checkpoint, Inputs, Outline, Outputs, Site, Task, families};
use paring_schema::units::parse_seconds;
use paring_train::fit::{self, Budget, ClassWeights, FitReport, FitSettings, Rates};
use paring_train::lora::Lora;
use paring_train::{Stream, measure};
use serde_json::json;

use crate::effect::{Effect, PlanCx};
use crate::error::{PassError, Problem};
use crate::receipt::Receipt;
use crate::wording::counted;

mod adapters;
mod layers;

pub(crate) use layers::{time_problem, unsuited};

/// What stands against training with these settings, whatever is trained.
pub(crate) fn problems(settings: &FitSettings, cx: &PlanCx<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if cx.parts.is_none_or(|parts| parts.train.is_empty()) {
        problems.push(Problem::new("", "needs training rows, and the recipe has none").help("give the recipe `data`"));
    }
    let judged = cx.parts.is_some_and(|parts| !parts.validate.is_empty() || !parts.calibrate.is_empty());
    if settings.early_stopping.is_some() && !judged {
        let message = "needs validation rows to know when to stop, and the recipe has none";
        problems.push(Problem::new("/early_stopping", message).help("give `validate` a share in the data's `split`"));
    }
    problems.extend(settings.monitor.as_deref().and_then(|name| monitor_problem(settings, name, cx)));
    if let Some(Budget::Time(time)) = &settings.budget {
        match parse_seconds(time) {
            Ok(seconds) if seconds > 0.0 => {}
            Ok(_) => problems.push(Problem::new("/budget/time", format!("is `{time}`, which leaves no time"))),
            Err(reason) => problems.push(Problem::new("/budget/time", reason)),
        }
    }
    let is_text = |column: &ColumnEncoding| matches!(column.encoding, Encoding::Text { .. });
    let texts = cx.outline.inputs.as_ref().is_some_and(|inputs| inputs.columns.iter().any(is_text));
    if settings.group_by_length && !texts {
        let message = "groups rows by length, but all rows of this model have one length";
        problems.push(Problem::new("/group_by_length", message).help("remove `group_by_length`"));
    }
    problems
}

/// What is wrong with a measure that early stopping is to watch.
fn monitor_problem(settings: &FitSettings, name: &str, cx: &PlanCx<'_>) -> Option<Problem> {
    let problem = |message: String, help: &str| Some(Problem::new("/monitor", message).help(help));
    if settings.early_stopping.is_none() {
        let help = "give `early_stopping` a number of epochs, or remove `monitor`";
        return problem("goes with `early_stopping` only".to_owned(), help);
    }
    if !cx.measures.iter().any(|measure| measure == name) {
        let known = cx.measures.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let message = format!("is `{name}`, which is not among the recipe's measures ({known})");
        return problem(message, "add it to the recipe's `measure`");
    }
    let learnt = measure::info(name).is_some_and(|measure| measure.needs_rows && !measure.timing);
    let message = format!("is `{name}`, which does not tell how well the model does");
    if learnt { None } else { problem(message, "name a measure of the answers, such as `accuracy`") }
}

fn task(outline: &Outline) -> Option<Task> {
    outline.outputs.as_ref().map(Outputs::task)
}

/// What the task does not allow.
pub(crate) fn task_problem(settings: &FitSettings, outline: &Outline) -> Option<Problem> {
    let task = task(outline);
    let weighted = settings.class_weights != ClassWeights::Uniform;
    match task {
        Some(Task::Embed) => {
            let message = "an embedding has no answers to learn from";
            Some(Problem::new("", message).help("give the recipe a task with answers, such as `task: classify`"))
        }
        Some(Task::Generate | Task::Regress) if weighted => {
            Some(Problem::new("/class_weights", "weights classes, but the task has none"))
        }
        _ => None,
    }
}

/// Globs of the settings that match none of the weights that will be trained.
pub(crate) fn glob_problems(settings: &FitSettings, outline: &Outline) -> Vec<Problem> {
    glob_problems_with(settings, outline, &[])
}

/// The same where training has other variables besides the weights: steps that are learned.
pub(crate) fn glob_problems_with(settings: &FitSettings, outline: &Outline, others: &[String]) -> Vec<Problem> {
    let trained = match &settings.lora {
        Some(lora) => {
            let adapters = lora.sites(outline.sites().unwrap_or_default()).into_iter();
            adapters.flat_map(|site| Lora::names(&site.name)).chain(Lora::trains_too(outline)).collect()
        }
        None => outline.weights.keys().cloned().collect::<Vec<_>>(),
    };
    let names: Vec<&str> = trained.iter().chain(others).map(String::as_str).collect();
    let mut found = layers::problems(settings, outline);
    let problems = fit::problems(settings, &names).into_iter();
    let known = || format!("the weights are {}", some_of(&names));
    found.extend(problems.map(|(place, message)| Problem::new(&place, message).help(known())));
    found
}

fn some_of(names: &[&str]) -> String {
    let shown = names.iter().take(6).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 6 { format!("{shown} and {} more", names.len() - 6) } else { shown }
}

/// The effect of training a model of this outline.
pub(crate) fn effect(settings: &FitSettings, outline: &Outline, cx: &PlanCx<'_>) -> Effect {
    let rates = Rates::new(settings).ok();
    let trained = |name: String| {
        outline.weights.contains_key(&name) && !rates.as_ref().is_some_and(|rates| rates.is_frozen(&name))
    };
    let moves = |site: &Site| trained(site.weight()) || trained(format!("{}.bias", site.name));
    let touches = outline.sites().unwrap_or_default().into_iter().filter(moves).map(|site| site.name).collect();
    let (memory, notes) = (memory(settings, outline, cx), notes(settings, cx));
    let mut effect = Effect { touches, memory, notes, ..Effect::same_shape(outline) };
    layers::apply(settings, &mut effect);
    effect
}

/// Notes for the person: which rows early stopping is judged by, and what the clock decides.
pub(crate) fn notes(settings: &FitSettings, cx: &PlanCx<'_>) -> Vec<String> {
    let note = settings.early_stopping.and_then(|_| cx.stand_in_note(Part::Validate));
    let timed = matches!(settings.budget, Some(Budget::Time(_)));
    let by_time = || "the training ends by the clock: another run may come further and give other weights".to_owned();
    note.into_iter().chain(timed.then(by_time)).collect()
}

/// The first weight that is quantized, if any is.
pub(crate) fn quantized(outline: &Outline) -> Option<&str> {
    outline.weights.iter().find(|(_, weight)| weight.is_quantized()).map(|(name, _)| name.as_str())
}

/// Peak memory of training beyond the model itself, in bytes: a copy of the weights, their gradients and two moments
/// of the optimizer, a moving average, what it may go back to, and the training rows.
pub(crate) fn memory(settings: &FitSettings, outline: &Outline, cx: &PlanCx<'_>) -> u64 {
    let rows = cx.parts.map_or(0, |parts| parts.train.len()) as u64;
    let width = outline.inputs.as_ref().map_or(0, Inputs::width) as u64;
    let kept =
        [(settings.ema_decay.is_some(), 4), (settings.early_stopping.is_some(), 4), (settings.back_off.is_some(), 12)];
    let kept: u64 = kept.iter().filter(|(is_kept, _)| *is_kept).map(|(_, bytes)| bytes).sum();
    outline.parameters().saturating_mul(16 + kept).saturating_add(rows.saturating_mul(width).saturating_mul(4))
}

/// A model with its first weights, each tensor drawn from a stream of its own name.
///
/// # Errors
/// When the settings do not fit the inputs.
pub(crate) fn initialize(
    spec: &Spec,
    inputs: &Inputs,
    outputs: &Outputs,
    stream: &Stream,
) -> Result<Checkpoint, PassError> {
    Ok(families::initialize(spec, inputs, outputs, &mut stream.fill())?)
}

/// The receipt of a training run.
///
/// # Errors
/// When adapters cannot be written.
pub(crate) fn receipt(settings: &FitSettings, report: &FitReport) -> Result<Receipt, PassError> {
    let mut summary = format!("trained for {}, {}", counted(report.epochs, "epoch"), counted(report.steps, "step"));
    if report.best_epoch != report.epochs {
        summary.push_str(&format!(", and kept the weights of epoch {}", report.best_epoch));
    }
    if !report.backed_off.is_empty() {
        let steps = report.backed_off.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let rate = settings.learning_rate * 0.5_f64.powi(report.backed_off.len() as i32);
        summary.push_str(&format!("; diverged at step {steps}, went back, and went on at learning rate {rate}"));
    }
    if let Some(sparsity) = report.sparsity {
        summary.push_str(&format!("; {:.1}% of the targeted weights are zero", sparsity * 100.0));
    }
    let mut receipt = Receipt { summary, ..Receipt::default() };
    receipt.figures.extend(report.sparsity.map(|sparsity| ("sparsity".to_owned(), sparsity)));
    let counts = [("epochs", report.epochs), ("steps", report.steps), ("best_epoch", report.best_epoch)];
    receipt.figures.extend(counts.map(|(name, count)| (name.to_owned(), count as f64)));
    let last = [("train_loss", report.train_loss.last()), ("validate_loss", best_validate_loss(report))];
    for (name, loss) in last {
        receipt.figures.extend(loss.map(|&loss| (name.to_owned(), f64::from(loss))));
    }
    if let Some(name) = &settings.monitor {
        let name = format!("validate_{name}");
        let kept = report.best_epoch.checked_sub(1).and_then(|epoch| report.monitored.get(epoch));
        receipt.figures.extend(kept.map(|&value| (name.clone(), value)));
        receipt.details.insert(name, json!(report.monitored));
    }
    receipt.details.insert("train_loss".to_owned(), json!(report.train_loss));
    receipt.details.insert("validate_loss".to_owned(), json!(report.validate_loss));
    if let Some(lora) = settings.lora.as_ref().filter(|lora| lora.keep_adapters) {
        receipt.files = adapters::files(lora, &report.adapters)?;
    }
    Ok(receipt)
}

/// The validation loss of the weights that were kept.
fn best_validate_loss(report: &FitReport) -> Option<&f32> {
    report.validate_loss.get(report.best_epoch.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use paring_train::Stream;
    use paring_train::fit::{FitReport, FitSettings};

    use super::{initialize, receipt};
    use crate::testing::{inputs, labels, mlp};

    #[test]
    fn first_weights_depend_on_the_stream_alone() {
        let numbers = |seed| {
            let model = initialize(&mlp(&[2]), &inputs(3), &labels(&["a", "b"]), &Stream::new(seed)).unwrap();
            model.tensor("layers.0.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        let bound = 1.0 / 3.0_f32.sqrt();
        assert!(numbers(1).iter().all(|number| number.abs() <= bound));
    }

    #[test]
    fn the_receipt_tells_the_loss_of_the_weights_kept() {
        let train_loss = vec![0.5, 0.25, 0.125];
        let validate_loss = vec![0.5, 0.375, 0.75];
        let report =
            FitReport { steps: 12, epochs: 3, train_loss, validate_loss, best_epoch: 2, ..FitReport::default() };
        let receipt = receipt(&FitSettings::default(), &report).unwrap();
        assert_eq!(receipt.summary, "trained for 3 epochs, 12 steps, and kept the weights of epoch 2");
        assert_eq!(receipt.figures["train_loss"], 0.125);
        assert_eq!(receipt.figures["validate_loss"], 0.375);
    }
}

//! What passes that train share: what stands against it, the first weights of a model, and the receipt of a run.

use paring_data::Part;
use paring_model::config::Spec;
use paring_model::{Checkpoint, Inputs, Outline, Outputs, Task, families};
use paring_train::Stream;
use paring_train::fit::{self, ClassWeights, FitReport, FitSettings};
use rand::RngExt as _;
use serde_json::json;

use crate::effect::PlanCx;
use crate::error::{PassError, Problem};
use crate::receipt::Receipt;
use crate::wording::counted;

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
    problems
}

/// What the task does not allow.
pub(crate) fn task_problem(settings: &FitSettings, outline: &Outline) -> Option<Problem> {
    let task = outline.outputs.as_ref().map(Outputs::task);
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
    let names: Vec<&str> = outline.weights.keys().chain(others).map(String::as_str).collect();
    let problems = fit::problems(settings, &names).into_iter();
    let known = || format!("the weights are {}", some_of(&names));
    problems.map(|(place, message)| Problem::new(&place, message).help(known())).collect()
}

fn some_of(names: &[&str]) -> String {
    let shown = names.iter().take(6).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > 6 { format!("{shown} and {} more", names.len() - 6) } else { shown }
}

/// Notes for the person: which rows early stopping is judged by.
pub(crate) fn notes(settings: &FitSettings, cx: &PlanCx<'_>) -> Vec<String> {
    let note = settings.early_stopping.and_then(|_| cx.stand_in_note(Part::Validate));
    note.into_iter().collect()
}

/// The first weight that is quantized, if any is.
pub(crate) fn quantized(outline: &Outline) -> Option<&str> {
    outline.weights.iter().find(|(_, weight)| weight.is_quantized()).map(|(name, _)| name.as_str())
}

/// Peak memory of training beyond the model itself, in bytes: a copy of the weights, their gradients and two moments
/// of the optimizer, and the training rows.
pub(crate) fn memory(outline: &Outline, cx: &PlanCx<'_>) -> u64 {
    let rows = cx.parts.map_or(0, |parts| parts.train.len()) as u64;
    let width = outline.inputs.as_ref().map_or(0, Inputs::width) as u64;
    outline.parameters().saturating_mul(16).saturating_add(rows.saturating_mul(width).saturating_mul(4))
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
    let mut uniform = |name: &str, buffer: &mut [f32]| {
        let mut rng = stream.split(name).rng();
        buffer.iter_mut().for_each(|number| *number = rng.random());
    };
    Ok(families::initialize(spec, inputs, outputs, &mut uniform)?)
}

/// The receipt of a training run.
pub(crate) fn receipt(report: &FitReport) -> Receipt {
    let mut summary = format!("trained for {}, {}", counted(report.epochs, "epoch"), counted(report.steps, "step"));
    if report.best_epoch != report.epochs {
        summary.push_str(&format!(", and kept the weights of epoch {}", report.best_epoch));
    }
    let mut receipt = Receipt { summary, ..Receipt::default() };
    let counts = [("epochs", report.epochs), ("steps", report.steps), ("best_epoch", report.best_epoch)];
    receipt.figures.extend(counts.map(|(name, count)| (name.to_owned(), count as f64)));
    let last = [("train_loss", report.train_loss.last()), ("validate_loss", best_validate_loss(report))];
    for (name, loss) in last {
        receipt.figures.extend(loss.map(|&loss| (name.to_owned(), f64::from(loss))));
    }
    receipt.details.insert("train_loss".to_owned(), json!(report.train_loss));
    receipt.details.insert("validate_loss".to_owned(), json!(report.validate_loss));
    receipt
}

/// The validation loss of the weights that were kept.
fn best_validate_loss(report: &FitReport) -> Option<&f32> {
    report.validate_loss.get(report.best_epoch.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use paring_train::Stream;
    use paring_train::fit::FitReport;

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
        let receipt = receipt(&FitReport { steps: 12, epochs: 3, train_loss, validate_loss, best_epoch: 2 });
        assert_eq!(receipt.summary, "trained for 3 epochs, 12 steps, and kept the weights of epoch 2");
        assert_eq!(receipt.figures["train_loss"], 0.125);
        assert_eq!(receipt.figures["validate_loss"], 0.375);
    }
}

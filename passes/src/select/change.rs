//! A change of the features that a model reads: a step at the end of its inputs, and, where the weights exist, the same
//! change in its first layer, so that the model goes on as if nothing had happened but what the change costs.
//!
//! With x the old features and z the new, x is about mean + L z. So the first layer W x + b becomes W L z + (b + W
//! mean) over the new features, where the mean counts for what z does not hold.

use candle_core::{DType, Device, Tensor};
use paring_model::config::Spec;
use paring_model::{Checkpoint, InputStep, Outline, Site, Weight, WeightOutline};

use crate::effect::PlanCx;
use crate::error::{PassError, Problem};
use crate::weights::FloatWeight;

/// What stands against changing the features of this model.
pub(super) fn problems(cx: &PlanCx<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if cx.parts.is_none_or(|parts| parts.train.is_empty()) {
        problems.push(Problem::new("", "needs training rows, and the recipe has none").help("give the recipe `data`"));
    }
    problems.extend(unfit(cx.outline).map(|message| Problem::new("", message)));
    problems
}

fn unfit(outline: &Outline) -> Option<String> {
    let Some(inputs) = outline.inputs.as_ref().filter(|_| outline.outputs.is_some()) else {
        return Some("the model does not say how it reads raw rows, so its features cannot be changed".to_owned());
    };
    if let Some(Spec::Convnet(_)) = outline.config.as_ref().map(|config| &config.spec) {
        return Some("a `convnet` reads images, expected a model that reads a list of features (`mlp`)".to_owned());
    }
    if inputs.shape.len() != 1 {
        return Some(format!("the model reads images of shape {:?}, expected a list of features", inputs.shape));
    }
    let name = first_site(outline)?.weight();
    let quantized = outline.weights.get(&name).is_some_and(WeightOutline::is_quantized);
    quantized.then(|| format!("tensor `{name}` is quantized, expected float weights where the features come in"))
}

/// How many features the model reads.
pub(super) fn width(outline: &Outline) -> usize {
    outline.inputs.as_ref().map_or(0, |inputs| inputs.width())
}

/// Whether the weights of a new feature are not those of an old one, so that no mask holds for them.
fn blends(step: &InputStep) -> bool {
    matches!(step, InputStep::Project { .. } | InputStep::Polynomial { .. })
}

/// The outline once the step is added.
pub(super) fn planned(outline: &Outline, step: InputStep) -> Outline {
    let mut outline = outline.clone();
    let blends = blends(&step);
    let site = first_site(&outline);
    let Some(inputs) = &mut outline.inputs else { return outline };
    inputs.push(step);
    let width = inputs.width();
    if let Some(config) = &mut outline.config {
        config.input = vec![width];
    }
    let weight = site.and_then(|site| outline.weights.get_mut(&site.weight()));
    if let Some(WeightOutline::Dense { shape, masked, .. }) = weight {
        *masked = *masked && !blends;
        if let Some(features) = shape.get_mut(1) {
            *features = width;
        }
    }
    outline
}

/// Adds the step to the model's inputs and folds it into the first layer. `means` are those of the old features over
/// the training rows.
///
/// # Errors
/// When the first layer cannot take the change.
pub(super) fn apply(model: &mut Checkpoint, step: InputStep, means: &[f64]) -> Result<(), PassError> {
    let unknown = || PassError::Failed("the model does not say how it reads raw rows".to_owned());
    let mut inputs = model.inputs().cloned().ok_or_else(unknown)?;
    if let Some(site) = first_site(&model.outline()) {
        fold(model, &site, &step, means)?;
    }
    inputs.push(step);
    if let Some(mut config) = model.config().cloned() {
        config.input = vec![inputs.width()];
        model.set_config(config);
    }
    model.set_inputs(inputs);
    Ok(())
}

/// The layer that reads the features, once it has weights.
fn first_site(outline: &Outline) -> Option<Site> {
    if outline.built { outline.sites().unwrap_or_default().into_iter().next() } else { None }
}

fn fold(model: &mut Checkpoint, site: &Site, step: &InputStep, means: &[f64]) -> Result<(), PassError> {
    let mut weight = FloatWeight::read(model, site)?;
    if weight.inputs() != means.len() {
        let (found, expected) = (weight.inputs(), means.len());
        return Err(PassError::Failed(format!("`{}` reads {found} features, expected {expected}", site.name)));
    }
    let mut numbers = Vec::new();
    let mut shifts = Vec::new();
    for row in weight.numbers.chunks(means.len().max(1)) {
        let (row, shift) = folded(row, step, means)?;
        numbers.extend(row);
        shifts.push(shift);
    }
    let outputs = shifts.len();
    weight.shape = vec![outputs, numbers.len() / outputs.max(1)];
    let masked = matches!(model.weight(&site.weight())?, Weight::Dense { masked: true, .. });
    let masked = masked && !blends(step);
    let tensor = weight.tensor_of(numbers)?;
    shift_bias(model, site, &shifts)?;
    model.set_weight(&site.weight(), Weight::Dense { tensor, masked });
    Ok(())
}

/// One output's weights over the new features, and what the old features' means add to its bias.
fn folded(row: &[f32], step: &InputStep, means: &[f64]) -> Result<(Vec<f32>, f64), PassError> {
    let old = || row.iter().zip(means).map(|(&weight, &mean)| (f64::from(weight), mean));
    Ok(match step {
        InputStep::Select { keep, .. } => {
            let kept = keep.iter().filter_map(|&index| row.get(index).copied()).collect();
            let dropped = old().enumerate().filter(|(index, _)| !keep.contains(index));
            (kept, dropped.map(|(_, (weight, mean))| weight * mean).sum())
        }
        InputStep::Project { components, .. } => {
            let along = |component: &[f32]| {
                let products = row.iter().zip(component).map(|(&weight, &entry)| f64::from(weight) * f64::from(entry));
                products.sum::<f64>() as f32
            };
            let rotated = components.chunks(row.len().max(1)).map(along).collect();
            (rotated, old().map(|(weight, mean)| weight * mean).sum())
        }
        InputStep::Scale { mean, scale } => {
            let scaled = row.iter().zip(scale).map(|(weight, scale)| weight * scale).collect();
            (scaled, row.iter().zip(mean).map(|(&weight, &mean)| f64::from(weight) * f64::from(mean)).sum())
        }
        InputStep::Polynomial { .. } => {
            let products = step.width().saturating_sub(row.len());
            (row.iter().copied().chain(std::iter::repeat_n(0.0, products)).collect(), 0.0)
        }
        InputStep::Quantile { .. } => {
            let message = "a trained model cannot read quantiles in place of its features";
            return Err(PassError::Failed(message.to_owned()));
        }
    })
}

fn shift_bias(model: &mut Checkpoint, site: &Site, shifts: &[f64]) -> Result<(), PassError> {
    if !site.bias {
        let message = format!("`{}` has no bias to take up the means of the features that go", site.name);
        return Err(PassError::Failed(message));
    }
    let bias = model.tensor(&site.bias_name())?;
    let numbers = bias.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let shifted: Vec<f32> = numbers.iter().zip(shifts).map(|(&bias, shift)| (f64::from(bias) + shift) as f32).collect();
    let tensor = Tensor::from_vec(shifted, bias.dims(), &Device::Cpu)?.to_dtype(bias.dtype())?;
    model.set_tensor(&site.bias_name(), tensor);
    Ok(())
}

#[cfg(test)]
mod tests {
    use paring_model::inputs::Matrix;
    use paring_model::{Checkpoint, InputStep};

    use super::{apply, folded};
    use crate::testing::{built, inputs, labels};

    #[test]
    fn a_dropped_feature_becomes_its_mean() {
        let step = InputStep::Select { keep: vec![0, 2], from: 3 };
        assert_eq!(folded(&[1.0, 2.0, 3.0], &step, &[10.0, 0.5, 20.0]).unwrap(), (vec![1.0, 3.0], 1.0));
    }

    #[test]
    fn a_projection_turns_the_weights() {
        let step = InputStep::Project { mean: vec![1.0, 2.0], components: vec![0.6, 0.8], rows: 1 };
        assert_eq!(folded(&[5.0, 10.0], &step, &[1.0, 2.0]).unwrap(), (vec![11.0], 25.0));
    }

    fn outputs(model: &Checkpoint, row: &[f32]) -> Vec<f32> {
        let matrix = Matrix { rows: 1, columns: row.len(), data: row.to_vec() }.into();
        model.predict(&matrix, 1).unwrap().to_vec2::<f32>().unwrap().remove(0)
    }

    #[test]
    fn the_model_answers_as_before_where_the_dropped_feature_has_its_mean() {
        let before = built(&[3], inputs(3), labels(&["a", "b"]));
        let mut after = before.clone();
        apply(&mut after, InputStep::Select { keep: vec![2, 0], from: 3 }, &[0.0, 0.25, 0.0]).unwrap();
        assert_eq!(after.config().unwrap().input, [2]);
        for (old, new) in outputs(&before, &[1.0, 0.25, -2.0]).iter().zip(outputs(&after, &[-2.0, 1.0])) {
            assert!((old - new).abs() < 1e-6, "{old} {new}");
        }
    }

    #[test]
    fn products_have_no_weight_at_first() {
        let step = InputStep::Polynomial { degree: 2, interactions_only: true, from: 2 };
        assert_eq!(folded(&[5.0, 10.0], &step, &[1.0, 2.0]).unwrap(), (vec![5.0, 10.0, 0.0], 0.0));
    }

    #[test]
    fn a_rotation_changes_no_answer() {
        let before = built(&[3], inputs(2), labels(&["a", "b"]));
        let mut after = before.clone();
        let step = InputStep::Project { mean: vec![1.0, 2.0], components: vec![0.6, 0.8, -0.8, 0.6], rows: 2 };
        apply(&mut after, step, &[1.0, 2.0]).unwrap();
        // x = (2, 4): x - mean = (1, 2); z = (0.6 + 1.6, -0.8 + 1.2).
        for (old, new) in outputs(&before, &[2.0, 4.0]).iter().zip(outputs(&after, &[2.2, 0.4])) {
            assert!((old - new).abs() < 1e-6, "{old} {new}");
        }
    }
}

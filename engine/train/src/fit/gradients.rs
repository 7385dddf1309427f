//! Gradients of the loss with respect to the weights, for passes that ask how much each weight matters.

use candle_core::{D, Tensor};
use paring_data::Examples;
use paring_model::{Checkpoint, Forward, Outputs, Task};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::batches::{Part, nothing_to_learn};
use super::objective::Objective;
use super::{FitSettings, Watch};
use crate::error::{Result, TrainError};
use crate::loss;
use crate::rng::Stream;
use crate::trainable::Trainable;

/// Shows each weight and its gradient, of one row after the other: `see(index, name, weight, gradient)` for the row of
/// that index in `rows`. The loss is that of `train/fit`, without dropout, and batch norm as in inference. Tensors are
/// f32 on the CPU.
///
/// Without an `own` stream the loss is that of the labels. With it, the loss is that of answers drawn by the stream
/// from what the model itself says: of a class, and of each token, by its probability; of numbers and embeddings, each
/// number one more or one less than it is, the one as likely as the other. The mean of the squared gradients is then
/// the diagonal of the Fisher information matrix, but for a factor (Kunstner et al. 2019, "Limitations of the Empirical
/// Fisher Approximation", section 2).
///
/// # Errors
/// When rows have no labels, a weight is quantized, a loss is not finite, or the watch says stop.
pub fn gradients(
    model: &Checkpoint,
    (examples, rows): (&Examples, &[usize]),
    own: Option<&Stream>,
    watch: &mut dyn Watch,
    see: &mut dyn FnMut(usize, &str, &Tensor, &Tensor) -> Result<()>,
) -> Result<()> {
    let trainable = Trainable::new(model, |_| false)?;
    let network = model.network_from(&trainable)?;
    let outline = model.outline();
    let task = outline.outputs.as_ref().map(Outputs::task);
    let continues = task == Some(Task::Generate);
    let width = outline.config.map_or(0, |config| config.output);
    let part = Part::new(examples, "calibration", continues)?;
    let labels = || Objective::new(&examples.targets, (width, continues), None, &FitSettings::default());
    let objective = own.is_none().then(labels).transpose()?;
    for (done, &row) in rows.iter().enumerate() {
        if watch.cancelled() {
            return Err(TrainError::Interrupted);
        }
        let batch = part.batch(&[row as u32])?;
        let outputs = network.forward(&batch.input, &mut Forward::differentiable())?;
        let loss = match (&objective, own) {
            (Some(objective), _) => objective.labels(&outputs, &batch, 0.0)?,
            (None, Some(own)) => of_drawn(&outputs, task, &mut own.split(&row.to_string()).rng())?,
            (None, None) => return Err(nothing_to_learn()),
        };
        let value = loss.to_scalar::<f32>()?;
        if !value.is_finite() {
            return Err(TrainError::Mismatch(format!("the loss of calibration row {} is not finite", row + 1)));
        }
        let gradients = loss.backward()?;
        for (name, variable) in trainable.parameters() {
            if let Some(gradient) = gradients.get(variable) {
                see(done, name, &variable.as_detached_tensor(), &gradient.detach())?;
            }
        }
        watch.step(done + 1, rows.len(), value, 0.0);
    }
    Ok(())
}

/// The loss of answers that are drawn from the outputs of a row.
fn of_drawn(outputs: &Tensor, task: Option<Task>, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    if !matches!(task, Some(Task::Classify | Task::Generate)) {
        let count = outputs.elem_count();
        let signs: Vec<f32> = (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
        let drawn = (outputs.detach() + Tensor::from_vec(signs, outputs.shape(), outputs.device())?)?;
        return loss::squared_difference(outputs, &drawn, None);
    }
    let logits = outputs.flatten_to(outputs.rank().saturating_sub(2))?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let weights = shifted.detach().exp()?.to_vec2::<f32>()?;
    let drawn: Vec<u32> = weights.iter().map(|weights| draw(weights, rng.random())).collect();
    let drawn = Tensor::new(drawn, outputs.device())?;
    loss::cross_entropy(&logits, &drawn, None, 0.0)
}

/// The number that lies at this share, from 0 to 1, of all weights.
fn draw(weights: &[f32], share: f32) -> u32 {
    let all: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
    let mut left = f64::from(share) * all;
    let passed = weights.iter().take_while(|&&weight| {
        left -= f64::from(weight);
        left >= 0.0
    });
    passed.count().min(weights.len().saturating_sub(1)) as u32
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use paring_data::{Examples, Targets};
    use paring_model::inputs::Matrix;

    use super::{draw, gradients};
    use crate::fit::Watch;
    use crate::fit::tests::{mlp, number, two_classes};
    use crate::rng::Stream;

    struct Silent;

    impl Watch for Silent {
        fn step(&mut self, _: usize, _: usize, _: f32, _: f64) {}

        fn cancelled(&self) -> bool {
            false
        }
    }

    /// (w x + b - y)^2 has the gradient 2 (w x + b - y) x: 2 * (3 - 1) * (1, 2), then 2 * (-1 - 1) * (-1, 0).
    #[test]
    fn gradients_of_a_line_by_hand() {
        let mut model = mlp(&[], 2, 0.0, number());
        model.set_tensor("head.weight", Tensor::new(&[[1.0_f32, 1.0]], &Device::Cpu).unwrap());
        model.set_tensor("head.bias", Tensor::zeros(1, candle_core::DType::F32, &Device::Cpu).unwrap());
        let inputs = Matrix { rows: 2, columns: 2, data: vec![1.0, 2.0, -1.0, 0.0] };
        let rows = Examples { inputs: inputs.into(), targets: Targets::Values(vec![1.0, 1.0]) };
        let mut seen = Vec::new();
        gradients(&model, (&rows, &[0, 1]), None, &mut Silent, &mut |_, name, weight, gradient| {
            assert_eq!(weight.dims(), gradient.dims());
            seen.push((name.to_owned(), gradient.flatten_all()?.to_vec1::<f32>()?));
            Ok(())
        })
        .unwrap();
        let expected = [("head.bias", vec![4.0]), ("head.weight", vec![4.0, 8.0])].into_iter();
        let expected = expected.chain([("head.bias", vec![-4.0]), ("head.weight", vec![4.0, 0.0])]);
        assert_eq!(seen, expected.map(|(name, slope)| (name.to_owned(), slope)).collect::<Vec<_>>());
        let unlabelled = Examples { targets: Targets::None, ..rows };
        let failed = gradients(&model, (&unlabelled, &[0]), None, &mut Silent, &mut |_, _, _, _| Ok(())).unwrap_err();
        assert_eq!(failed.to_string(), "the rows have no answers to learn from");
    }

    /// The mean over draws of the squared gradient with respect to the logits is p (1 - p): here twice 0.25 * 0.75. Of
    /// a number, (2 * 1)^2 always. Labels are not looked at.
    #[test]
    fn the_squared_gradients_of_drawn_answers_are_the_fisher_information() {
        let inputs = || Matrix { rows: 1, columns: 1, data: vec![0.0] };
        let rows = Examples { inputs: inputs().into(), targets: Targets::None };
        let mean = |outputs, bias: &[f32]| {
            let mut model = mlp(&[], 1, 0.0, outputs);
            model.set_tensor("head.bias", Tensor::new(bias, &Device::Cpu).unwrap());
            let mut sums = vec![0.0_f32; bias.len()];
            for seed in 0..4000 {
                let own = Stream::new(seed);
                gradients(&model, (&rows, &[0]), Some(&own), &mut Silent, &mut |_, name, _, gradient| {
                    if name == "head.bias" {
                        let gradient = gradient.to_vec1::<f32>()?;
                        sums.iter_mut().zip(gradient).for_each(|(sum, slope)| *sum += slope * slope);
                    }
                    Ok(())
                })
                .unwrap();
            }
            sums.into_iter().map(|sum| sum / 4000.0).collect::<Vec<_>>()
        };
        for found in mean(two_classes(), &[0.0, 3.0_f32.ln()]) {
            assert!((found - 0.1875).abs() < 0.01, "{found}");
        }
        assert_eq!(mean(number(), &[7.0]), [4.0]);
    }

    #[test]
    fn classes_are_drawn_by_their_share() {
        let drawn = [0.0, 0.24, 0.26, 0.5, 0.99, 1.0].map(|share| draw(&[1.0, 0.0, 2.0, 1.0], share));
        assert_eq!(drawn, [0, 0, 2, 2, 3, 3]);
    }
}

//! Gradients of the labels' loss with respect to the weights, for passes that ask how much each weight matters.

use candle_core::Tensor;
use paring_data::Examples;
use paring_model::{Checkpoint, Forward, Outputs, Task};

use super::batches::Part;
use super::objective::Objective;
use super::{FitSettings, Watch};
use crate::error::{Result, TrainError};
use crate::trainable::Trainable;

/// Shows each weight and its gradient, of one row after the other: `see(index, name, weight, gradient)` for the row of
/// that index in `rows`. The loss is that of
/// `train/fit`, without dropout, and batch norm as in inference. Tensors are f32 on the CPU.
///
/// # Errors
/// When rows have no labels, a weight is quantized, a loss is not finite, or the watch says stop.
pub fn gradients(
    model: &Checkpoint,
    examples: &Examples,
    rows: &[usize],
    watch: &mut dyn Watch,
    see: &mut dyn FnMut(usize, &str, &Tensor, &Tensor) -> Result<()>,
) -> Result<()> {
    let trainable = Trainable::new(model, |_| false)?;
    let network = model.network_from(&trainable)?;
    let outline = model.outline();
    let continues = outline.outputs.as_ref().map(Outputs::task) == Some(Task::Generate);
    let width = outline.config.map_or(0, |config| config.output);
    let part = Part::new(examples, "calibration", continues)?;
    let objective = Objective::new(&examples.targets, (width, continues), None, &FitSettings::default())?;
    for (done, &row) in rows.iter().enumerate() {
        if watch.cancelled() {
            return Err(TrainError::Interrupted);
        }
        let batch = part.batch(&[row as u32])?;
        let outputs = network.forward(&batch.input, &mut Forward::differentiable())?;
        let loss = objective.labels(&outputs, &batch, 0.0)?;
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

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};
    use paring_data::{Examples, Targets};
    use paring_model::inputs::Matrix;

    use super::gradients;
    use crate::fit::Watch;
    use crate::fit::tests::{mlp, number};

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
        gradients(&model, &rows, &[0, 1], &mut Silent, &mut |_, name, weight, gradient| {
            assert_eq!(weight.dims(), gradient.dims());
            seen.push((name.to_owned(), gradient.flatten_all()?.to_vec1::<f32>()?));
            Ok(())
        })
        .unwrap();
        let expected = [("head.bias", vec![4.0]), ("head.weight", vec![4.0, 8.0])].into_iter();
        let expected = expected.chain([("head.bias", vec![-4.0]), ("head.weight", vec![4.0, 0.0])]);
        assert_eq!(seen, expected.map(|(name, slope)| (name.to_owned(), slope)).collect::<Vec<_>>());
        let unlabelled = Examples { targets: Targets::None, ..rows };
        let failed = gradients(&model, &unlabelled, &[0], &mut Silent, &mut |_, _, _, _| Ok(())).unwrap_err();
        assert_eq!(failed.to_string(), "the rows have no answers to learn from");
    }
}

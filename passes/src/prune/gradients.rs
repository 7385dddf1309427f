//! What passes that prune by gradients share: the rows that they look at, and what stands against them.

use candle_core::Tensor;
use paring_data::Part;
use paring_model::{Checkpoint, Outputs, Task};
use paring_train::TrainError;
use paring_train::fit::{self, Watch};

use crate::calibration::choose;
use crate::context::{Cx, Services};
use crate::effect::PlanCx;
use crate::error::{PassError, Problem};
use crate::training;

/// What stands against gradients of a model's loss; `place` is the parameter to blame.
pub(crate) fn problem(cx: &PlanCx<'_>, place: &str) -> Option<Problem> {
    if cx.outline.outputs.as_ref().map(Outputs::task) == Some(Task::Embed) {
        let message = "needs the gradients of a loss, but an embedding has no labels";
        return Some(Problem::new(place, message).help("`activation` needs no labels"));
    }
    let name = training::quantized(cx.outline)?;
    let message = format!("needs the gradients of a loss, but tensor `{name}` is quantized");
    Some(Problem::new(place, message).help("prune before the weights are quantized"))
}

/// Shows the products of each weight with its gradient, of one calibration row after the other, at most `limit` of
/// them, drawn by the stage's randomness. How many there were.
///
/// # Errors
/// When rows do not fit the model or have no labels, or the person pressed ctrl-C.
pub(crate) fn each_row(
    cx: &Cx<'_>,
    model: &Checkpoint,
    limit: usize,
    see: &mut dyn FnMut(usize, &str, &Tensor) -> candle_core::Result<()>,
) -> Result<usize, PassError> {
    let examples = cx.required_examples(Part::Calibrate, model)?;
    let rows = choose(examples.inputs.len(), limit, &cx.stream.split("calibration"));
    let mut see = |row: usize, name: &str, weight: &Tensor, gradient: &Tensor| -> Result<(), TrainError> {
        Ok(see(row, name, &(weight * gradient)?)?)
    };
    fit::gradients(model, &examples, &rows, &mut Gradients { services: cx.services }, &mut see)?;
    Ok(rows.len())
}

struct Gradients<'a> {
    services: &'a dyn Services,
}

impl Watch for Gradients<'_> {
    fn step(&mut self, done: usize, total: usize, loss: f32, _: f64) {
        self.services.progress(done, total, &format!("gradients, loss {loss:.4}"));
    }

    fn cancelled(&self) -> bool {
        self.services.cancelled()
    }
}

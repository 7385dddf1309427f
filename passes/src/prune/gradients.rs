//! What passes that prune by gradients share: the rows that they look at, and what stands against them.

use candle_core::Tensor;
use paring_data::Part;
use paring_model::{Checkpoint, Outputs, Task};
use paring_train::TrainError;
use paring_train::fit::{self, Watch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calibration::choose;
use crate::context::{Cx, Services};
use crate::effect::PlanCx;
use crate::error::{PassError, Problem};
use crate::training;

/// Whose answers the loss is of whose gradients are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answers {
    /// The labels of the rows; of a text, the tokens that follow.
    #[default]
    Labels,
    /// Drawn at random from what the model itself says, so that rows need no labels.
    Own,
}

/// What stands against gradients of a model's loss; `place` is the parameter to blame.
pub(crate) fn problem(cx: &PlanCx<'_>, answers: Answers, place: &str) -> Option<Problem> {
    if answers == Answers::Labels && cx.outline.outputs.as_ref().map(Outputs::task) == Some(Task::Embed) {
        let message = "needs the gradients of a loss, but an embedding has no labels";
        return Some(Problem::new(place, message).help("`answers: own` needs no labels"));
    }
    let name = training::quantized(cx.outline)?;
    let message = format!("needs the gradients of a loss, but tensor `{name}` is quantized");
    Some(Problem::new(place, message).help("prune before the weights are quantized"))
}

/// Shows the products of each weight with its gradient, of one calibration row after the other, at most `limit` of
/// them, drawn by the stage's randomness, as the answers are where they are the model's own. How many rows there were.
///
/// # Errors
/// When rows do not fit the model or have no labels, or the person pressed ctrl-C.
pub(crate) fn each_row(
    cx: &Cx<'_>,
    model: &Checkpoint,
    (limit, answers): (usize, Answers),
    see: &mut dyn FnMut(usize, &str, &Tensor) -> candle_core::Result<()>,
) -> Result<usize, PassError> {
    let examples = cx.required_examples(Part::Calibrate, model)?;
    let rows = choose(examples.inputs.len(), limit, &cx.stream.split("calibration"));
    let mut see = |row: usize, name: &str, weight: &Tensor, gradient: &Tensor| -> Result<(), TrainError> {
        Ok(see(row, name, &(weight * gradient)?)?)
    };
    let own = (answers == Answers::Own).then(|| cx.stream.split("answers"));
    fit::gradients(model, (&examples, &rows), own.as_ref(), &mut Gradients { services: cx.services }, &mut see)?;
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

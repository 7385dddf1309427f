//! The model families that Paring builds and runs itself: one file each, and the table that names them.

use crate::checkpoint::Checkpoint;
use crate::config::Spec;
use crate::error::Result;
use crate::inputs::Inputs;
use crate::outline::Outline;
use crate::outputs::Outputs;

/// The families' names.
pub const FAMILIES: &[&str] = &["mlp", "convnet"];

/// The outline that a model from nothing will have once built.
///
/// # Errors
/// When the settings do not fit the input shape (a pooling window larger than the image).
pub fn blueprint(spec: &Spec, inputs: &Inputs, outputs: &Outputs) -> Result<Outline> {
    let _ = (spec, inputs, outputs);
    todo!()
}

/// Builds a model from nothing. `uniform(buffer)` fills a buffer with numbers in [0, 1) for the named tensor; weights
/// and biases are drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)) (He et al. 2015 with a = sqrt(5), as PyTorch does).
///
/// # Errors
/// As [`blueprint`].
pub fn initialize(
    spec: &Spec,
    inputs: &Inputs,
    outputs: &Outputs,
    uniform: &mut dyn FnMut(&str, &mut [f32]),
) -> Result<Checkpoint> {
    let _ = (spec, inputs, outputs, uniform);
    todo!()
}

//! `mlp`: hidden layers `layers.0`, `layers.1`, ... and the output layer `head`.

use super::layers::dense;
use super::stack::{Block, Parts};
use super::survey::Survey;
use crate::config::{DenseSpec, MlpSpec};
use crate::error::Result;

/// Walks the hidden layers.
pub(crate) fn survey(spec: &MlpSpec, survey: &mut Survey<'_>) -> Result<()> {
    (0..).zip(hidden(spec)).try_for_each(|(layer, settings)| dense::survey(&settings, layer, survey))
}

/// One block a hidden layer, then the head.
pub(crate) fn build(spec: &MlpSpec, parts: &Parts<'_>) -> Result<Vec<Box<dyn Block>>> {
    let mut blocks = Vec::with_capacity(spec.hidden.len() + 1);
    for (layer, settings) in hidden(spec).enumerate() {
        blocks.push(dense::build(&settings, layer, parts)?);
    }
    blocks.push(dense::build_head(parts)?);
    Ok(blocks)
}

fn hidden(spec: &MlpSpec) -> impl Iterator<Item = DenseSpec> {
    spec.hidden.iter().map(|&width| DenseSpec { width, activation: spec.activation, dropout: spec.dropout })
}

//! `convnet`: layers `layers.0`, `layers.1`, ... as listed in the settings, and the output layer `head`.

use super::layers::{conv, dense, pool, residual};
use super::stack::{Block, Parts};
use super::survey::Survey;
use crate::config::{ConvnetLayer, ConvnetSpec};
use crate::error::Result;

/// Walks the listed layers.
pub(crate) fn survey(spec: &ConvnetSpec, survey: &mut Survey<'_>) -> Result<()> {
    for (layer, settings) in spec.layers.iter().enumerate() {
        match settings {
            ConvnetLayer::Conv(settings) => conv::survey(settings, layer, survey)?,
            ConvnetLayer::Residual(settings) => residual::survey(settings, layer, survey)?,
            ConvnetLayer::MaxPool(pool) | ConvnetLayer::AveragePool(pool) => {
                pool::survey(pool, settings.kind(), layer, survey)?;
            }
            ConvnetLayer::GlobalAveragePool(_) => pool::survey_global(layer, survey)?,
            ConvnetLayer::Dense(settings) => dense::survey(settings, layer, survey)?,
        }
    }
    Ok(())
}

/// One block a listed layer, then the head.
pub(crate) fn build(spec: &ConvnetSpec, parts: &Parts<'_>) -> Result<Vec<Box<dyn Block>>> {
    let mut blocks = Vec::with_capacity(spec.layers.len() + 1);
    for (layer, settings) in spec.layers.iter().enumerate() {
        blocks.push(match settings {
            ConvnetLayer::Conv(settings) => conv::build(settings, layer, parts)?,
            ConvnetLayer::Residual(_) => residual::build(layer, parts)?,
            ConvnetLayer::MaxPool(settings) => pool::build_max(settings),
            ConvnetLayer::AveragePool(settings) => pool::build_average(settings),
            ConvnetLayer::GlobalAveragePool(_) => pool::build_global(),
            ConvnetLayer::Dense(settings) => dense::build(settings, layer, parts)?,
        });
    }
    blocks.push(dense::build_head(parts)?);
    Ok(blocks)
}

//! Settings that tell the truth after units were removed: widths are read back from the weights.

use super::survey::Known;
use crate::config::{Config, ConvnetLayer, ConvnetSpec, MlpSpec, Spec};

/// Sets every width in the settings to that of its weight; one width for all layers only where they agree.
pub(crate) fn settle(config: &mut Config, weights: Known<'_>) {
    match &mut config.spec {
        Spec::Mlp(spec) => settle_mlp(spec, weights),
        Spec::Convnet(spec) => settle_convnet(spec, weights),
        Spec::Bert(spec) => {
            super::bert::settle(spec, weights);
            set(&mut config.output, spec.output(weights).ok());
        }
        Spec::Llama(spec) => super::llama::settle(spec, weights),
    }
}

fn settle_mlp(spec: &mut MlpSpec, weights: Known<'_>) {
    for (layer, width) in spec.hidden.iter_mut().enumerate() {
        set(width, outputs(weights, &format!("layers.{layer}")));
    }
}

fn settle_convnet(spec: &mut ConvnetSpec, weights: Known<'_>) {
    for (layer, settings) in spec.layers.iter_mut().enumerate() {
        let width = |part: &str| outputs(weights, &format!("layers.{layer}{part}"));
        match settings {
            ConvnetLayer::Conv(conv) => set(&mut conv.channels, width("")),
            ConvnetLayer::Dense(dense) => set(&mut dense.width, width("")),
            ConvnetLayer::Residual(block) => {
                let mut inner = block.inner();
                set(&mut inner, width(".conv1"));
                set(&mut block.channels, width(".conv2"));
                block.inner = (inner != block.channels).then_some(inner);
            }
            ConvnetLayer::MaxPool(_) | ConvnetLayer::AveragePool(_) | ConvnetLayer::GlobalAveragePool(_) => {}
        }
    }
}

fn outputs(weights: Known<'_>, site: &str) -> Option<usize> {
    weights.get(&format!("{site}.weight"))?.shape().first().copied()
}

fn set(width: &mut usize, found: Option<usize>) {
    if let Some(found) = found {
        *width = found;
    }
}

//! The same weights in candle-transformers' ResNet-18 and in a `convnet` of the same layers give the same logits.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::resnet;
use paring_model::config::Spec;
use paring_model::{Forward, Input, families};
use rstest::rstest;
use serde_json::json;

use crate::support::{Weights, distance, outline, random, spec};

const CLASSES: usize = 7;

fn resnet18() -> Spec {
    let block = |channels: usize, stride: usize| json!({"residual": {"channels": channels, "stride": stride}});
    let mut layers = vec![
        json!({"conv": {"channels": 64, "kernel": 7, "stride": 2, "padding": 3, "batch_norm": true}}),
        json!({"max_pool": {"size": 3, "stride": 2, "padding": 1}}),
    ];
    for (channels, stride) in [(64, 1), (128, 2), (256, 2), (512, 2)] {
        layers.extend([block(channels, stride), block(channels, 1)]);
    }
    layers.push(json!({"global_average_pool": {}}));
    spec("convnet", json!({"layers": layers}))
}

/// The stock name of one of our tensors.
fn stock_name(name: &str) -> String {
    let name = name.replace("shortcut_norm", "downsample.1").replace("shortcut", "downsample.0").replace("norm", "bn");
    let Some(rest) = name.strip_prefix("layers.") else { return name.replace("head", "fc") };
    let (layer, part) = rest.split_once('.').unwrap();
    match layer.parse::<usize>().unwrap() {
        0 if part.starts_with("bn") => part.replace("bn", "bn1"),
        0 => format!("conv1.{part}"),
        layer => format!("layer{}.{}.{part}", layer / 2, layer % 2),
    }
}

#[rstest]
#[case::inference(Forward::inference())]
#[case::differentiable(Forward::differentiable())]
fn resnet18_gives_the_stock_logits(#[case] mut cx: Forward<'_>) {
    let outline = outline(&resnet18(), &[3, 64, 64], CLASSES);
    let weights = Weights::new(&outline, DType::F32, 18);
    let stock: HashMap<String, Tensor> =
        weights.0.borrow().iter().map(|(name, tensor)| (stock_name(name), tensor.clone())).collect();
    let stock = resnet::resnet18(CLASSES, VarBuilder::from_tensors(stock, DType::F32, &Device::Cpu)).unwrap();
    let x = random(&[2, 3, 64, 64], -1.0, 1.0, 0);
    let network = families::network(&outline, &weights).unwrap().unwrap();
    let found = network.forward(&Input::Features(x.clone()), &mut cx).unwrap();
    let expected = x.apply(&stock).unwrap();
    let apart = distance(&found, &expected);
    let spread = distance(&expected, &expected.zeros_like().unwrap());
    assert!(spread > 0.1, "logits of {spread} at most say nothing");
    assert!(apart <= 1e-5, "logits are {apart} apart");
}

#[test]
fn resnet18_has_the_published_size() {
    // torchvision lists 11,689,512 parameters with 1000 classes; running statistics are another 2 x 4,800.
    let outline = outline(&resnet18(), &[3, 224, 224], 1000);
    assert_eq!(outline.parameters(), 11_689_512 + 2 * 4_800);
    // and 1.814 G multiply-accumulates for a 224 x 224 image.
    assert_eq!(families::macs(&outline).unwrap() / 1_000_000, 1_814);
}

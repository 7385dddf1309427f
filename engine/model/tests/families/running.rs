//! Networks that run: a worked example, blocks, batches, and first weights.

use candle_core::{DType, Device, Tensor};
use paring_model::inputs::Matrix;
use paring_model::{Checkpoint, Forward, Input, Mode, Outline, Rows, families};
use serde_json::json;

use crate::support::{Weights, classes, distance, inputs, outline, random, spec, uniform};

fn convnet() -> Outline {
    let layers = json!([{"conv": {"channels": 3, "batch_norm": true}}, {"max_pool": {}}, {"dense": {"width": 4}}]);
    outline(&spec("convnet", json!({"layers": layers})), &[2, 6, 6], 3)
}

#[test]
fn an_mlp_is_its_formula() {
    let spec = spec("mlp", json!({"hidden": [2]}));
    let mut model = families::initialize(&spec, &inputs(&[2]), &classes(2), &mut |_, _| ()).unwrap();
    let tensor = |rows: &[[f32; 2]; 2]| Tensor::new(rows, &Device::Cpu).unwrap();
    model.set_tensor("layers.0.weight", tensor(&[[1.0, 2.0], [-1.0, 1.0]]));
    model.set_tensor("layers.0.bias", Tensor::new(&[0.5_f32, -1.0], &Device::Cpu).unwrap());
    model.set_tensor("head.weight", tensor(&[[2.0, 1.0], [0.0, -3.0]]));
    model.set_tensor("head.bias", Tensor::new(&[0.0_f32, 1.0], &Device::Cpu).unwrap());
    // x = (1, 3): hidden = relu(7.5, 1) = (7.5, 1), outputs = (16, -2); x = (2, 0): hidden = relu(2.5, -3) = (2.5, 0).
    let rows = Rows::from(Matrix { rows: 2, columns: 2, data: vec![1.0, 3.0, 2.0, 0.0] });
    assert_eq!(model.predict(&rows, 8).unwrap().to_vec2::<f32>().unwrap(), [[16.0, -2.0], [5.0, 1.0]]);
}

#[test]
fn block_after_block_is_the_whole() {
    let outline = convnet();
    let weights = Weights::new(&outline, DType::F32, 4);
    let network = families::network(&outline, &weights).unwrap().unwrap();
    let x = random(&[2, 72], -1.0, 1.0, 8);
    let whole = network.forward(&Input::Features(x.clone()), &mut Forward::inference()).unwrap();
    assert_eq!(network.blocks(), 4);
    let (mut y, shared) = network.enter(&Input::Features(x)).unwrap();
    for index in 0..network.blocks() {
        y = network.block(index, &y, &shared, &mut Forward::inference()).unwrap();
    }
    assert_eq!(distance(&y, &whole), 0.0);
    let error = network.block(4, &y, &shared, &mut Forward::inference()).unwrap_err().to_string();
    assert_eq!(error, "block 4 was asked for, but the network has blocks 0 to 3");
}

#[test]
fn rows_of_another_width_are_refused() {
    let outline = convnet();
    let network = families::network(&outline, &Weights::new(&outline, DType::F32, 4)).unwrap().unwrap();
    let x = Input::Features(random(&[2, 71], 0.0, 1.0, 0));
    let error = network.forward(&x, &mut Forward::inference()).unwrap_err().to_string();
    assert_eq!(error, "the network reads rows of 72 numbers, but the input has shape [2, 71]");
}

#[test]
fn batches_change_nothing() {
    let model = built(7);
    let data = random(&[5, 72], -1.0, 1.0, 2).flatten_all().unwrap().to_vec1().unwrap();
    let rows = Rows::from(Matrix { rows: 5, columns: 72, data });
    let (whole, parts) = (model.predict(&rows, 5).unwrap(), model.predict(&rows, 2).unwrap());
    assert!(distance(&whole, &parts) <= 1e-6);
    let none = Rows::from(Matrix { rows: 0, columns: 72, data: Vec::new() });
    assert_eq!(model.predict(&none, 2).unwrap().dims(), [0, 3]);
}

fn built(seed: u64) -> Checkpoint {
    let spec = convnet().config.unwrap().spec;
    let mut noise = uniform(seed);
    families::initialize(&spec, &inputs(&[2, 6, 6]), &classes(3), &mut |_, buffer| noise(buffer)).unwrap()
}

#[test]
fn first_weights_fill_their_bounds() {
    let model = built(7);
    assert_eq!(model.outline(), convnet());
    // Inputs of one output: 2 x 3 x 3 for the convolution, 3 x 3 x 3 for the layer after the pooling.
    for (name, fan_in) in [("layers.0.weight", 18.0_f32), ("layers.2.weight", 27.0), ("layers.2.bias", 27.0)] {
        let numbers = model.tensor(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let largest = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        let bound = 1.0 / fan_in.sqrt();
        assert!(largest <= bound && largest > bound / 2.0, "`{name}` reaches {largest} of {bound}");
    }
    let norm = |part: &str| model.tensor(&format!("layers.0.norm.{part}")).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!((norm("weight"), norm("running_mean")), (vec![1.0; 3], vec![0.0; 3]));
}

#[test]
fn a_model_without_weights_does_not_run() {
    let model = Checkpoint::unbuilt(convnet().config.unwrap().spec, inputs(&[2, 6, 6]), classes(3));
    let error = model.network().err().unwrap().to_string();
    assert_eq!(error, "the model has no weights yet; it runs once it is trained");
}

#[test]
fn the_number_of_threads_changes_no_gradient() {
    let layers = json!([{"conv": {"channels": 8, "batch_norm": true}}, {"max_pool": {"size": 3, "stride": 2}},
        {"residual": {"channels": 12, "stride": 2}}, {"dense": {"width": 9}}]);
    let outline = outline(&spec("convnet", json!({"layers": layers})), &[3, 16, 16], 4);
    let x = random(&[8, 3, 16, 16], -1.0, 1.0, 6);
    let gradients = |threads: usize| -> Vec<Vec<f32>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let weights = Weights::new(&outline, DType::F32, 2);
            let network = families::network(&outline, &weights).unwrap().unwrap();
            let mut cx = Forward { mode: Mode::Training, ..Forward::inference() };
            let loss = network.forward(&Input::Features(x.clone()), &mut cx).unwrap().sqr().unwrap();
            let found = loss.sum_all().unwrap().backward().unwrap();
            let numbers = |tensor: &Tensor| Some(found.get(tensor)?.flatten_all().unwrap().to_vec1().unwrap());
            weights.0.borrow().values().filter_map(numbers).collect()
        })
    };
    let one = gradients(1);
    assert!(one.len() > 10);
    assert_eq!(one, gradients(2));
}
